//! Floor 4: pinned cores and the executors they drive.

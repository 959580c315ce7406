//! Floor 5: the assembled machine, the only thing the API may hold.

//! Floor 6: HTTP; it translates and decides nothing.

//! The gate over real sockets: what it refuses, what it survives, and that good clients are served
//! all the while. Short limits or a clock that the test moves stand in for waiting.

mod gate {
    mod backends;
    mod capacity;
    mod deadlines;
    mod descriptors;
    mod good;
    mod hostile;
    mod house;
    mod refusals;
    mod reserved;
    mod stopping;
}

//! What clients send, as values of the domain. Bad input ends here, with everything that is wrong
//! with it named at once.

pub(crate) mod cursor;
pub(crate) mod leases;
pub(crate) mod near;
pub(crate) mod object;
pub(crate) mod params;
pub(crate) mod submit;

//! What clients send, as values of the domain. Bad input ends here, with everything that is wrong
//! with it named at once.

pub(crate) mod cursor;
pub(crate) mod near;
pub(crate) mod params;
pub(crate) mod submit;
pub(crate) mod time;

use super::json::Json;
use crate::domain::TimeMs;
use time::TimeStyle;

/// Writes a time as a JSON string.
pub(crate) fn write_time(json: &mut Json, time: TimeMs, style: TimeStyle) {
    json.plain(|buffer| time::push(buffer, time, style));
}

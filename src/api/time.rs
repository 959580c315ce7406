//! Times on the wire: RFC 3339 with or without a zone in, UTC out.

use super::json::Json;
use crate::domain::TimeMs;

const DAY_MS: i64 = 86_400_000;
/// The start of the year nought.
const FIRST: TimeMs = TimeMs(-62_167_219_200_000);
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How times are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeStyle {
    /// `2025-01-20T10:30:00.000Z`
    Utc,
    /// `2025-01-20T10:30:00`, which is UTC without saying so, as the Java system wrote it.
    Local,
}

/// Reads a time. Without a zone it is UTC; without seconds they are nought; digits below a
/// millisecond are dropped. `None` for everything else and for years outside 0000 to 9999.
pub(crate) fn parse(text: &str) -> Option<TimeMs> {
    let bytes = text.as_bytes();
    let mut rest = bytes;
    let year = digits(&mut rest, 4)?;
    let month = after(&mut rest, b"-").and_then(|()| digits(&mut rest, 2))?;
    let day = after(&mut rest, b"-").and_then(|()| digits(&mut rest, 2))?;
    let hour = after(&mut rest, b"Tt").and_then(|()| digits(&mut rest, 2))?;
    let minute = after(&mut rest, b":").and_then(|()| digits(&mut rest, 2))?;
    let (mut second, mut ms) = (0, 0);
    if after(&mut rest, b":").is_some() {
        second = digits(&mut rest, 2)?;
        if after(&mut rest, b".").is_some() {
            ms = fraction_ms(&mut rest)?;
        }
    }
    let offset_min = zone_min(rest)?;
    let sound = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        // A leap second counts as the last moment of its minute.
        && second <= 60;
    if !sound {
        return None;
    }
    let minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset_min;
    let moment = minutes * 60_000 + second.min(59) * 1000 + ms;
    (FIRST.0..=TimeMs::MAX.0).contains(&moment).then_some(TimeMs(moment))
}

/// Writes a time as a JSON string.
pub(crate) fn write_time(json: &mut Json, time: TimeMs, style: TimeStyle) {
    json.plain(|buffer| push(buffer, time, style));
}

/// Appends `time` in this style. What an application put into the store itself may lie outside the
/// years that can be written.
fn push(buffer: &mut Vec<u8>, time: TimeMs, style: TimeStyle) {
    let time = time.clamp(FIRST, TimeMs::MAX);
    let (days, ms) = (time.0.div_euclid(DAY_MS), time.0.rem_euclid(DAY_MS));
    let (year, month, day) = civil_from_days(days);
    let pair = |n: i64| [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
    let [y1, y2] = pair(year / 100);
    let [y3, y4] = pair(year);
    let [mo1, mo2] = pair(month);
    let [d1, d2] = pair(day);
    let [h1, h2] = pair(ms / 3_600_000);
    let [mi1, mi2] = pair(ms / 60_000 % 60);
    let [s1, s2] = pair(ms / 1000 % 60);
    buffer.extend_from_slice(&[
        y1, y2, y3, y4, b'-', mo1, mo2, b'-', d1, d2, b'T', h1, h2, b':', mi1, mi2, b':', s1, s2,
    ]);
    if style == TimeStyle::Utc {
        let [f2, f3] = pair(ms % 100);
        buffer.extend_from_slice(&[b'.', b'0' + (ms % 1000 / 100) as u8, f2, f3, b'Z']);
    }
}

/// The time as a `Date` head has it: `Mon, 20 Jan 2025 10:30:00 GMT`.
pub(crate) fn http_date(time: TimeMs) -> String {
    let days = time.0.div_euclid(DAY_MS);
    let second = time.0.rem_euclid(DAY_MS) / 1000;
    let (year, month, day) = civil_from_days(days);
    let weekday = WEEKDAYS[days.rem_euclid(7) as usize];
    let month = MONTHS[(month - 1) as usize];
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn after(rest: &mut &[u8], any_of: &[u8]) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    any_of.contains(first).then(|| *rest = tail)
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let (number, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    number.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

fn fraction_ms(rest: &mut &[u8]) -> Option<i64> {
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=18).contains(&length) {
        return None;
    }
    let (fraction, tail) = rest.split_at(length);
    *rest = tail;
    let digit = |place: usize| fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    Some(digit(0) * 100 + digit(1) * 10 + digit(2))
}

fn zone_min(mut rest: &[u8]) -> Option<i64> {
    let sign = match rest {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    rest = &rest[1..];
    let hours = digits(&mut rest, 2)?;
    let minutes = after(&mut rest, b":").and_then(|()| digits(&mut rest, 2))?;
    let sound = rest.is_empty() && hours < 24 && minutes < 60;
    sound.then_some(sign * (hours * 60 + minutes))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970, after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`], from the same source.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(time: TimeMs, style: TimeStyle) -> String {
        let mut buffer = Vec::new();
        push(&mut buffer, time, style);
        String::from_utf8(buffer).unwrap()
    }

    #[test]
    fn a_time_has_a_zone_or_is_utc() {
        let moment = Some(TimeMs(1_737_369_000_000));
        for text in [
            "2025-01-20T10:30:00.000Z",
            "2025-01-20T10:30:00Z",
            "2025-01-20t10:30:00z",
            "2025-01-20T10:30:00",
            "2025-01-20T10:30",
            "2025-01-20T12:30:00+02:00",
            "2025-01-20T05:00:00.0009-05:30",
        ] {
            assert_eq!(parse(text), moment, "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2025-01-20",
            "2025-02-29T00:00:00Z",
            "2025-13-01T00:00:00Z",
            "2025-01-20T24:00:00Z",
            "2025-01-20T10:60:00Z",
            "2025-01-20T10:30:61Z",
            "2025-01-20 10:30:00",
            "2025-01-20T10:30:00.Z",
            "2025-01-20T10:30:00+2:00",
            "2025-01-20T10:30:00+0200",
            "2025-01-20T10:30:00Zulu",
            "20250120T103000Z",
            "9999-12-31T23:59:59-00:01",
            "0000-01-01T00:00:00+00:01",
            "+2025-01-20T10:30:00Z",
            "2025-01-20T10:30:00+24:00",
            "1737369000000",
            "２025-01-20T10:30:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_time_is_written_in_both_styles_and_as_a_head() {
        let time = TimeMs(1_737_369_000_007);
        assert_eq!(written(time, TimeStyle::Utc), "2025-01-20T10:30:00.007Z");
        assert_eq!(written(time, TimeStyle::Local), "2025-01-20T10:30:00");
        assert_eq!(http_date(time), "Mon, 20 Jan 2025 10:30:00 GMT");
    }

    #[test]
    fn a_time_outside_the_years_that_can_be_written_is_the_nearest_of_them() {
        assert_eq!(written(TimeMs(i64::MIN), TimeStyle::Utc), "0000-01-01T00:00:00.000Z");
        assert_eq!(written(TimeMs(i64::MAX), TimeStyle::Utc), "9999-12-31T23:59:59.999Z");
    }

    proptest! {
        #[test]
        fn times_are_what_jiff_says(ms in -62_167_219_200_000i64..=TimeMs::MAX.0) {
            let text = written(TimeMs(ms), TimeStyle::Utc);
            let theirs = jiff::Timestamp::from_millisecond(ms).unwrap();
            prop_assert_eq!(format!("{theirs:.3}"), text.clone());
            prop_assert_eq!(parse(&text), Some(TimeMs(ms)));
            let head = theirs.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            prop_assert_eq!(http_date(TimeMs(ms)), head);
        }

        #[test]
        fn no_text_upsets_the_reader(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}

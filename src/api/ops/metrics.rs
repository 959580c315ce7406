//! What happened in a stretch of time, and how long it took.

use std::ops::Range;

use super::statistics::share;
use crate::api::exchange::Exchange;
use crate::api::json::Json;
use crate::api::problem::Problem;
use crate::api::reply::Reply;
use crate::api::time::{TimeStyle, write_time};
use crate::api::view::time_style;
use crate::api::wire::params::Params;
use crate::domain::{Summary, TimeMs};
use crate::store::{Bucket, Reader, StoreError};

const DAY_MS: u64 = 86_400_000;

/// Minutes are forgotten after 91 days, so that an answer never looks further back than this.
const MINUTES_KEPT: i64 = 92 * 1440;

/// How far a clock may have been ahead when it wrote a minute.
const MINUTES_AHEAD: i64 = 1440;

/// Most points of a series.
const POINTS_MAX: i64 = 2000;

/// The series has about so many points where no step is asked for.
const POINTS_DEFAULT: i64 = 1440;

/// Buckets read at a time, so that a long stretch is never in memory as a whole.
const SLICE_MINUTES: i64 = 1440;

/// The stretch asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    from: TimeMs,
    to: TimeMs,
    /// Those minutes any part of which lies in the stretch and that the store may still have.
    minutes: Range<i64>,
    step_minutes: i64,
}

impl Stretch {
    fn new(from: TimeMs, to: TimeMs, now: TimeMs) -> Stretch {
        let (first, last) = (now.minute() - MINUTES_KEPT, now.minute() + MINUTES_AHEAD);
        let start = from.minute().max(first);
        let end = (TimeMs(to.0 - 1).minute() + 1).min(last);
        Stretch { from, to, minutes: start..end.max(start), step_minutes: 1 }
    }
}

/// What happened in one stretch or step.
#[derive(Debug, Default, Clone, PartialEq)]
struct Sums {
    submitted: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
    retried: u64,
    run: Summary,
    wait: Summary,
}

impl Sums {
    fn add(&mut self, bucket: &Bucket) {
        self.submitted += bucket.submitted;
        self.completed += bucket.completed;
        self.failed += bucket.failed;
        self.cancelled += bucket.cancelled;
        self.retried += bucket.retried;
        self.run.merge(&bucket.run);
        self.wait.merge(&bucket.wait);
    }

    fn finished(&self) -> u64 {
        self.completed + self.failed
    }
}

/// `GET /api/v1/tasks/metrics`
pub(crate) fn metrics(exchange: Exchange) {
    let now = exchange.open().desk.settings.clock.now();
    let stretch = match stretch(exchange.open().query(), now) {
        Ok(stretch) => stretch,
        Err(problem) => return exchange.refuse(&problem),
    };
    exchange.read(
        move |reader| sum(reader, &stretch).map(|sums| (stretch, sums)),
        |open, (stretch, (whole, series))| {
            let style = time_style(open.desk.settings.compatibility);
            Reply::new(200, write(&stretch, &whole, &series, style))
        },
    );
}

fn stretch(query: &str, now: TimeMs) -> Result<Stretch, Problem> {
    let mut params = Params::read(query)?;
    let to = params.time("toTime").unwrap_or(now);
    let day_before = TimeMs(to.0 - DAY_MS as i64);
    let from = params.time("fromTime").unwrap_or(day_before);
    let mut stretch = Stretch::new(from, to, now);
    let length = stretch.minutes.end - stretch.minutes.start;
    if from > to {
        params.fault("fromTime", "must not be after toTime");
    }
    let step_s = params.number("step", 60, 86_400 * 92);
    let fitting = (length - 1).div_euclid(POINTS_DEFAULT) + 1;
    stretch.step_minutes = step_s.map_or(fitting.max(1), |seconds| seconds as i64 / 60);
    if step_s.is_some_and(|seconds| seconds % 60 != 0) {
        params.fault("step", "must be a multiple of 60 seconds");
    } else if length / stretch.step_minutes > POINTS_MAX {
        params.fault("step", format!("makes more than {POINTS_MAX} points of this stretch"));
    }
    params.finish(stretch)
}

/// The sums of the whole and of each step in which something happened.
fn sum(
    reader: &mut dyn Reader,
    stretch: &Stretch,
) -> Result<(Sums, Vec<(TimeMs, Sums)>), StoreError> {
    let minutes = stretch.minutes.clone();
    let mut whole = Sums::default();
    let mut series: Vec<(TimeMs, Sums)> = Vec::new();
    let mut start = minutes.start;
    while start < minutes.end {
        let end = minutes.end.min(start + SLICE_MINUTES);
        for bucket in reader.buckets(start..end)? {
            whole.add(&bucket);
            let step = (bucket.minute - minutes.start) / stretch.step_minutes;
            let time = TimeMs((minutes.start + step * stretch.step_minutes) * 60_000);
            if series.last().is_none_or(|(last, _)| *last != time) {
                series.push((time, Sums::default()));
            }
            if let Some((_, sums)) = series.last_mut() {
                sums.add(&bucket);
            }
        }
        start = end;
    }
    Ok((whole, series))
}

fn write(stretch: &Stretch, whole: &Sums, series: &[(TimeMs, Sums)], style: TimeStyle) -> Vec<u8> {
    let mut json = Json::default();
    json.open();
    write_time(json.key("fromTime"), stretch.from, style);
    write_time(json.key("toTime"), stretch.to, style);
    json.key("step").number(stretch.step_minutes as u64 * 60);
    json.key("submittedCount").number(whole.submitted);
    json.key("completedCount").number(whole.completed).key("failedCount").number(whole.failed);
    json.key("cancelledCount").number(whole.cancelled).key("retriedCount").number(whole.retried);
    write_times(&mut json, whole);
    let minutes = stretch.to.since_ms(stretch.from) as f64 / 60_000.0;
    let per_minute = if minutes > 0.0 { whole.finished() as f64 / minutes } else { 0.0 };
    json.key("throughputPerMinute").fraction((per_minute * 100.0).round() / 100.0);
    json.key("successRate").fraction(share(whole.completed, whole.finished()));
    json.key("retryRate").fraction(share(whole.retried, whole.retried + whole.finished()));
    json.key("series").open_array();
    let nothing = whole.finished() == 0;
    for (time, sums) in series.iter().filter(|_| !nothing) {
        json.open();
        write_time(json.key("time"), *time, style);
        json.key("submittedCount").number(sums.submitted);
        json.key("completedCount").number(sums.completed).key("failedCount").number(sums.failed);
        json.key("cancelledCount").number(sums.cancelled).key("retriedCount").number(sums.retried);
        write_times(&mut json, sums);
        json.close();
    }
    json.close_array();
    if nothing {
        json.key("message").text("No task finished in this time");
    }
    json.close();
    json.into_bytes()
}

fn write_times(json: &mut Json, sums: &Sums) {
    const RUN: [&str; 6] = [
        "averageExecutionTimeMs",
        "minExecutionTimeMs",
        "maxExecutionTimeMs",
        "p50ExecutionTimeMs",
        "p95ExecutionTimeMs",
        "p99ExecutionTimeMs",
    ];
    const WAIT: [&str; 6] = [
        "averageQueueWaitMs",
        "minQueueWaitMs",
        "maxQueueWaitMs",
        "p50QueueWaitMs",
        "p95QueueWaitMs",
        "p99QueueWaitMs",
    ];
    for (keys, summary) in [(RUN, &sums.run), (WAIT, &sums.wait)] {
        let figures = [
            summary.mean_us(),
            summary.min_us,
            summary.max_us,
            summary.percentile_us(0.5),
            summary.percentile_us(0.95),
            summary.percentile_us(0.99),
        ];
        for (key, us) in keys.into_iter().zip(figures) {
            json.key(key).fraction(us as f64 / 1000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimeMs = TimeMs(1_737_369_000_000);

    fn wrong(query: &str) -> Vec<String> {
        let faults = stretch(query, NOW).unwrap_err().faults;
        faults.into_iter().map(|fault| fault.field.into_owned()).collect()
    }

    #[test]
    fn the_last_day_is_shown_unless_a_time_is_given() {
        let day = stretch("", NOW).unwrap();
        assert_eq!((day.to, day.to.since_ms(day.from)), (NOW, DAY_MS));
        let hour = stretch("fromTime=2025-01-20T09:30:00Z&step=300", NOW).unwrap();
        assert_eq!((hour.minutes.end - hour.minutes.start, hour.step_minutes), (60, 5));
    }

    #[test]
    fn a_stretch_must_be_forward_and_in_no_more_points_than_a_chart_has() {
        assert_eq!(wrong("fromTime=2025-02-01T00:00:00Z"), ["fromTime"]);
        assert_eq!(wrong("toTime=today&step=61"), ["toTime", "step"]);
        assert_eq!(wrong("step=0"), ["step"]);
        assert_eq!(wrong("fromTime=2024-12-01T00:00:00Z&step=60"), ["step"]);
        assert!(stretch("fromTime=0000-01-01T00:00:00Z&toTime=0000-01-01T00:00:00Z", NOW).is_ok());
    }

    /// A year was refused, which the Java system's clients may ask for.
    #[test]
    fn however_long_a_stretch_is_only_the_minutes_that_are_kept_are_looked_for() {
        for query in [
            "fromTime=0000-01-01T00:00:00Z&toTime=9999-12-31T23:59:59Z",
            "fromTime=2024-01-01T00:00:00Z",
        ] {
            let long = stretch(query, NOW).unwrap();
            let length = long.minutes.end - long.minutes.start;
            assert!((MINUTES_KEPT..=MINUTES_KEPT + MINUTES_AHEAD).contains(&length), "{length}");
            assert!(length / long.step_minutes <= POINTS_MAX);
        }
        let past = stretch("fromTime=2020-01-01T00:00:00Z&toTime=2020-02-01T00:00:00Z", NOW);
        assert!(past.unwrap().minutes.is_empty());
    }

    #[test]
    fn when_nothing_finished_there_are_noughts_and_a_word_about_it() {
        let told = write(&stretch("", NOW).unwrap(), &Sums::default(), &[], TimeStyle::Utc);
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(told["averageExecutionTimeMs"], 0);
        assert_eq!(told["series"], serde_json::json!([]));
        assert!(told["message"].is_string());
    }

    #[test]
    fn durations_are_told_in_milliseconds() {
        let mut sums = Sums { completed: 3, failed: 1, retried: 1, ..Sums::default() };
        for us in [500, 1500, 2500, 4000] {
            sums.run.add(us);
        }
        let series = [(NOW, sums.clone())];
        let told = write(&stretch("", NOW).unwrap(), &sums, &series, TimeStyle::Local);
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(told["averageExecutionTimeMs"], 2.125);
        assert_eq!(told["maxExecutionTimeMs"], 4);
        assert_eq!(told["successRate"], 0.75);
        assert_eq!(told["retryRate"], 0.2);
        assert_eq!(told["series"][0]["time"], "2025-01-20T10:30:00");
    }
}

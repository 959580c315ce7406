//! A sheet of measures in the `prometheus` crate's own form, filled name by name.

use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram as Bars, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::metrics::Histogram;

/// A label and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// The measures of one scrape, in the order they were written.
#[derive(Default)]
pub(super) struct Sheet(Vec<MetricFamily>);

/// In what a histogram's values are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// In microseconds, and shown in seconds.
    Micros,
    /// In things.
    Things,
}

impl Sheet {
    /// Measures that other code has made.
    pub(super) fn extend(&mut self, families: Vec<MetricFamily>) {
        self.0.extend(families);
    }

    /// All of it.
    pub(super) fn into_families(self) -> Vec<MetricFamily> {
        self.0
    }

    /// Something that only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Rows<'_> {
        self.family(name, help, MetricType::COUNTER)
    }

    /// Something that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str) -> Rows<'_> {
        self.family(name, help, MetricType::GAUGE)
    }

    /// How values spread.
    pub(super) fn histogram(&mut self, name: &str, help: &str) -> Rows<'_> {
        self.family(name, help, MetricType::HISTOGRAM)
    }

    fn family(&mut self, name: &str, help: &str, kind: MetricType) -> Rows<'_> {
        let mut family = MetricFamily::default();
        family.set_name(name.into());
        family.set_help(help.into());
        family.set_field_type(kind);
        self.0.push(family);
        let at = self.0.len() - 1;
        Rows { family: &mut self.0[at] }
    }
}

/// The rows under one name.
pub(super) struct Rows<'s> {
    family: &'s mut MetricFamily,
}

impl Rows<'_> {
    /// A row with this value.
    pub(super) fn row(&mut self, labels: &[Label<'_>], value: f64) -> &mut Self {
        let mut metric = Metric::from_label(pairs(labels));
        if self.family.get_field_type() == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.family.mut_metric().push(metric);
        self
    }

    /// A row with a count.
    pub(super) fn count(&mut self, labels: &[Label<'_>], value: u64) -> &mut Self {
        self.row(labels, value as f64)
    }

    /// A row with a histogram.
    pub(super) fn bars(&mut self, labels: &[Label<'_>], values: &Histogram, unit: Unit) {
        let scale = if unit == Unit::Micros { 1e6 } else { 1.0 };
        let mut bars = Bars::default();
        bars.set_sample_count(values.count());
        bars.set_sample_sum(values.sum() as f64 / scale);
        let bucket = |(edge, count): (u64, u64)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(edge as f64 / scale);
            bucket.set_cumulative_count(count);
            bucket
        };
        bars.set_bucket(values.rising().map(bucket).collect());
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(bars);
        self.family.mut_metric().push(metric);
    }
}

fn pairs(labels: &[Label<'_>]) -> Vec<LabelPair> {
    let pair = |(name, value): &Label<'_>| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).into());
        pair.set_value((*value).into());
        pair
    };
    labels.iter().map(pair).collect()
}

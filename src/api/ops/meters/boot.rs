//! The measures as Spring Boot's metrics endpoint tells them.

use std::collections::BTreeMap;

use prometheus::proto::{Histogram, Metric, MetricFamily, MetricType};

use crate::api::json::Json;
use crate::api::problem::{self, Fault, Problem};
use crate::api::wire::params::Params;

/// Rows with these labels only.
pub(super) type Filter = Vec<(String, String)>;

/// What every `tag` parameter asks for.
pub(super) fn filter(params: &Params<'_>) -> Result<Filter, Problem> {
    let wanted = params.all("tag").map(|tag| {
        tag.split_once(':')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .ok_or_else(|| Problem::invalid(vec![Fault::new("tag", "must be like band:HIGH")]))
    });
    wanted.collect()
}

/// The names there are.
pub(super) fn names(families: &[MetricFamily]) -> Vec<u8> {
    let mut names: Vec<&str> = families.iter().map(MetricFamily::name).collect();
    names.sort_unstable();
    let mut json = Json::default();
    json.open().key("names").open_array();
    for name in names {
        json.text(name);
    }
    json.close_array().close();
    json.into_bytes()
}

/// One of them, summed over its rows.
pub(super) fn one(
    families: &[MetricFamily],
    name: &str,
    filter: &Filter,
) -> Result<Vec<u8>, Problem> {
    let family = families.iter().find(|family| is_called(family.name(), name));
    let rows = |family: &MetricFamily| -> Vec<Metric> {
        family.get_metric().iter().filter(|row| fits(row, filter)).cloned().collect()
    };
    let found = family.map(|family| (family, rows(family))).filter(|(_, rows)| !rows.is_empty());
    let Some((family, rows)) = found else {
        let detail = "nothing is measured under this name with these tags";
        return Err(Problem::new(problem::NO_ROUTE, detail));
    };
    let mut json = Json::default();
    json.open().key("name").text(family.name()).key("description").text(family.help());
    if let Some(unit) = unit(family.name()) {
        json.key("baseUnit").text(unit);
    }
    json.key("measurements").open_array();
    for (statistic, value) in statistics(family.get_field_type(), &rows) {
        json.open().key("statistic").text(statistic).key("value").fraction(value).close();
    }
    json.close_array().key("availableTags").open_array();
    for (tag, values) in tags(&rows, filter) {
        json.open().key("tag").text(tag).key("values").open_array();
        for value in values {
            json.text(value);
        }
        json.close_array().close();
    }
    json.close_array().close();
    Ok(json.into_bytes())
}

/// Whether a measure is meant: its own name, or Micrometer's with dots and without unit.
fn is_called(own: &str, asked: &str) -> bool {
    let asked = asked.replace('.', "_");
    let rest = own.strip_prefix(&*asked);
    rest.is_some_and(|rest| ["", "_total", "_seconds", "_seconds_total", "_bytes"].contains(&rest))
}

fn fits(row: &Metric, filter: &Filter) -> bool {
    filter.iter().all(|(name, value)| {
        row.get_label().iter().any(|label| label.name() == name && label.value() == value)
    })
}

fn unit(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix("_total").unwrap_or(name);
    ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(unit))
}

fn statistics(kind: MetricType, rows: &[Metric]) -> Vec<(&'static str, f64)> {
    match kind {
        MetricType::HISTOGRAM => {
            let bars = || rows.iter().map(Metric::get_histogram);
            let count = bars().map(Histogram::get_sample_count).sum::<u64>();
            let total = bars().map(Histogram::get_sample_sum).sum();
            vec![("COUNT", count as f64), ("TOTAL_TIME", total)]
        }
        MetricType::COUNTER => {
            vec![("COUNT", rows.iter().map(|row| row.get_counter().get_value()).sum())]
        }
        _ => vec![("VALUE", rows.iter().map(|row| row.get_gauge().get_value()).sum())],
    }
}

/// The labels by which the rows still differ.
fn tags<'r>(rows: &'r [Metric], filter: &Filter) -> BTreeMap<&'r str, Vec<&'r str>> {
    let mut tags: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for label in rows.iter().flat_map(Metric::get_label) {
        if !filter.iter().any(|(name, _)| name == label.name()) {
            let values = tags.entry(label.name()).or_default();
            if !values.contains(&label.value()) {
                values.push(label.value());
            }
        }
    }
    tags
}

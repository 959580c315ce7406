//! Which path and method means what.

use tiny_http::Method;

use super::access::Scope;
use super::problem::{self, Fault, Problem};
use super::traffic::Place;
use super::ui::Asset;
use super::wire::leases::Report;
use crate::domain::TaskId;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Submit,
    SubmitBatch,
    List,
    Scheduled,
    Statistics,
    Metrics,
    ServiceHealth,
    Cleanup,
    Show(TaskId),
    PutStatus(TaskId),
    Cancel(TaskId),
    Retry(TaskId),
    Lease,
    Report(Report),
    Workers,
    Health(Detail),
    Liveness,
    Readiness,
    /// What the operators' paths are.
    Links,
    /// What runs here.
    About,
    /// The text that Prometheus reads.
    Samples,
    /// The names of all that is measured.
    Meters,
    /// One of them, named at the end of the path.
    Meter,
    /// How much is logged.
    Loggers,
    /// How much one part of the program logs, named at the end of the path.
    Logger,
    /// Sets that.
    SetLogger,
    /// What all paths are, for programs.
    Document,
    /// A file of the page.
    Page(Asset),
    /// What the path knows, for `OPTIONS`.
    Allowed(&'static str),
}

/// How much a health answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The status of each component.
    Brief,
    /// Its figures as well.
    Full,
}

/// The routes' paths, by [`Route::place`]; the first stands for all paths that lead nowhere.
pub(crate) const TEMPLATES: &[&str] = &[
    "UNKNOWN",
    "/api/v1/tasks",
    "/api/v1/tasks/batch",
    "/api/v1/tasks/scheduled",
    "/api/v1/tasks/statistics",
    "/api/v1/tasks/metrics",
    "/api/v1/tasks/health",
    "/api/v1/tasks/cleanup",
    "/api/v1/tasks/{id}",
    "/api/v1/tasks/{id}/status",
    "/api/v1/tasks/{id}/cancel",
    "/api/v1/tasks/{id}/retry",
    "/actuator",
    "/actuator/health",
    "/actuator/health/detailed",
    "/actuator/health/liveness",
    "/actuator/health/readiness",
    "/actuator/info",
    "/actuator/metrics",
    "/actuator/metrics/{name}",
    "/actuator/loggers",
    "/actuator/loggers/{name}",
    "/actuator/prometheus",
    "/",
    "/api/v1/leases",
    "/api/v1/leases/heartbeat",
    "/api/v1/leases/complete",
    "/api/v1/leases/fail",
    "/api/v1/leases/release",
    "/api/v1/workers",
    "/openapi.json",
    "/docs",
];

const READ: &str = "GET, HEAD, OPTIONS";
const WRITE: &str = "POST, OPTIONS";

impl Route {
    /// Whether the answer is JSON, or nothing.
    pub(crate) fn is_json(self) -> bool {
        !matches!(self, Route::Page(_) | Route::Samples)
    }

    /// Which of [`TEMPLATES`] this is.
    pub(crate) fn place(self) -> Place {
        Place(match self {
            Route::Allowed(_) => 0,
            Route::Submit | Route::List => 1,
            Route::SubmitBatch => 2,
            Route::Scheduled => 3,
            Route::Statistics => 4,
            Route::Metrics => 5,
            Route::ServiceHealth => 6,
            Route::Cleanup => 7,
            Route::Show(_) => 8,
            Route::PutStatus(_) => 9,
            Route::Cancel(_) => 10,
            Route::Retry(_) => 11,
            Route::Links => 12,
            Route::Health(Detail::Brief) => 13,
            Route::Health(Detail::Full) => 14,
            Route::Liveness => 15,
            Route::Readiness => 16,
            Route::About => 17,
            Route::Meters => 18,
            Route::Meter => 19,
            Route::Loggers => 20,
            Route::Logger | Route::SetLogger => 21,
            Route::Samples => 22,
            Route::Page(Asset::Docs) => 31,
            Route::Page(_) => 23,
            Route::Lease => 24,
            Route::Report(Report::Heartbeat) => 25,
            Route::Report(Report::Complete) => 26,
            Route::Report(Report::Fail) => 27,
            Route::Report(Report::Release) => 28,
            Route::Workers => 29,
            Route::Document => 30,
        })
    }

    /// What a token must be good for; `None`: nobody is asked.
    pub(crate) fn needs(self) -> Option<Scope> {
        match self {
            Route::Submit | Route::SubmitBatch | Route::Cancel(_) | Route::Retry(_) => {
                Some(Scope::Submit)
            }
            Route::List
            | Route::Scheduled
            | Route::Statistics
            | Route::Metrics
            | Route::Show(_)
            | Route::Health(Detail::Full)
            | Route::About
            | Route::Samples
            | Route::Meters
            | Route::Meter
            | Route::Loggers
            | Route::Logger
            | Route::Workers => Some(Scope::Read),
            Route::Lease | Route::Report(_) => Some(Scope::Worker),
            Route::PutStatus(_) | Route::Cleanup | Route::SetLogger => Some(Scope::Admin),
            // What containers and balancers ask, and what anybody may know of the program.
            Route::ServiceHealth
            | Route::Health(Detail::Brief)
            | Route::Liveness
            | Route::Readiness
            | Route::Links
            | Route::Document
            | Route::Page(_)
            | Route::Allowed(_) => None,
        }
    }

    /// Finds what `method` on `path` (without its query) means.
    pub(crate) fn find(method: &Method, path: &str) -> Result<Route, Problem> {
        let (allow, route) = place(method, path)?;
        match method {
            Method::Options => Ok(Route::Allowed(allow)),
            _ => route.ok_or_else(|| Problem::method(allow)),
        }
    }
}

/// The methods of a path, and what this one means there.
fn place(method: &Method, path: &str) -> Result<(&'static str, Option<Route>), Problem> {
    let read = |route| (READ, matches!(method, Method::Get | Method::Head).then_some(route));
    let write = |route| (WRITE, (*method == Method::Post).then_some(route));
    if let Some(rest) = path.strip_prefix("/api/v1/tasks") {
        return match rest.strip_prefix('/') {
            None if rest.is_empty() => Ok((
                "GET, HEAD, POST, OPTIONS",
                match method {
                    Method::Get | Method::Head => Some(Route::List),
                    Method::Post => Some(Route::Submit),
                    _ => None,
                },
            )),
            Some("batch") => Ok(write(Route::SubmitBatch)),
            Some("scheduled") => Ok(read(Route::Scheduled)),
            Some("statistics") => Ok(read(Route::Statistics)),
            Some("metrics") => Ok(read(Route::Metrics)),
            Some("health") => Ok(read(Route::ServiceHealth)),
            Some("cleanup") => {
                let route = (*method == Method::Delete).then_some(Route::Cleanup);
                Ok(("DELETE, OPTIONS", route))
            }
            Some(rest) => match rest.split_once('/') {
                None if !rest.is_empty() => Ok(read(Route::Show(id(rest)?))),
                Some((task, "status")) => {
                    let task = id(task)?;
                    let route = (*method == Method::Put).then_some(Route::PutStatus(task));
                    Ok(("PUT, OPTIONS", route))
                }
                Some((task, "cancel")) => Ok(write(Route::Cancel(id(task)?))),
                Some((task, "retry")) => Ok(write(Route::Retry(id(task)?))),
                _ => Err(nothing()),
            },
            None => Err(nothing()),
        };
    }
    match path {
        "/openapi.json" => Ok(read(Route::Document)),
        "/actuator" => Ok(read(Route::Links)),
        "/actuator/info" => Ok(read(Route::About)),
        "/actuator/prometheus" | "/metrics" => Ok(read(Route::Samples)),
        "/actuator/metrics" => Ok(read(Route::Meters)),
        "/actuator/loggers" => Ok(read(Route::Loggers)),
        "/api/v1/leases" => Ok(write(Route::Lease)),
        "/api/v1/leases/heartbeat" => Ok(write(Route::Report(Report::Heartbeat))),
        "/api/v1/leases/complete" => Ok(write(Route::Report(Report::Complete))),
        "/api/v1/leases/fail" => Ok(write(Route::Report(Report::Fail))),
        "/api/v1/leases/release" => Ok(write(Route::Report(Report::Release))),
        "/api/v1/workers" => Ok(read(Route::Workers)),
        "/actuator/health" => Ok(read(Route::Health(Detail::Brief))),
        "/actuator/health/detailed" => Ok(read(Route::Health(Detail::Full))),
        "/actuator/health/liveness" => Ok(read(Route::Liveness)),
        "/actuator/health/readiness" => Ok(read(Route::Readiness)),
        _ if is_under(path, "/actuator/metrics/") => Ok(read(Route::Meter)),
        _ if is_under(path, "/actuator/loggers/") => Ok((
            "GET, HEAD, POST, OPTIONS",
            match method {
                Method::Get | Method::Head => Some(Route::Logger),
                Method::Post => Some(Route::SetLogger),
                _ => None,
            },
        )),
        _ => Asset::at(path).map(|asset| read(Route::Page(asset))).ok_or_else(nothing),
    }
}

/// Whether one name follows.
fn is_under(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

fn nothing() -> Problem {
    Problem::new(problem::NO_ROUTE, "the tasks are at /api/v1/tasks")
}

fn id(text: &str) -> Result<TaskId, Problem> {
    TaskId::parse(text).map_err(|error| Problem::invalid(vec![Fault::new("id", error.to_string())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &Method, path: &str) -> Result<Route, (u16, &'static str)> {
        Route::find(method, path).map_err(|problem| (problem.kind.status, problem.allow))
    }

    #[test]
    fn the_paths_of_the_contract_are_found() {
        let seven = TaskId::new(7).unwrap();
        let table = [
            (Method::Post, "/api/v1/tasks", Route::Submit),
            (Method::Post, "/api/v1/tasks/batch", Route::SubmitBatch),
            (Method::Get, "/api/v1/tasks/7", Route::Show(seven)),
            (Method::Head, "/api/v1/tasks/7", Route::Show(seven)),
            (Method::Get, "/api/v1/tasks", Route::List),
            (Method::Get, "/api/v1/tasks/scheduled", Route::Scheduled),
            (Method::Put, "/api/v1/tasks/7/status", Route::PutStatus(seven)),
            (Method::Post, "/api/v1/tasks/7/cancel", Route::Cancel(seven)),
            (Method::Post, "/api/v1/tasks/7/retry", Route::Retry(seven)),
            (Method::Delete, "/api/v1/tasks/cleanup", Route::Cleanup),
            (Method::Get, "/api/v1/tasks/statistics", Route::Statistics),
            (Method::Get, "/api/v1/tasks/metrics", Route::Metrics),
            (Method::Get, "/api/v1/tasks/health", Route::ServiceHealth),
            (Method::Post, "/api/v1/leases", Route::Lease),
            (Method::Post, "/api/v1/leases/complete", Route::Report(Report::Complete)),
            (Method::Get, "/api/v1/workers", Route::Workers),
            (Method::Get, "/actuator/health", Route::Health(Detail::Brief)),
            (Method::Get, "/actuator/health/detailed", Route::Health(Detail::Full)),
            (Method::Get, "/actuator/health/liveness", Route::Liveness),
            (Method::Get, "/actuator/health/readiness", Route::Readiness),
            (Method::Get, "/actuator", Route::Links),
            (Method::Get, "/actuator/info", Route::About),
            (Method::Get, "/metrics", Route::Samples),
            (Method::Get, "/actuator/prometheus", Route::Samples),
            (Method::Get, "/actuator/metrics", Route::Meters),
            (Method::Get, "/actuator/metrics/process.uptime", Route::Meter),
            (Method::Get, "/actuator/loggers", Route::Loggers),
            (Method::Get, "/actuator/loggers/ROOT", Route::Logger),
            (Method::Post, "/actuator/loggers/ROOT", Route::SetLogger),
            (Method::Get, "/", Route::Page(Asset::Page)),
            (Method::Get, "/ui/main.js", Route::Page(Asset::Main)),
            (Method::Options, "/api/v1/tasks/batch", Route::Allowed("POST, OPTIONS")),
        ];
        for (method, path, route) in table {
            assert_eq!(status(&method, path), Ok(route), "{method} {path}");
        }
    }

    #[test]
    fn every_template_leads_to_a_route_that_says_that_it_is_its_own() {
        for (place, template) in TEMPLATES.iter().enumerate().skip(1) {
            let path = template.replace("{id}", "7").replace("{name}", "x");
            let methods = [Method::Get, Method::Post, Method::Put, Method::Delete];
            let found = methods.iter().filter_map(|method| Route::find(method, &path).ok());
            let places: Vec<_> = found.map(|route| usize::from(route.place().0)).collect();
            assert!(!places.is_empty() && places.iter().all(|it| *it == place), "{template}");
        }
    }

    #[test]
    fn a_wrong_path_is_404_a_wrong_method_405_and_a_wrong_id_400() {
        let table = [
            (Method::Get, "/ui/", 404, ""),
            (Method::Get, "/actuator/metrics/", 404, ""),
            (Method::Get, "/actuator/loggers/a/b", 404, ""),
            (Method::Post, "/metrics", 405, "GET, HEAD, OPTIONS"),
            (Method::Post, "/", 405, "GET, HEAD, OPTIONS"),
            (Method::Get, "/api/v1/task", 404, ""),
            (Method::Get, "/api/v1/tasksx", 404, ""),
            (Method::Get, "/api/v1/tasks/", 404, ""),
            (Method::Post, "/api/v1/tasks/7/cancel/now", 404, ""),
            (Method::Post, "/api/v1/tasks/7/explode", 404, ""),
            (Method::Get, "/api/v1/tasks/batch", 405, "POST, OPTIONS"),
            (Method::Delete, "/api/v1/tasks", 405, "GET, HEAD, POST, OPTIONS"),
            (Method::Get, "/api/v1/tasks/7/status", 405, "PUT, OPTIONS"),
            (Method::Patch, "/api/v1/tasks/7", 405, "GET, HEAD, OPTIONS"),
            (Method::Get, "/api/v1/tasks/abc", 400, ""),
            (Method::Get, "/api/v1/tasks/0", 400, ""),
            (Method::Post, "/api/v1/tasks/-1/retry", 400, ""),
            (Method::Get, "/api/v1/tasks/9223372036854775808", 400, ""),
        ];
        for (method, path, code, allow) in table {
            assert_eq!(status(&method, path), Err((code, allow)), "{method} {path}");
        }
    }
}

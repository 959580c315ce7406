//! Which path and method means what.

use tiny_http::Method;

use super::problem::{self, Fault, Problem};
use super::ui::Asset;
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
    Health(Detail),
    Liveness,
    Readiness,
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

const READ: &str = "GET, HEAD, OPTIONS";
const WRITE: &str = "POST, OPTIONS";

impl Route {
    /// Whether the answer is JSON, or nothing.
    pub(crate) fn is_json(self) -> bool {
        !matches!(self, Route::Page(_))
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
        "/actuator/health" => Ok(read(Route::Health(Detail::Brief))),
        "/actuator/health/detailed" => Ok(read(Route::Health(Detail::Full))),
        "/actuator/health/liveness" => Ok(read(Route::Liveness)),
        "/actuator/health/readiness" => Ok(read(Route::Readiness)),
        _ => Asset::at(path).map(|asset| read(Route::Page(asset))).ok_or_else(nothing),
    }
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
            (Method::Get, "/actuator/health", Route::Health(Detail::Brief)),
            (Method::Get, "/actuator/health/detailed", Route::Health(Detail::Full)),
            (Method::Get, "/actuator/health/liveness", Route::Liveness),
            (Method::Get, "/actuator/health/readiness", Route::Readiness),
            (Method::Get, "/", Route::Page(Asset::Page)),
            (Method::Get, "/ui/main.js", Route::Page(Asset::Main)),
            (Method::Options, "/api/v1/tasks/batch", Route::Allowed("POST, OPTIONS")),
        ];
        for (method, path, route) in table {
            assert_eq!(status(&method, path), Ok(route), "{method} {path}");
        }
    }

    #[test]
    fn a_wrong_path_is_404_a_wrong_method_405_and_a_wrong_id_400() {
        let table = [
            (Method::Get, "/ui/", 404, ""),
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

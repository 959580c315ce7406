//! What the server says when it does not do what it was asked.

use std::fmt::Write;

use serde::Deserialize;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::safe;

/// The parts of a problem document that people need; absent ones stay empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    error: Option<String>,
    request_id: Option<String>,
    errors: Vec<Wrong>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wrong {
    index: Option<usize>,
    field: Option<String>,
    message: Option<String>,
}

/// The most wrong fields that are printed; a batch can have ten thousand.
const WRONG_SHOWN_MAX: usize = 20;

/// The server's reason and the code to end with.
pub fn failure(status: u16, body: &str) -> Failure {
    let exit = match status {
        400 => Exit::Usage,
        401 | 403 => Exit::NotAuthorised,
        404 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        429 | 502..=504 => Exit::Unreachable,
        _ => Exit::Failed,
    };
    let problem: Problem = serde_json::from_str(body).unwrap_or_default();
    let said = problem.detail.or(problem.title).or(problem.error);
    let mut message =
        said.map_or_else(|| format!("the server answered {status}"), |s| safe(&s, 500));
    for wrong in problem.errors.iter().take(WRONG_SHOWN_MAX) {
        let place = wrong.index.map(|index| format!("[{index}] ")).unwrap_or_default();
        let field = safe(wrong.field.as_deref().unwrap_or_default(), 100);
        let why = safe(wrong.message.as_deref().unwrap_or_default(), 300);
        let _ = write!(message, "\n  {place}{field}: {why}");
    }
    if problem.errors.len() > WRONG_SHOWN_MAX {
        let _ = write!(message, "\n  and {} more", problem.errors.len() - WRONG_SHOWN_MAX);
    }
    if let Some(id) = problem.request_id.filter(|_| status >= 500) {
        let _ = write!(message, "\n  request {}", safe(&id, 100));
    }
    Failure::new(exit, message)
}

/// Which items of a batch were found wrong.
pub fn indexes(body: &str) -> Vec<usize> {
    let problem: Problem = serde_json::from_str(body).unwrap_or_default();
    problem.errors.iter().filter_map(|wrong| wrong.index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_with_all_its_fields() {
        let body = r#"{"title":"Bad","detail":"2 fields are wrong","errors":[
            {"field":"taskName","message":"is required"},{"index":3,"field":"x","message":"y"}]}"#;
        let Failure::Said { exit, message } = failure(400, body) else { panic!() };
        assert_eq!(exit, Exit::Usage);
        assert_eq!(message, "2 fields are wrong\n  taskName: is required\n  [3] x: y");
        assert_eq!(indexes(body), [3]);
    }

    #[test]
    fn a_body_that_is_no_problem_document_still_gives_a_reason() {
        for body in ["", "<html>", "[]", "null", r#"{"errors":7}"#] {
            assert_eq!(failure(500, body).to_string(), "the server answered 500", "{body}");
        }
    }
}

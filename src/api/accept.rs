//! Which forms a client sends and takes.

use super::problem::{self, Problem};
use super::wire::submit::Framing;

/// Checks that an answer in JSON is welcome; where the `Accept` heads name nothing everything is.
pub(crate) fn json<'a>(accept: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
    let ranges = accept.flat_map(|accept| accept.split(',')).map(str::trim);
    let mut ranges = ranges.filter(|range| !range.is_empty()).peekable();
    if ranges.peek().is_none() || ranges.any(takes_json) {
        return Ok(());
    }
    Err(Problem::new(problem::ACCEPT, "answers are application/json"))
}

fn takes_json(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let welcome = ["*/*", "application/*", "application/json", "application/problem+json"];
    let refused = parts.any(|part| {
        let weight = part.strip_prefix("q=").or(part.strip_prefix("Q="));
        weight.and_then(|weight| weight.parse::<f32>().ok()).is_some_and(|weight| weight <= 0.0)
    });
    !refused && welcome.iter().any(|welcome| media.eq_ignore_ascii_case(welcome))
}

/// How a body is framed; without a `Content-Type` it is JSON.
pub(crate) fn framing(content_type: Option<&str>) -> Result<Framing, Problem> {
    let Some(content_type) = content_type else { return Ok(Framing::Array) };
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.eq_ignore_ascii_case("charset").then(|| value.trim_matches('"'))
    });
    let is = |name: &str| media.eq_ignore_ascii_case(name);
    if charset.is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8")) {
        if is("application/json") {
            return Ok(Framing::Array);
        }
        if is("application/x-ndjson") {
            return Ok(Framing::Lines);
        }
    }
    let detail = "send application/json, or a batch as application/x-ndjson, in UTF-8";
    Err(Problem::new(problem::MEDIA, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_welcome_unless_it_is_left_out_or_refused() {
        let told = |heads: &[&str]| json(heads.iter().copied()).map_err(|p| p.kind.status);
        for good in ["*/*", "text/html, application/json;q=0.5", "Application/*", "a/b,*/*;q=0.1"] {
            assert_eq!(told(&[good]), Ok(()), "{good}");
        }
        for bad in ["text/html", "application/json;q=0", "application/xml, text/*;q=1"] {
            assert_eq!(told(&[bad]), Err(406), "{bad}");
        }
        for nothing in [&[][..], &[""], &[" , ", ""]] {
            assert_eq!(told(nothing), Ok(()), "{nothing:?}");
        }
        assert_eq!(told(&["text/html", "application/json"]), Ok(()));
    }

    #[test]
    fn a_body_is_json_or_json_lines_in_utf_8() {
        assert_eq!(framing(None), Ok(Framing::Array));
        assert_eq!(framing(Some("application/json; charset=UTF-8")), Ok(Framing::Array));
        assert_eq!(framing(Some("Application/X-NDJSON")), Ok(Framing::Lines));
        for bad in ["", "text/plain", "application/json; charset=latin1", "application/xml"] {
            assert_eq!(framing(Some(bad)).unwrap_err().kind.status, 415, "{bad}");
        }
    }
}

//! The document of the contract, held against every answer that these tests get.
//!
//! A subset of JSON Schema is enough: what the document uses. Stricter in one way: a field that
//! the document does not name is a mistake, though clients must put up with new ones.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::ledger::http::Answer;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../src/api/docs/openapi.json")).expect("JSON")
});

/// Fails where `answer` is not what the document promises for this request.
#[track_caller]
pub fn check(method: &str, target: &str, answer: &Answer) {
    let path = target.split('?').next().unwrap_or_default();
    // The pages' own files are nobody's contract.
    if path.starts_with("/ui/") {
        return;
    }
    let method = if method == "HEAD" { "get".into() } else { method.to_lowercase() };
    let Some(call) = call(&method, path) else {
        // No such path, or none with this method.
        assert!(matches!(answer.code, 204 | 400..=499), "{method} {path}: {}", answer.code);
        return;
    };
    let code = answer.code.to_string();
    let told = followed(&call["responses"][&code]);
    assert!(told.is_object(), "{method} {path} answers {code}, which is not documented");
    let Some(media) = answer.header("Content-Type") else {
        assert!(told.get("content").is_none(), "{method} {path} {code} says nothing");
        return;
    };
    let media = media.split(';').next().unwrap_or_default();
    let schema = &told["content"][media]["schema"];
    assert!(schema.is_object(), "{method} {path} {code} is {media}, which is not documented");
    if media.ends_with("json")
        && !answer.body.is_empty()
        && let Err(wrong) = fits(&answer.json(), schema)
    {
        panic!("{method} {path} {code}: {wrong} in {}", answer.body);
    }
}

fn call(method: &str, path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object()?;
    let same = |template: &str| {
        let (template, path) = (template.split('/'), path.split('/'));
        template.clone().count() == path.clone().count()
            && template.zip(path).all(|(want, have)| want.starts_with('{') || want == have)
    };
    // What is spelled out goes before what is filled in.
    let exact = paths.get(path);
    exact.or_else(|| paths.iter().find(|(known, _)| same(known)).map(|(_, at)| at))?.get(method)
}

fn followed(part: &'static Value) -> &'static Value {
    match part["$ref"].as_str() {
        Some(to) => DOCUMENT.pointer(&to[1..]).expect("a reference that leads somewhere"),
        None => part,
    }
}

fn fits(value: &Value, schema: &'static Value) -> Result<(), String> {
    let schema = followed(schema);
    if let Some(parts) = schema["anyOf"].as_array() {
        let fitting = parts.iter().any(|part| fits(value, part).is_ok());
        return if fitting { Ok(()) } else { Err(format!("{value} fits none of {schema}")) };
    }
    if let Some(kinds) = schema.get("type")
        && !is_a(value, kinds)
    {
        return Err(format!("{value} is no {kinds}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        return Err(format!("{value} is none of {words:?}"));
    }
    if let Some(number) = value.as_f64() {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            return Err(format!("{number} is out of range"));
        }
    }
    if let (Some(items), Some(each)) = (value.as_array(), schema.get("items")) {
        items.iter().try_for_each(|item| fits(item, each))?;
    }
    match value.as_object() {
        Some(fields) => object_fits(fields, schema),
        None => Ok(()),
    }
}

fn is_a(value: &Value, kinds: &Value) -> bool {
    let one = |kind: &Value| match kind.as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        _ => false,
    };
    kinds.as_array().map_or_else(|| one(kinds), |kinds| kinds.iter().any(one))
}

fn object_fits(fields: &Map<String, Value>, schema: &'static Value) -> Result<(), String> {
    // An object of no named fields may hold anything: a payload, or this document itself.
    let all = schema["allOf"].as_array();
    let parts: Vec<_> = all.map_or(vec![schema], |parts| parts.iter().map(followed).collect());
    let named = |name: &str| parts.iter().find_map(|part| part["properties"].get(name));
    let is_free = parts.iter().all(|part| part.get("properties").is_none());
    let others = parts.iter().find_map(|part| part.get("additionalProperties"));
    for (name, value) in fields {
        match named(name).or(others) {
            Some(schema) => fits(value, schema).map_err(|wrong| format!("{name}: {wrong}"))?,
            None if is_free => {}
            None => return Err(format!("the field {name} is not documented")),
        }
    }
    let required = parts.iter().filter_map(|part| part["required"].as_array()).flatten();
    match required.filter_map(Value::as_str).find(|name| !fields.contains_key(*name)) {
        Some(missing) => Err(format!("{missing} is missing")),
        None => Ok(()),
    }
}

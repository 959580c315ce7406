//! The document, held against the routes, the readers of bodies and the problems there are.

use std::collections::BTreeSet;

use serde_json::Value;
use tiny_http::Method;

use super::DOCUMENT;
use crate::api::access::Scope;
use crate::api::gate::OWN_STATUSES;
use crate::api::problem;
use crate::api::reply::STATUSES;
use crate::api::route::{Route, TEMPLATES};
use crate::api::wire::{leases, params, submit};
use crate::domain::{Band, StatusKind};

/// What every request can be answered, and what every request with a body.
const EVERY: [u16; 8] = [400, 403, 414, 431, 500, 502, 503, 504];
const WITH_BODY: [u16; 3] = [411, 413, 415];

/// The methods a path may know; those that all paths answer alike stand in the text.
const METHODS: [(Method, &str); 5] = [
    (Method::Get, "get"),
    (Method::Post, "post"),
    (Method::Put, "put"),
    (Method::Delete, "delete"),
    (Method::Patch, "patch"),
];

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

fn names(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn words(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Every documented call with the route it takes.
fn calls(document: &Value) -> Vec<(String, &Value, Route)> {
    let mut calls = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, word) in METHODS {
            if let Some(call) = methods.get(word) {
                let route = Route::find(&method, &filled(path)).unwrap();
                calls.push((format!("{word} {path}"), call, route));
            }
        }
    }
    calls
}

fn filled(path: &str) -> String {
    path.replace("{id}", "7").replace("{name}", "x")
}

#[test]
fn every_path_and_method_is_documented_and_nothing_else() {
    let document = document();
    let paths = names(&document["paths"]);
    // The second name of a path is no template of its own.
    let expected: BTreeSet<&str> = TEMPLATES.iter().skip(1).copied().chain(["/metrics"]).collect();
    assert_eq!(paths, expected);
    for path in paths {
        for (method, word) in METHODS {
            let is_there = Route::find(&method, &filled(path)).is_ok();
            let is_told = document["paths"][path].get(word).is_some();
            assert_eq!(is_there, is_told, "{word} {path}");
        }
    }
}

/// A path that is matched without a template of its own would be missed above.
#[test]
fn every_text_that_a_path_is_matched_with_is_part_of_a_documented_path() {
    let source = include_str!("../route.rs");
    let start = source.find("\nfn place(").unwrap();
    let end = start + source[start..].find("\n}\n").unwrap();
    let texts = source[start..end].split('"').skip(1).step_by(2);
    let document = document();
    let paths = names(&document["paths"]);
    let mut seen = 0;
    for text in texts.filter(|text| !text.contains("OPTIONS") && *text != "/") {
        let is_known = |path: &&str| {
            *path == text || path.ends_with(&format!("/{text}")) || path.starts_with(text)
        };
        assert!(paths.iter().any(is_known), "{text} is not documented");
        seen += 1;
    }
    assert!(seen >= 25, "the paths were not found in the source");
}

#[test]
fn every_call_names_its_scope_and_the_refusals_that_any_call_of_its_kind_can_meet() {
    let document = document();
    let known: BTreeSet<u16> =
        STATUSES.iter().map(|(status, _)| *status).chain(OWN_STATUSES).collect();
    let mut ids = BTreeSet::new();
    for (call, told, route) in calls(&document) {
        assert!(ids.insert(told["operationId"].as_str().unwrap()), "{call}: its id is taken");
        assert!(told["summary"].is_string() && told["tags"][0].is_string(), "{call}");
        let scope = told["security"].get(0).map(|any| any["bearer"][0].as_str().unwrap());
        assert_eq!(scope, route.needs().map(Scope::name), "{call}");
        let statuses: BTreeSet<u16> =
            names(&told["responses"]).into_iter().map(|status| status.parse().unwrap()).collect();
        let mut least: BTreeSet<u16> = EVERY.into();
        least.extend(scope.map(|_| 401));
        least.extend(route.is_json().then_some(406));
        least.extend(told.get("requestBody").iter().flat_map(|_| WITH_BODY));
        assert!(statuses.is_superset(&least), "{call} lacks {:?}", &least - &statuses);
        assert!(known.is_superset(&statuses), "{call}: {:?}", &statuses - &known);
        assert!(statuses.iter().any(|status| *status < 300), "{call} never succeeds");
    }
}

#[test]
fn references_lead_somewhere_and_nothing_is_defined_in_vain() {
    fn walk<'d>(part: &'d Value, seen: &mut BTreeSet<&'d str>) {
        match part {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    seen.insert(to);
                }
                fields.values().for_each(|part| walk(part, seen));
            }
            Value::Array(parts) => parts.iter().for_each(|part| walk(part, seen)),
            _ => {}
        }
    }
    let document = document();
    let mut seen = BTreeSet::new();
    walk(&document, &mut seen);
    for to in &seen {
        assert!(document.pointer(&to[1..]).is_some(), "{to} leads nowhere");
    }
    for sort in ["schemas", "responses", "parameters"] {
        for name in names(&document["components"][sort]) {
            let to = format!("#/components/{sort}/{name}");
            assert!(seen.contains(&*to), "nobody refers to {to}");
        }
    }
}

#[test]
fn the_words_of_the_contract_are_those_of_the_code() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let bands: BTreeSet<_> = Band::ALL.iter().map(|band| band.name()).collect();
    assert_eq!(words(&schemas["Priority"]["enum"]), bands);
    let statuses: BTreeSet<_> = StatusKind::ALL.iter().map(|status| status.name()).collect();
    assert_eq!(words(&schemas["Status"]["enum"]), statuses);
    // The gate's own codes are looked for where they are written.
    let gate = include_str!("../gate/refusal.rs").split("refusal(").skip(1);
    let gate = gate.filter_map(|rest| rest.split('"').nth(1)).filter(|code| !code.contains(' '));
    let codes: BTreeSet<_> =
        problem::ALL.iter().map(|kind| kind.code).chain(gate).chain(["bad-request"]).collect();
    assert_eq!(words(&schemas["Problem"]["properties"]["code"]["enum"]), codes);
    let sort = document["paths"]["/api/v1/tasks"]["get"]["parameters"].as_array().unwrap();
    let sort = sort.iter().find(|parameter| parameter["name"] == "sort").unwrap();
    let fields: Vec<_> = params::SORTS.iter().map(|(name, _)| *name).collect();
    let pattern = format!("^({})(,(asc|desc))?$", fields.join("|"));
    assert_eq!(sort["schema"]["pattern"], pattern);
}

#[test]
fn what_a_body_may_hold_is_what_is_read_of_it() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let reports = [
        ("Heartbeat", leases::Report::Heartbeat),
        ("Completions", leases::Report::Complete),
        ("Failures", leases::Report::Fail),
        ("Releases", leases::Report::Release),
    ];
    let mut bodies = vec![
        (&schemas["TaskSubmission"], &submit::FIELDS[..]),
        (&schemas["LeaseAsk"], leases::ASK_FIELDS),
    ];
    for (name, report) in reports {
        bodies.push((&schemas[name], leases::REPORT_FIELDS));
        let item = &schemas[name]["properties"]["leases"]["items"];
        bodies.push((item, leases::item_fields(report)));
    }
    for (schema, fields) in bodies {
        assert_eq!(names(&schema["properties"]), fields.iter().copied().collect(), "{schema}");
        assert_eq!(schema["additionalProperties"], false, "{schema}");
    }
}

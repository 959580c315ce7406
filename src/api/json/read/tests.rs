//! What is read as JSON and what is refused, beside what `serde_json` says of the same texts.

use proptest::prelude::*;

use super::*;

fn whole(text: &str) -> Step<&str> {
    let mut scan = Scan::new(text, 0);
    let value = scan.value()?;
    scan.end()?;
    Ok(value)
}

#[test]
fn a_value_is_handed_out_as_it_was_sent() {
    for text in
        ["1", "-0.5e+7", "\"a\\u00e4\"", "[]", "{}", "[1, 2 ,[ ]]", "{\"a\": {\"b\":[true]}}"]
    {
        assert_eq!(whole(&format!(" \n{text}\t")), Ok(text));
    }
}

#[test]
fn what_is_not_json_is_refused_where_it_stops_being_json() {
    for (text, at) in [
        ("", 0),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("{\"a\" 1}", 5),
        ("{a:1}", 1),
        ("01", 1),
        ("1.", 2),
        ("1 x", 2),
        ("tru", 0),
        ("\"\\x\"", 1),
        ("\"\u{1}\"", 1),
        ("\"\\ud800\"", 3),
        ("\"\\ud800\\u0041\"", 3),
        ("[", 1),
        ("{\"a\":1,}", 7),
    ] {
        assert_eq!(whole(text).map_err(|e| e.at), Err(at), "{text:?}");
    }
}

#[test]
fn nesting_ends_at_128_levels_counted_from_the_start_of_the_body() {
    let nest = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(whole(&nest(128)).is_ok());
    assert!(whole(&nest(129)).is_err());
    assert!(Scan::new(&nest(127), 1).value().is_ok());
    assert!(Scan::new(&nest(128), 1).value().is_err());
    // A megabyte of brackets neither overflows a stack nor takes long.
    assert!(whole(&"[".repeat(1 << 20)).is_err());
}

#[test]
fn a_string_is_unescaped() {
    let text = r#""a\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00z""#;
    let read = Scan::new(text, 0).string().unwrap();
    assert_eq!(read, "a\"\\/\u{8}\u{c}\n\r\tä😀z");
}

/// Texts made of the pieces that JSON is made of, so that many of them nearly are JSON.
fn nearly_json() -> impl Strategy<Value = String> {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u00e4",
        "\\ud83d\\ude00",
        "\"a\"",
        "1",
        "-",
        "0.5",
        "e9",
        "true",
        "null",
        " ",
        "\n",
        "é",
        "\u{0}",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..24).prop_map(|p| p.concat())
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        ".*".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            prop::collection::btree_map(".*", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn we_read_what_serde_json_reads_and_nothing_else(text in nearly_json()) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        // Numbers beyond f64 are still JSON to us; everything else must agree.
        let agree = theirs.is_ok() == whole(&text).is_ok()
            || theirs.is_err_and(|e| e.to_string().contains("out of range"));
        prop_assert!(agree, "{text:?}");
    }

    #[test]
    fn strings_come_out_as_serde_json_gives_them(text in ".*") {
        let sent = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(Scan::new(&sent, 0).string().unwrap(), text);
    }

    #[test]
    fn any_value_is_read_whole(value in any_json()) {
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            prop_assert_eq!(whole(&text), Ok(text.as_str()));
        }
    }
}

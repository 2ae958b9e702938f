use super::*;
use serde_json::json;
use serde_norway::Value;

fn value(text: &str) -> serde_json::Value {
    serde_json::to_value(read(text).unwrap()).unwrap()
}

/// As `kubectl annotate --local -o json` prints them.
#[test]
fn plain_scalars_mean_what_kubectl_reads() {
    for (text, meaning) in [
        ("y", json!(true)),
        ("Yes", json!(true)),
        ("ON", json!(true)),
        ("n", json!(false)),
        ("off", json!(false)),
        ("yEs", json!("yEs")),
        ("~", json!(null)),
        ("", json!(null)),
        ("0644", json!(420)),
        ("0o17", json!(15)),
        ("0x_1f", json!(31)),
        ("0b1_0", json!(2)),
        ("0B1", json!(1)),
        ("-0b11", json!(-3)),
        ("+12", json!(12)),
        ("0", json!(0)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("18446744073709551615", json!(u64::MAX)),
        ("99999999999999999999", json!(1e20)),
        ("1_000", json!(1000)),
        ("08", json!(8.0)),
        ("0123.5", json!(123.5)),
        ("12e03", json!(12000.0)),
        ("1.", json!(1.0)),
        (".5", json!(0.5)),
        (".42_7", json!(0.427)),
        ("._5", json!("._5")),
        (".5_", json!(".5_")),
        ("1:30", json!("1:30")),
        ("2026-01-01", json!("2026-01-01")),
        ("=", json!("=")),
        ("<<", json!("<<")),
        ("0x1p3", json!("0x1p3")),
        ("0x", json!("0x")),
        ("-", json!([null])),
        ("1e", json!("1e")),
        ("1.2.3", json!("1.2.3")),
        ("1e999", json!("1e999")),
        ("'no'", json!("no")),
        ("\"0644\"", json!("0644")),
        ("!!str 12", json!("12")),
        ("! 12", json!("12")),
        ("!own 12", json!("12")),
        ("!!int \"12\"", json!(12)),
        ("!!bool \"yes\"", json!(true)),
        ("!!binary aGk=", json!("hi")),
    ] {
        assert_eq!(value(text), meaning, "{text}");
    }
}

#[test]
fn keys_anchors_and_merges_are_those_of_kubectl() {
    assert_eq!(value("on: 3\n012: 3\n2026-01-01: 3"), json!({ "true": 3, "10": 3, "2026-01-01": 3 }));
    assert_eq!(
        value("b: &b {x: 2, y_: 3}\nc: {x: 1, <<: *b}\nd: {<<: *b, x: 1}\ne: {<<: [{x: 9}, *b]}\n\"<<\": 1\nf: *b"),
        json!({
            "b": { "x": 2, "y_": 3 },
            "c": { "x": 2, "y_": 3 },
            "d": { "x": 1, "y_": 3 },
            "e": { "x": 9, "y_": 3 },
            "<<": 1,
            "f": { "x": 2, "y_": 3 },
        })
    );
}

#[test]
fn what_cannot_be_meant_is_said_with_its_line() {
    let deep = "[".repeat(200);
    let laughs = (1..8).fold("a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let below = vec![format!("*a{}", level - 1); 8].join(", ");
        format!("{text}a{level}: &a{level} [{below}]\n")
    });
    for (text, line, said) in [
        ("a: 1\nb: [", 2, "not YAML: "),
        ("a: 1\nb: .inf", 2, "infinity"),
        ("a: -.INF", 1, "infinity"),
        ("a: 1\nb: 2\na: 3", 3, "key \"a\" stands there twice"),
        ("a: *b", 1, "unknown anchor"),
        ("a: &a [*a]", 1, "an anchor contains itself"),
        ("~: 1", 1, "a key is no string"),
        ("1.5: 1", 1, "quote it"),
        ("<<: 1", 1, "a merge key takes"),
        ("a: !!int x", 1, "no !!int"),
        ("a: !!binary '!'", 1, "not base64"),
        ("a: 1\n...\nb: 2", 3, "another document"),
        (&deep, 1, "nested deeper"),
        (&laughs, 6, "aliases repeat more"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.what.contains(said), "{text}: {error:?}");
        assert_eq!(error.line, line, "{text}: {error:?}");
    }
}

const STRINGS: [&str; 84] = [
    "",
    " ",
    "a",
    "a b",
    " a",
    "a ",
    "no",
    "No",
    "NO",
    "nO",
    "yes",
    "on",
    "off",
    "y",
    "N",
    "true",
    "FALSE",
    "null",
    "~",
    "=",
    "<<",
    "1_000",
    "0x_1f",
    "0X1F",
    "0b1_0",
    "0o17",
    "0123",
    "08",
    "1:30",
    "190:20:30.15",
    ".inf",
    "-.INF",
    ".NaN",
    "2026-01-01",
    "2026-1-1",
    "2026-01-01T00:00:00Z",
    "2026-01-01 00:00:00 +1",
    "1",
    "-1",
    "+1",
    "1.5",
    ".5",
    "1.",
    "1e3",
    "1e+3",
    "6.8523015e+5",
    "_1",
    "-",
    "--flag=x",
    "- a",
    "---",
    "--- a",
    "...",
    "?",
    "? a",
    ":",
    ": a",
    "a: b",
    "a:",
    "a #b",
    "#a",
    "&a",
    "*a",
    "!a",
    "%a",
    "@a",
    "`a",
    "|",
    ">",
    "'a'",
    "\"a\"",
    "[a",
    "{a",
    "a\nb",
    "a\nb\n",
    "a\n\n",
    "\na",
    " a\nb",
    "a\n  b\n\n c ",
    "a\tb",
    "a\r\nb",
    "\u{7f}\u{85}\u{2028}\u{feff}",
    "\u{0}\u{1f}",
    "größe \u{1f600}",
];

#[test]
fn strings_are_printed_so_that_all_readers_take_them_for_strings() {
    for string in STRINGS {
        let text = Value::String(string.to_owned());
        let mut document = serde_norway::Mapping::new();
        document.insert("value".into(), text.clone());
        document.insert("items".into(), Value::Sequence(vec![text.clone(), Value::Sequence(vec![text.clone()])]));
        document.insert(text.clone(), Value::Null);
        let document = Value::Mapping(document);
        let printed = write(&document);
        assert_eq!(read(&printed).unwrap(), document, "{printed}");
        assert_eq!(serde_norway::from_str::<Value>(&printed).unwrap(), document, "{printed}");
        assert_eq!(read(&write(&text)).unwrap(), text);
    }
}

#[test]
fn what_is_plain_to_everyone_stays_plain() {
    for text in
        ["python:3.13-slim", "7d1c7a2e-4f0b-4f6e-9a35-2f1e8c0b6d41", "/var/run", "100m", "0.5Gi", "--flag=x", "a, b"]
    {
        assert_eq!(write(&text.into()), format!("{text}\n"));
    }
    for text in ["no", "Off", "1_000", "0x_1f", "0b1_0", "0o17", "0123", "1:30", "=", "<<", "~", ".inf", "2026-01-01"] {
        assert_eq!(write(&text.into()), format!("'{text}'\n"));
    }
}

#[test]
fn the_form_is_kubectl_s_own() {
    let text = "a: 1\nb:\n- c: {}\n  d:\n  - - 1\n    - 2.5\n- []\n- |-\n  x\n\n  y\ne:\n  f: null\n  g: |+\n    x\n\n";
    assert_eq!(write(&read(text).unwrap()), text);
}

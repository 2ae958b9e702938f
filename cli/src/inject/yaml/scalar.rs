//! What plain scalars mean, and which strings may be printed as one.

use serde_norway::Value;

/// A number that JSON lacks, and with it Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("infinity and not-a-number have no place in Kubernetes; quote what is meant as text")]
pub(super) struct NotFinite;

/// The meaning of a plain scalar: go-yaml v2, `resolve.go`. Dates and base 60 are strings there.
pub(super) fn resolve(text: &str) -> Result<Value, NotFinite> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Err(NotFinite),
        _ if matches!(unsigned(text), ".inf" | ".Inf" | ".INF") => return Err(NotFinite),
        _ => number(text).unwrap_or_else(|| text.into()),
    })
}

fn number(text: &str) -> Option<Value> {
    if text.starts_with('.') {
        // Go's `ParseFloat` wants a digit on either side of an underscore; elsewhere go-yaml drops them first.
        let separates = text.split('_').skip(1).all(|digits| digits.starts_with(|c: char| c.is_ascii_digit()))
            && text.split('_').rev().skip(1).all(|digits| digits.ends_with(|c: char| c.is_ascii_digit()));
        return if separates { float(&text.replace('_', "")) } else { None };
    }
    if !text.starts_with(|first: char| first.is_ascii_digit() || first == '+' || first == '-') {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| float(&digits))
}

/// Go's `ParseInt` with base 0: hexadecimal, octal (two ways) and binary by their prefixes.
fn integer(text: &str) -> Option<Value> {
    let magnitude = unsigned(text);
    let (radix, digits) = match magnitude.as_bytes() {
        [b'0', b'x' | b'X', _, ..] => (16, magnitude.get(2..)?),
        [b'0', b'o' | b'O', _, ..] => (8, magnitude.get(2..)?),
        [b'0', b'b' | b'B', _, ..] => (2, magnitude.get(2..)?),
        [b'0', _, ..] => (8, magnitude.get(1..)?),
        _ => (10, magnitude),
    };
    // Rust would take another sign here.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if text.starts_with('-') { 0_i64.checked_sub_unsigned(magnitude).map(Value::from) } else { Some(magnitude.into()) }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn float(text: &str) -> Option<Value> {
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let magnitude = unsigned(text);
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(unsigned(exponent))),
        None => (magnitude, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fits = is_digits(whole)
        && is_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && is_digits(exponent));
    // Go takes what is out of range for no number.
    text.parse::<f64>().ok().filter(|float| fits && float.is_finite()).map(Value::from)
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// Whether a string can stand without quotes: where neither YAML 1.1 (all of it, with base 60, dates, `=` and `<<`, in any
/// case) nor 1.2 reads anything else. In doubt it cannot.
pub(super) fn is_plain(text: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '!'..='~' | ' ');
    let Some(first) = text.chars().next() else {
        return false;
    };
    first.is_alphanumeric() | matches!(first, '/' | '_' | '.' | '+' | '-' | '$' | '(' | ')' | '\\' | '^' | ';')
        && text.chars().all(inside)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !["- ", "---", "..."].iter().any(|marker| text.starts_with(marker))
        && text != "-"
        && !is_word(text)
        && !is_like_a_number(text)
}

fn is_word(text: &str) -> bool {
    const WORDS: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"];
    let text = unsigned(text);
    let text = text.strip_prefix('.').unwrap_or(text);
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

fn is_like_a_number(text: &str) -> bool {
    let text = unsigned(text);
    let bytes = text.as_bytes();
    let is_number = |byte: &u8| byte.is_ascii_digit() || b"_.:eE+-".contains(byte);
    match bytes {
        [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', rest @ ..] => {
            rest.iter().all(|byte| byte.is_ascii_hexdigit() || b"_+-".contains(byte))
        }
        // A date, with or without a time.
        [a, b, c, d, b'-', e, ..] if [a, b, c, d, e].iter().all(|byte| byte.is_ascii_digit()) => true,
        [b'0'..=b'9' | b'.' | b'_', ..] => bytes.iter().all(is_number),
        _ => text.is_empty(),
    }
}

//! Amounts of resources, as Kubernetes writes them.

use crate::properties::config;
use podbadge_webhook_core::resources::{NoQuantity, Quantity};
use proptest::{prelude::*, sample::select};

pub(crate) fn quantity(text: &str) -> Quantity {
    text.parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// As Kubernetes writes them, from its own documentation of the type and its tests.
#[test]
fn amounts_are_written_as_kubernetes_writes_them() {
    for (text, written) in [
        ("0", "0"),
        ("0Mi", "0"),
        ("0m", "0"),
        ("500m", "500m"),
        ("0.5", "500m"),
        (".5", "500m"),
        ("1.", "1"),
        ("1.5", "1500m"),
        ("1500m", "1500m"),
        ("1000m", "1"),
        ("+1", "1"),
        ("007", "7"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1Ki", "1Ki"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("0.5Mi", "512Ki"),
        ("1000Ki", "1000Ki"),
        ("100k", "100k"),
        ("1e3", "1e3"),
        ("1E3", "1e3"),
        ("1E", "1E"),
        ("12000e3", "12e6"),
        ("5e0", "5"),
        ("5e-3", "5e-3"),
        ("5e+2", "500"),
        ("1n", "1n"),
        ("1u", "1u"),
        ("1000000n", "1m"),
        ("0.000000001", "1n"),
        ("0.1n", "1n"),
        ("8Ei", "9223372036854775807"),
        ("100E", "9223372036854775807"),
        ("9223372036854775807", "9223372036854775807"),
        ("99999999999999999999", "9223372036854775807"),
        ("1e500", "9223372036854775807"),
        ("0.03Ei", "34587645138205409280m"),
        ("34587645138205409280m", "34587645138205409280m"),
    ] {
        assert_eq!(quantity(text).to_string(), written, "{text:?}");
        assert_eq!(quantity(written), quantity(text), "{text:?}");
    }
}

#[test]
fn what_is_no_amount() {
    for text in [
        "",
        " ",
        ".",
        "m",
        "Mi",
        "-1",
        "--1",
        "+",
        "+-1",
        "1 Mi",
        " 1",
        "1 ",
        "1mi",
        "1MB",
        "1K",
        "1kb",
        "1,5",
        "1..5",
        "1.5.5",
        "1e",
        "1e+",
        "1e1.5",
        "1e3m",
        "0x10",
        "١",
        "１",
        "1Mi2",
        "NaN",
        "Infinity",
        "1e1000",
        "0.0000000001",
        "99999999999999999999999999999",
    ] {
        assert_eq!(text.parse::<Quantity>(), Err(NoQuantity), "{text:?}");
    }
}

#[test]
fn amounts_are_compared_by_what_they_are() {
    for (less, more) in [("999m", "1"), ("1M", "1Mi"), ("1k", "1Ki"), ("1n", "1m"), ("1023", "1Ki"), ("0", "1n")] {
        assert!(quantity(less) < quantity(more), "{less} {more}");
    }
    assert_eq!(quantity("1024Mi"), quantity("1Gi"));
    assert_eq!(quantity("1e3"), quantity("1k"));
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn an_amount_is_read_as_it_was_written(
        number in 0..=u64::MAX,
        suffix in select(&["n", "u", "m", "", "k", "Ki", "M", "Mi", "e3", "E-3"][..]),
    ) {
        let text = format!("{}{suffix}", number >> 30);
        let written = quantity(&text).to_string();
        prop_assert_eq!(quantity(&written), quantity(&text), "{} {}", text, written);
        prop_assert_eq!(quantity(&written).to_string(), written);
    }
}

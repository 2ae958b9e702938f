//! Amounts as Kubernetes writes them: `500m`, `32Mi`, `1.5`, `2e3`
//! (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>).

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{cmp::Ordering, fmt, hash, str::FromStr};

/// Billionths in one; nothing finer is kept, by Kubernetes either.
const BILLION: u128 = 1_000_000_000;

/// The largest amount, which Kubernetes takes for all that are larger.
const LARGEST: u128 = i64::MAX as u128 * BILLION;

/// The digits of the largest amount in billionths, as it is written where it has any; more are a mistake.
const WHOLE_DIGITS: usize = 28;

/// The decimal places of a billionth; more are a mistake, too.
const PLACES: usize = 9;

/// The suffixes of powers of 1000, from billionths on.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// The suffixes of powers of 1024, from 1024 on.
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// An amount of a resource from 0 to 2^63 - 1, exact to a billionth. Equal amounts are equal however they are written.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    billionths: u128,
    style: Style,
}

/// How an amount is written; an answer keeps to what its author chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `m`, `k`, `M`: powers of 1000.
    Decimal,
    /// `Ki`, `Mi`: powers of 1024.
    Binary,
    /// `e3`: powers of 1000, too.
    Exponent,
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount is not negative and has at most 9 decimal places: 500m, 0.5 or 32Mi")]
pub struct NoQuantity;

// === impl Quantity ===

impl Quantity {
    /// So many thousandths, as processors are counted.
    pub(super) const fn milli(thousandths: u32) -> Self {
        Self { billionths: thousandths as u128 * (BILLION / 1000), style: Style::Decimal }
    }

    /// So many bytes, or whole ones of anything.
    pub(super) const fn whole(number: u32) -> Self {
        Self { billionths: number as u128 * BILLION, style: Style::Decimal }
    }

    /// So many mebibytes.
    pub(super) const fn mebi(mebibytes: u32) -> Self {
        Self { billionths: ((mebibytes as u128) << 20) * BILLION, style: Style::Binary }
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.billionths == 0
    }

    /// The next multiple of `unit`: Kubernetes rounds up what is finer than it counts.
    pub(super) fn rounded_up(self, unit: Self) -> Self {
        Self { billionths: self.billionths.next_multiple_of(unit.billionths).min(LARGEST), ..self }
    }

    /// This amount times `ratio`, rounded down to a multiple of `unit`.
    pub(super) fn times(self, ratio: Self, unit: Self) -> Self {
        // What overflows is beyond the largest amount, too.
        let product = self.billionths.checked_mul(ratio.billionths).map_or(LARGEST, |product| product / BILLION);
        let product = product.min(LARGEST);
        Self { billionths: product - product % unit.billionths, ..self }
    }

    /// This amount divided by `ratio`, which is at least 1, rounded up to a multiple of `unit`.
    pub(super) fn divided_by(self, ratio: Self, unit: Self) -> Self {
        // 2^63 times 10^18 is below 2^123.
        let divided = (self.billionths * BILLION).div_ceil(ratio.billionths.max(BILLION));
        Self { billionths: divided, ..self }.rounded_up(unit)
    }

    fn parse(text: &str) -> Option<Self> {
        let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if number.bytes().all(|byte| byte == b'.') || fraction.contains('.') {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        if whole.len() > WHOLE_DIGITS || fraction.len() > PLACES {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes());
        // 37 digits: they fit.
        let value = digits.fold(0, |value, digit| value * 10 + u128::from(digit - b'0'));
        let places = -i32::try_from(fraction.len()).ok()?;
        let (style, billionths) = if let Some(step) = DECIMAL.into_iter().zip(0..).find(|(known, _)| *known == suffix) {
            (Style::Decimal, scaled(value, 3 * step.1 + places))
        } else if let Some(step) = BINARY.into_iter().zip(1..).find(|(known, _)| *known == suffix) {
            // What overflows is beyond the largest amount, even with all places behind the point.
            let value = value.checked_mul(BILLION << (10 * step.1));
            (Style::Binary, value.map_or(LARGEST, |value| scaled(value, places)))
        } else {
            (Style::Exponent, scaled(value, exponent(suffix)? + 9 + places))
        };
        Some(Self { billionths: billionths.min(LARGEST), style })
    }
}

/// The power of ten that a suffix such as `e3` or `E-3` means.
fn exponent(suffix: &str) -> Option<i32> {
    let power = suffix.strip_prefix(['e', 'E'])?;
    let digits = power.strip_prefix(['+', '-']).unwrap_or(power);
    let decimal = !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if decimal { power.parse().ok() } else { None }
}

/// `value` times ten to the `power`, rounded up.
fn scaled(value: u128, power: i32) -> u128 {
    let ten = 10_u128.checked_pow(power.unsigned_abs());
    match (ten, power >= 0) {
        _ if value == 0 => 0,
        (Some(ten), true) => value.checked_mul(ten).unwrap_or(LARGEST),
        (None, true) => LARGEST,
        (Some(ten), false) => value.div_ceil(ten),
        (None, false) => 1,
    }
}

impl FromStr for Quantity {
    type Err = NoQuantity;

    fn from_str(text: &str) -> Result<Self, NoQuantity> {
        Self::parse(text.strip_prefix('+').unwrap_or(text)).ok_or(NoQuantity)
    }
}

/// The one form that Kubernetes writes: no fraction, and the largest suffix for it.
impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { billionths, style } = *self;
        let whole = billionths / BILLION;
        if style == Style::Binary && billionths.is_multiple_of(BILLION) && whole >= 1024 {
            let (mut value, mut suffix) = (whole, "");
            for next in BINARY {
                if !value.is_multiple_of(1024) {
                    break;
                }
                (value, suffix) = (value / 1024, next);
            }
            return write!(out, "{value}{suffix}");
        }
        let (mut value, mut step) = (billionths, 0);
        // Nothing has no suffix, and one that there is none for stays in the mantissa.
        while (value.is_multiple_of(1000) && value > 0 || step < 3 && value == 0) && step + 1 < DECIMAL.len() {
            (value, step) = (value / 1000, step + 1);
        }
        match (style, DECIMAL[step]) {
            (Style::Exponent, suffix) if !suffix.is_empty() => write!(out, "{value}e{}", 3 * step as i32 - 9),
            (_, suffix) => write!(out, "{value}{suffix}"),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.billionths == other.billionths
    }
}

impl Eq for Quantity {}

impl hash::Hash for Quantity {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.billionths.hash(state);
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.billionths.cmp(&other.billionths)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

/// From a string or, as people also write it, a number.
impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Amount;

        impl de::Visitor<'_> for Amount {
            type Value = Quantity;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an amount such as \"500m\" or \"32Mi\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Quantity, E> {
                self.visit_str(&number.to_string())
            }
        }

        from.deserialize_any(Amount)
    }
}

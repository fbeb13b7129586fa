//! Amounts of processor time and memory as Kubernetes writes them: `250m`, `1.5`, `512Mi`, `2e9`.

use std::str::FromStr;

/// An amount, zero or more, exact to a billionth of its unit. What is finer is rounded up, as Kubernetes does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    /// Billionths of the unit.
    nanos: u128,
}

/// Why a text is no amount that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// It is not written as an amount.
    #[error("expected a quantity such as 250m, 1.5 or 512Mi")]
    Syntax,
    /// It is below zero.
    #[error("a quantity cannot be negative")]
    Negative,
    /// It is above 2^63 - 1 units, the largest that Kubernetes keeps.
    #[error("a quantity is at most 9223372036854775807")]
    TooLarge,
}

const NANOS: u128 = 1_000_000_000;
const MAX_NANOS: u128 = i64::MAX as u128 * NANOS;

impl Quantity {
    /// Reads an amount: digits, perhaps with a point, and then nothing, an SI suffix (`n`, `u`, `m`, `k`, `M`, `G`,
    /// `T`, `P`, `E`), a binary one (`Ki` to `Ei`) or a decimal exponent (`e3`, `E-3`).
    ///
    /// # Errors
    /// See [`QuantityError`].
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (is_negative, text) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (digits, suffix) = text.split_at(end);
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Syntax);
        }
        let unit = Unit::parse(suffix).ok_or(QuantityError::Syntax)?;
        let nanos = unit.nanos(whole, fraction.trim_end_matches('0'))?;
        match (is_negative, nanos) {
            (true, 1..) => Err(QuantityError::Negative),
            (_, nanos) if nanos > MAX_NANOS => Err(QuantityError::TooLarge),
            (_, nanos) => Ok(Self { nanos }),
        }
    }

    /// Whole units, such as bytes, rounded up.
    #[must_use]
    pub fn ceil_units(self) -> u64 {
        u64::try_from(self.nanos.div_ceil(NANOS)).expect("no quantity has more than 2^63 units")
    }

    /// Thousandths of a unit, such as those of a processor, rounded up; [`u64::MAX`] when there are more.
    #[must_use]
    pub fn ceil_millis(self) -> u64 {
        u64::try_from(self.nanos.div_ceil(NANOS / 1000)).unwrap_or(u64::MAX)
    }

    /// Whether there is none at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.nanos == 0
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

/// What the digits count: units of 2^`binary` * 10^`decimal`.
struct Unit {
    binary: u32,
    decimal: i64,
}

impl Unit {
    fn parse(suffix: &str) -> Option<Self> {
        let decimal = |decimal| Some(Self { binary: 0, decimal });
        match suffix {
            "" => decimal(0),
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "k" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            _ => match ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter().zip(1u32..).find(|(s, _)| *s == suffix) {
                Some((_, n)) => Some(Self { binary: 10 * n, decimal: 0 }),
                None => exponent(suffix).and_then(decimal),
            },
        }
    }

    /// The amount in billionths, rounded up.
    fn nanos(&self, whole: &str, fraction: &str) -> Result<u128, QuantityError> {
        let mut mantissa: u128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            let shifted = mantissa.checked_mul(10).and_then(|m| m.checked_add(u128::from(digit - b'0')));
            mantissa = shifted.ok_or(QuantityError::TooLarge)?;
        }
        if mantissa == 0 {
            return Ok(0);
        }
        let scaled = mantissa.checked_mul(1 << self.binary).ok_or(QuantityError::TooLarge)?;
        let fraction_digits = i64::try_from(fraction.len()).map_err(|_| QuantityError::TooLarge)?;
        let power = self.decimal.saturating_sub(fraction_digits).saturating_add(9);
        let factor = u32::try_from(power.unsigned_abs()).ok().and_then(|power| 10u128.checked_pow(power));
        match (power >= 0, factor) {
            (true, Some(factor)) => scaled.checked_mul(factor).ok_or(QuantityError::TooLarge),
            (true, None) => Err(QuantityError::TooLarge),
            (false, Some(factor)) => Ok(scaled.div_ceil(factor)),
            // A billionth part of next to nothing is still more than nothing.
            (false, None) => Ok(1),
        }
    }
}

/// `e` or `E` and a whole number. One with more digits than any amount can use is no syntax error for its length.
fn exponent(suffix: &str) -> Option<i64> {
    let number = suffix.strip_prefix(['e', 'E'])?;
    let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(i64::from(i32::MAX)).min(i64::from(i32::MAX));
    Some(if number.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests;

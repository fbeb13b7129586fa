use proptest::prelude::*;

use super::*;

/// Kubernetes, "Quantity": the grammar, each suffix, and rounding up.
#[test]
fn quantities_are_read_exactly() {
    let rows: [(&str, u128); 40] = [
        ("0", 0),
        ("-0", 0),
        ("+1", NANOS),
        ("1", NANOS),
        ("1.", NANOS),
        (".5", NANOS / 2),
        ("0.1", NANOS / 10),
        ("1.50", 3 * NANOS / 2),
        ("250m", NANOS / 4),
        ("0.5m", NANOS / 2000),
        ("1u", 1000),
        ("1n", 1),
        ("0.1n", 1),
        ("1.1n", 2),
        ("0.0000000001", 1),
        ("1k", 1_000 * NANOS),
        ("1M", 1_000_000 * NANOS),
        ("1G", 1_000_000_000 * NANOS),
        ("1T", 1_000_000_000_000 * NANOS),
        ("1P", 1_000_000_000_000_000 * NANOS),
        ("1E", 1_000_000_000_000_000_000 * NANOS),
        ("1Ki", 1024 * NANOS),
        ("1Mi", (1 << 20) * NANOS),
        ("1Gi", (1 << 30) * NANOS),
        ("1Ti", (1 << 40) * NANOS),
        ("1Pi", (1 << 50) * NANOS),
        ("1Ei", (1 << 60) * NANOS),
        ("1.5Gi", (3 << 29) * NANOS),
        ("0.1Ki", 102_400_000_000),
        ("1e3", 1_000 * NANOS),
        ("1E3", 1_000 * NANOS),
        ("1e+3", 1_000 * NANOS),
        ("1e-3", NANOS / 1_000),
        ("1.5e2", 150 * NANOS),
        ("2e-9", 2),
        ("2e-10", 1),
        ("0e99999999999999999999", 0),
        ("1e-99999999999999999999", 1),
        ("000000000000000000000000000000000000000000000000001", NANOS),
        ("9223372036854775807", MAX_NANOS),
    ];
    for (text, nanos) in rows {
        assert_eq!(Quantity::parse(text), Ok(Quantity { nanos }), "{text}");
    }
}

#[test]
fn what_is_no_quantity_is_refused() {
    use QuantityError::{Negative, Syntax, TooLarge};
    let rows = [
        ("", Syntax),
        (".", Syntax),
        ("+", Syntax),
        ("--1", Syntax),
        ("m", Syntax),
        ("1.2.3", Syntax),
        ("1,5", Syntax),
        ("1 Gi", Syntax),
        ("1gi", Syntax),
        ("1mi", Syntax),
        ("1K", Syntax),
        ("1B", Syntax),
        ("1GB", Syntax),
        ("1e", Syntax),
        ("1e+", Syntax),
        ("1e1.5", Syntax),
        ("1e3m", Syntax),
        ("0x10", Syntax),
        ("inf", Syntax),
        ("NaN", Syntax),
        ("ä", Syntax),
        ("-1", Negative),
        ("-0.1n", Negative),
        ("-5Gi", Negative),
        ("9223372036854775808", TooLarge),
        ("9223372036854775807.000000001", TooLarge),
        ("8Ei", TooLarge),
        ("10E", TooLarge),
        ("1e19", TooLarge),
        ("1e99999999999999999999", TooLarge),
        ("1000000000000000000000000000000000000000", TooLarge),
    ];
    for (text, why) in rows {
        assert_eq!(Quantity::parse(text), Err(why), "{text}");
    }
}

#[test]
fn units_and_thousandths_are_rounded_up() {
    let rows = [
        ("0", 0, 0),
        ("1n", 1, 1),
        ("250m", 1, 250),
        ("1", 1, 1_000),
        ("1.0001", 2, 1_001),
        ("512Mi", 536_870_912, 536_870_912_000),
        ("9223372036854775807", i64::MAX as u64, u64::MAX),
    ];
    for (text, units, millis) in rows {
        let quantity: Quantity = text.parse().unwrap();
        assert_eq!((quantity.ceil_units(), quantity.ceil_millis()), (units, millis), "{text}");
        assert_eq!(quantity.is_zero(), units == 0, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_quantity_or_not(text in any::<String>()) {
        let _ = Quantity::parse(&text);
    }

    #[test] // Written with a suffix or without, an amount is the same.
    fn suffixes_are_powers(n in 0u64..1_000_000_000) {
        for (suffix, factor) in [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30)] {
            let plain = (u128::from(n) * factor).to_string();
            prop_assert_eq!(Quantity::parse(&format!("{n}{suffix}")), Quantity::parse(&plain), "{}{}", n, suffix);
        }
        prop_assert_eq!(Quantity::parse(&format!("{n}m")).unwrap().ceil_millis(), n);
    }
}

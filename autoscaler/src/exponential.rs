//! The average in which each second weighs less than the one after it ("weighted-exponential", spec/serving.md 3.3).

use std::time::Duration;

use super::window::{Window, rounded};

/// The least part that the newest second has.
const MIN_COEFFICIENT: f64 = 0.2;

/// What all the seconds of a window weigh together. The rest is what lies before it.
const COVERED: f64 = 0.9999;

/// The average as of `now`, rounded to 6 decimals. A window that is not full yet reads low, because the seconds that
/// are missing weigh as zeros.
#[must_use]
pub fn weighted_average(window: &Window, now: Duration) -> f64 {
    let coefficient = coefficient(window.seconds());
    let mut weight = coefficient * (1.0 - coefficient).powf(window.silent_seconds(now) as f64);
    let mut sum = 0.0;
    for value in window.newest_first().take(window.known(now)) {
        sum += value * weight;
        weight *= 1.0 - coefficient;
    }
    rounded(sum)
}

/// The part that the newest of so many seconds has.
fn coefficient(seconds: u64) -> f64 {
    (1.0 - (1.0 - COVERED).powf(1.0 / seconds as f64)).max(MIN_COEFFICIENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_follow_the_length() {
        for (seconds, want) in [(1, 0.9999), (5, 0.841_511), (6, 0.784_557), (40, 0.205_672), (42, 0.2), (60, 0.2)] {
            assert!((coefficient(seconds) - want).abs() < 1e-6, "{seconds} s: {}", coefficient(seconds));
        }
    }

    /// spec/serving.md 3.12, table A, and what silence does to it.
    #[test]
    fn the_newest_second_weighs_most() {
        let mut window = Window::new(Duration::from_secs(5));
        for second in 1..=6 {
            window.record(Duration::from_secs(second), second as f64);
        }
        // Each silent second leaves the rest of the newest one's part, and drops the oldest value.
        for (now, want) in [(6, 5.812), (7, 0.921), (8, 0.146), (10, 0.003), (11, 0.0), (12, 0.0)] {
            let average = weighted_average(&window, Duration::from_secs(now));
            assert!((average - want).abs() < 1e-3, "at {now} s: {average}");
        }
    }

    #[test]
    fn a_window_that_just_began_reads_low() {
        let mut window = Window::new(Duration::from_secs(60));
        window.record(Duration::from_secs(3), 100.0);
        assert_eq!(weighted_average(&window, Duration::from_secs(3)), 20.0);
        window.record(Duration::from_secs(4), 100.0);
        assert_eq!(weighted_average(&window, Duration::from_secs(4)), 36.0);
    }
}

//! Pairs of measurements taken in turn, and what their ratios say together.
//!
//! The machine changes from minute to minute, so a figure alone says little. What is compared is therefore always
//! measured side by side: one pair after another, in alternating order, and the result is the median of the ratios.

use serde::Serialize;

use super::error::BenchError;
use super::lab::Lab;
use super::steal::{CALM_PERCENT, StealWatch};

/// Median, lowest and highest of some values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the values are not above it.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// The spread of `values`; `None` when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 };
        Some(Self { median, min, max })
    }
}

/// The value that `quantile` (above 0, at most 1) of the values do not exceed; `None` when there are none.
pub fn at_quantile(values: impl IntoIterator<Item = f64>, quantile: f64) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let rank = (quantile * values.len() as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied()
}

/// Which half of a pair is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The product as the workload asks.
    Ours,
    /// What it is compared with.
    Reference,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// The figure.
    pub value: f64,
    /// Processor time of the product for one event, microseconds, where it is known.
    pub processor_micros: Option<f64>,
}

impl From<f64> for Sample {
    fn from(value: f64) -> Self {
        Self { value, processor_micros: None }
    }
}

/// Two measurements taken one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// The product's figure.
    pub ours: Sample,
    /// The reference's figure.
    pub reference: f64,
    /// Processor time stolen by the host meanwhile, percent, where it is known.
    pub stolen_percent: Option<f64>,
}

impl Pair {
    /// Ours over the reference.
    pub fn ratio(&self) -> f64 {
        self.ours.value / self.reference
    }
}

/// Takes `rounds` pairs, each side first in turn. A pair with too much stolen time is taken again, up to as many
/// times as there are rounds; the calmest are kept.
///
/// # Errors
/// The first error of `measure`.
pub async fn pairs(
    lab: &Lab,
    rounds: usize,
    label: &str,
    mut measure: impl AsyncFnMut(Side) -> Result<Sample, BenchError>,
) -> Result<Vec<Pair>, BenchError> {
    let mut pairs: Vec<Pair> = Vec::new();
    for attempt in 0..rounds * 2 {
        let calm = pairs.iter().filter(|pair| is_calm(pair)).count();
        if calm >= rounds {
            break;
        }
        lab.step(&format!("{label}: pair {}, {calm} calm of {rounds}", attempt + 1));
        let watch = StealWatch::start();
        let pair = if attempt % 2 == 0 {
            let reference = measure(Side::Reference).await?.value;
            let ours = measure(Side::Ours).await?;
            Pair { ours, reference, stolen_percent: watch.percent() }
        } else {
            let ours = measure(Side::Ours).await?;
            let reference = measure(Side::Reference).await?.value;
            Pair { ours, reference, stolen_percent: watch.percent() }
        };
        pairs.push(pair);
        lab.rest().await;
    }
    Ok(calmest(pairs, rounds))
}

fn is_calm(pair: &Pair) -> bool {
    pair.stolen_percent.is_none_or(|percent| percent <= CALM_PERCENT)
}

/// The `rounds` pairs with the least stolen time. They are not chosen by their ratio, so the choice favours nobody.
fn calmest(mut pairs: Vec<Pair>, rounds: usize) -> Vec<Pair> {
    let stolen = |pair: &Pair| pair.stolen_percent.unwrap_or(0.0);
    pairs.sort_by(|a, b| stolen(a).total_cmp(&stolen(b)));
    pairs.truncate(rounds);
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_values() {
        type Want = Option<(f64, f64, f64)>;
        let table: [(&[f64], Want); 4] = [
            (&[], None),
            (&[3.0], Some((3.0, 3.0, 3.0))),
            (&[5.0, 1.0, 2.0], Some((2.0, 1.0, 5.0))),
            (&[4.0, 1.0, 2.0, 3.0], Some((2.5, 1.0, 4.0))),
        ];
        for (values, want) in table {
            let spread = Spread::of(values.iter().copied());
            assert_eq!(spread.map(|s| (s.median, s.min, s.max)), want, "{values:?}");
        }
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let hundred = || (1..=100).rev().map(f64::from);
        for (quantile, want) in [(0.001, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            assert_eq!(at_quantile(hundred(), quantile), Some(want), "{quantile}");
        }
        assert_eq!(at_quantile([7.0], 0.99), Some(7.0));
        assert_eq!(at_quantile([], 0.5), None);
    }

    #[test]
    fn the_calmest_pairs_are_kept_whatever_their_ratio() {
        let pair = |ours: f64, stolen| Pair { ours: ours.into(), reference: 2.0, stolen_percent: Some(stolen) };
        let kept = calmest(vec![pair(9.0, 12.0), pair(1.0, 0.5), pair(4.0, 3.5), pair(2.0, 0.0)], 3);
        let ratios: Vec<f64> = kept.iter().map(Pair::ratio).collect();
        assert_eq!(ratios, [1.0, 0.5, 2.0]);
        assert_eq!(kept.iter().filter(|pair| is_calm(pair)).count(), 2);
    }
}

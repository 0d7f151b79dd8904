//! Statistics of paired measurements on a busy machine: medians, because one build beside us makes a mean worthless.
//!
//! Intervals are order statistics, which assume nothing about the distribution and draw no random numbers: the k-th
//! smallest and k-th largest of n values enclose the median with the probability that a binomial count of n throws
//! lies between (Hahn and Meeker, *Statistical Intervals*, section 5.2).

use serde::Serialize;

/// The confidence of every interval.
const CONFIDENCE: f64 = 0.95;

/// A median, and the interval that holds the true one with at least 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Estimate {
    /// The median of these values. Panics without any. With fewer than six no interval has the confidence: it is
    /// then all of them.
    #[must_use]
    pub fn of(values: &[f64]) -> Estimate {
        let sorted = sorted(values);
        let rank = rank(sorted.len());
        let [low, high] = [sorted[rank - 1], sorted[sorted.len() - rank]];
        Estimate { median: middle(&sorted), low, high }
    }

    /// The median of `a / b`, pair by pair: what both suffered at the time cancels. Panics when they are not pairs.
    #[must_use]
    pub fn of_ratios(a: &[f64], b: &[f64]) -> Estimate {
        assert_eq!(a.len(), b.len(), "measurements that are not pairs");
        Estimate::of(&a.iter().zip(b).map(|(a, b)| a / b).collect::<Vec<_>>())
    }
}

/// The middle value. Panics without any.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    middle(&sorted(values))
}

/// The smallest value that at least this share (0 to 1) of all values does not exceed. Panics without any.
#[must_use]
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let sorted = sorted(values);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn sorted(values: &[f64]) -> Vec<f64> {
    assert!(!values.is_empty(), "nothing was measured");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn middle(sorted: &[f64]) -> f64 {
    let half = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => f64::midpoint(sorted[half - 1], sorted[half]),
        _ => sorted[half],
    }
}

/// The largest k for which the k-th smallest and k-th largest of `n` values enclose the median with the confidence;
/// 1 when there is none.
fn rank(n: usize) -> usize {
    let throws = i32::try_from(n).unwrap_or(i32::MAX);
    // The probability of exactly k heads, from k = 0 on; of at most k, summed.
    let (mut exactly, mut at_most, mut rank) = (0.5_f64.powi(throws), 0.0, 0);
    for heads in 0..throws {
        at_most += exactly;
        if at_most > (1.0 - CONFIDENCE) / 2.0 {
            break;
        }
        rank += 1;
        exactly *= f64::from(throws - heads) / f64::from(heads + 1);
    }
    rank.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upto(n: u32) -> Vec<f64> {
        (1..=n).rev().map(f64::from).collect()
    }

    #[test]
    fn intervals_have_the_ranks_of_the_published_tables() {
        for (n, expected) in [(1, 1), (5, 1), (6, 1), (10, 2), (20, 6), (24, 7), (25, 8), (50, 18), (100, 40)]
        {
            assert_eq!(rank(n), expected, "{n} values");
        }
    }

    #[test]
    fn an_estimate_is_the_median_with_its_order_statistics() {
        assert_eq!(Estimate::of(&upto(24)), Estimate { median: 12.5, low: 7.0, high: 18.0 });
        assert_eq!(Estimate::of(&[3.0]), Estimate { median: 3.0, low: 3.0, high: 3.0 });
    }

    #[test]
    fn ratios_are_taken_pair_by_pair() {
        let (a, b) = ([2.0, 20.0, 200.0], [1.0, 10.0, 50.0]);
        assert_eq!(Estimate::of_ratios(&a, &b), Estimate { median: 2.0, low: 2.0, high: 4.0 });
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = upto(200);
        for (share, expected) in [(0.0, 1.0), (0.5, 100.0), (0.99, 198.0), (0.999, 200.0), (1.0, 200.0)] {
            assert_eq!(percentile(&values, share).to_bits(), f64::to_bits(expected), "{share}");
        }
    }
}

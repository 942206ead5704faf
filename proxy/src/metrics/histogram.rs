//! One distribution: counts in fixed buckets, changed without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::HistogramFn;

/// A distribution.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above the last.
    buckets: Box<[AtomicU64]>,
    /// The bits of a float.
    sum: AtomicU64,
}

/// A distribution at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// The upper bounds of the buckets but the last, which has none.
    pub bounds: &'static [f64],
    /// How many values each bucket has.
    pub buckets: Vec<u64>,
    /// The sum of all values.
    pub sum: f64,
}

impl Histogram {
    /// An empty one.
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0f64.to_bits()) }
    }

    /// What is in it now.
    pub fn counts(&self) -> Counts {
        Counts {
            bounds: self.bounds,
            buckets: self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
        }
    }
}

impl HistogramFn for Histogram {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(count as u64, Ordering::Relaxed);
        }
        let more = |bits| Some((f64::from_bits(bits) + value * count as f64).to_bits());
        // It is always some.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

impl Counts {
    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// What has come since an earlier moment.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |index| earlier.buckets.get(index).copied().unwrap_or(0);
        let more = |(index, count): (usize, &u64)| count.saturating_sub(before(index));
        Self {
            bounds: self.bounds,
            buckets: self.buckets.iter().enumerate().map(more).collect(),
            sum: self.sum - earlier.sum,
        }
    }

    /// The value that this part of all values is not above, as far as the buckets tell: values are taken to be spread
    /// evenly in their bucket, and those above the last bound to be at it. None of none.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let rank = part * self.count() as f64;
        let (mut below, mut low) = (0.0, 0.0);
        for (index, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            low = if index == 0 { 0.0 } else { *self.bounds.get(index - 1)? };
            let Some(high) = self.bounds.get(index) else { break };
            if below + *count as f64 >= rank {
                return Some(low + (high - low) * (rank - below) / *count as f64);
            }
            below += *count as f64;
        }
        (self.count() > 0).then_some(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static BOUNDS: [f64; 3] = [1.0, 2.0, 4.0];

    #[test]
    fn a_value_is_counted_in_the_first_bucket_that_it_is_not_above() {
        let histogram = Histogram::new(&BOUNDS);
        for value in [0.5, 1.0, 1.5, 4.0, 4.1] {
            histogram.record(value);
        }
        histogram.record_many(3.0, 10);
        let counts = histogram.counts();
        assert_eq!(counts.buckets, [2, 1, 11, 1]);
        assert!((counts.sum - 41.1).abs() < 1e-9);
        assert_eq!(counts.count(), 15);
    }

    #[test]
    fn quantiles_are_within_the_bucket_that_holds_them() {
        let histogram = Histogram::new(&BOUNDS);
        assert_eq!(histogram.counts().quantile(0.5), None);
        histogram.record_many(1.5, 98);
        let before = histogram.counts();
        histogram.record_many(3.0, 2);
        let counts = histogram.counts();
        let half = counts.quantile(0.5).unwrap_or_default();
        assert!((1.0..=2.0).contains(&half), "{half}");
        let last = counts.quantile(0.99).unwrap_or_default();
        assert!((2.0..=4.0).contains(&last), "{last}");
        assert_eq!(counts.since(&before).count(), 2);
        histogram.record_many(1000.0, 1000);
        assert_eq!(histogram.counts().quantile(0.99), Some(4.0));
    }
}

//! How times are distributed.

/// Some times in nanoseconds, sorted.
#[derive(Clone, Debug, Default)]
pub struct Percentiles(Vec<u64>);

impl Percentiles {
    /// Of these times.
    pub fn of(mut times: Vec<u64>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// p50, p99 and the maximum in milliseconds; not a number when there are no times.
    pub fn milliseconds(&self) -> [f64; 3] {
        [50, 99, 100].map(|of_100| {
            let at = (self.0.len() * of_100 / 100).min(self.0.len().saturating_sub(1));
            self.0.get(at).map_or(f64::NAN, |ns| *ns as f64 / 1e6)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let times = (1..=200).rev().map(|ms| ms * 1_000_000).collect();
        assert_eq!(Percentiles::of(times).milliseconds(), [101.0, 199.0, 200.0]);
        assert!(Percentiles::of(Vec::new()).milliseconds()[0].is_nan());
    }
}

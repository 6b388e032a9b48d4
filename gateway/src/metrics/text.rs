//! The text format of Prometheus, version 0.0.4. Plain rules: names and values in, text out.

use std::fmt::Write as _;

use super::kinds::{Counter, Counters, Gauge, Histogram, Label};

/// What a response in this format says of itself.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Collects families of series, each with its help and its type. Names, helps and labels are our own words; nothing of
/// what a client said comes here.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// `labels` is empty or `name="value",…`.
    fn sample(&mut self, name: &str, labels: &str, value: impl std::fmt::Display) {
        let _ = match labels {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: &Counter) {
        self.total(name, help, value.get());
    }

    /// A counter that is kept elsewhere.
    pub(super) fn total(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "counter", help);
        self.sample(name, "", value);
    }

    pub(super) fn counters<L: Label>(&mut self, name: &str, help: &str, label: &str, values: &Counters<L>) {
        self.totals(name, help, label, values.read());
    }

    pub(super) fn totals<'a>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl Iterator<Item = (&'a str, u64)>,
    ) {
        self.family(name, "counter", help);
        for (value, count) in values {
            self.sample(name, &format!("{label}=\"{value}\""), count);
        }
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: &Gauge) {
        self.level(name, help, value.get());
    }

    /// A gauge that is read elsewhere.
    pub(super) fn level(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.family(name, "gauge", help);
        self.sample(name, "", value);
    }

    pub(super) fn levels<'a, V: std::fmt::Display>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, V)>,
    ) {
        self.family(name, "gauge", help);
        for (value, level) in values {
            self.sample(name, &format!("{label}=\"{value}\""), level);
        }
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, values: &Histogram) {
        self.family(name, "histogram", help);
        let (buckets, sum) = values.read();
        let bucket = format!("{name}_bucket");
        let count = buckets.last().map_or(0, |(_, count)| *count);
        for (bound, below) in buckets {
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            self.sample(&bucket, &format!("le=\"{bound}\""), below);
        }
        self.sample(&format!("{name}_sum"), "", sum);
        self.sample(&format!("{name}_count"), "", count);
    }

    pub(super) fn end(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::Unit;
    use super::*;

    #[test]
    fn each_kind_is_written_as_the_format_wants_it() {
        let mut text = Text::default();
        let counter = Counter::default();
        counter.add(3);
        text.counter("a_total", "Counts.", &counter);
        text.levels("b", "Levels.", "state", [("on", 1), ("off", 0)]);
        let histogram = Histogram::new(Unit::Seconds, &[500_000, 1_000_000_000]);
        histogram.time(std::time::Duration::from_millis(1));
        text.histogram("c_seconds", "Times.", &histogram);
        let expected = "# HELP a_total Counts.\n# TYPE a_total counter\na_total 3\n\
            # HELP b Levels.\n# TYPE b gauge\nb{state=\"on\"} 1\nb{state=\"off\"} 0\n\
            # HELP c_seconds Times.\n# TYPE c_seconds histogram\n\
            c_seconds_bucket{le=\"0.0005\"} 0\nc_seconds_bucket{le=\"1\"} 1\nc_seconds_bucket{le=\"+Inf\"} 1\n\
            c_seconds_sum 0.001\nc_seconds_count 1\n";
        assert_eq!(text.end(), expected);
    }
}

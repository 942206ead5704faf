//! All metrics in Prometheus's text format, version 0.0.4.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use metrics::Key;

use super::catalog;
use super::histogram::Counts;
use super::registry::{Cell, Registry};

/// The format's media type.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes all of them.
pub fn render(registry: &Registry) -> String {
    let mut text = String::with_capacity(32 * 1024);
    let mut last = String::new();
    for (key, cell) in registry.cells() {
        let metric = catalog::find(key.name());
        // A command that was never called is not there, rather than there with twenty zeros.
        if metric.is_some_and(|metric| metric.sparse) && is_untouched(&cell) {
            continue;
        }
        if key.name() != last {
            last = key.name().to_owned();
            let help = metric.map_or("", |metric| metric.help);
            line(&mut text, format_args!("# HELP {last} {}", help.replace('\\', "\\\\")));
            line(&mut text, format_args!("# TYPE {last} {}", kind(&cell)));
        }
        match cell {
            Cell::Counter(counter) => {
                let labels = labels(&key, None);
                line(&mut text, format_args!("{last}{labels} {}", counter.load(Ordering::Relaxed)));
            }
            Cell::Gauge(gauge) => {
                let (labels, value) = (labels(&key, None), f64::from_bits(gauge.load(Ordering::Relaxed)));
                line(&mut text, format_args!("{last}{labels} {value}"));
            }
            Cell::Histogram(histogram) => distribution(&mut text, &key, &histogram.counts()),
        }
    }
    text
}

fn is_untouched(cell: &Cell) -> bool {
    match cell {
        Cell::Counter(counter) => counter.load(Ordering::Relaxed) == 0,
        Cell::Gauge(gauge) => gauge.load(Ordering::Relaxed) == 0,
        Cell::Histogram(histogram) => histogram.counts().count() == 0,
    }
}

fn kind(cell: &Cell) -> &'static str {
    match cell {
        Cell::Counter(_) => "counter",
        Cell::Gauge(_) => "gauge",
        Cell::Histogram(_) => "histogram",
    }
}

fn distribution(text: &mut String, key: &Key, counts: &Counts) {
    let name = key.name();
    let mut below = 0;
    for (index, count) in counts.buckets.iter().enumerate() {
        below += count;
        let bound = counts.bounds.get(index).map_or("+Inf".to_owned(), f64::to_string);
        line(text, format_args!("{name}_bucket{} {below}", labels(key, Some(&bound))));
    }
    line(text, format_args!("{name}_sum{} {}", labels(key, None), counts.sum));
    line(text, format_args!("{name}_count{} {below}", labels(key, None)));
}

/// `{a="x",le="1"}`, or nothing where there is no label.
fn labels(key: &Key, bound: Option<&str>) -> String {
    let own = key.labels().map(|label| (label.key(), escaped(label.value())));
    let all: Vec<String> = own
        .chain(bound.map(|bound| ("le", bound.to_owned())))
        .map(|(name, value)| format!("{name}=\"{value}\""))
        .collect();
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{content}");
}

#[cfg(test)]
mod tests {
    use metrics::with_local_recorder;

    use super::*;

    #[test]
    fn counters_gauges_and_histograms_are_written_as_prometheus_reads_them() {
        let registry = Registry::default();
        with_local_recorder(&registry, || {
            metrics::counter!("raft_proxy_commands_total", "cmd" => "get").increment(3);
            metrics::counter!("raft_proxy_commands_total", "cmd" => "never").increment(0);
            metrics::gauge!("some_level", "name" => "a\"b\\c\nd").set(1.5);
            let histogram = metrics::histogram!("raft_proxy_write_duration_seconds");
            histogram.record(0.0002);
            histogram.record_many(100.0, 2);
        });
        let text = render(&registry);
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        has("# TYPE raft_proxy_commands_total counter");
        has("raft_proxy_commands_total{cmd=\"get\"} 3");
        assert!(!text.contains("never"), "{text}");
        has("# TYPE some_level gauge");
        has("some_level{name=\"a\\\"b\\\\c\\nd\"} 1.5");
        has("# TYPE raft_proxy_write_duration_seconds histogram");
        has("raft_proxy_write_duration_seconds_bucket{le=\"0.0001\"} 0");
        has("raft_proxy_write_duration_seconds_bucket{le=\"0.00025\"} 1");
        has("raft_proxy_write_duration_seconds_bucket{le=\"+Inf\"} 3");
        has("raft_proxy_write_duration_seconds_sum 200.0002");
        has("raft_proxy_write_duration_seconds_count 3");
    }
}

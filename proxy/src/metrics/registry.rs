//! The numbers behind all metrics, by name and labels.
//!
//! Each is made once, by whoever registers it first, and lives as long as the process. Labels are nodes' ids, names of
//! commands and words of our own, so there is a bound to how many there are.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use metrics::atomics::AtomicU64;
use metrics::{Counter, Gauge, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::catalog;
use super::histogram::{Counts, Histogram};

/// One number, or one distribution.
#[derive(Clone, Debug)]
pub enum Cell {
    /// It only grows.
    Counter(Arc<AtomicU64>),
    /// It goes up and down; the bits of a float.
    Gauge(Arc<AtomicU64>),
    /// A distribution.
    Histogram(Arc<Histogram>),
}

/// All of them.
#[derive(Debug, Default)]
pub struct Registry(RwLock<BTreeMap<Key, Cell>>);

impl Registry {
    /// All of them, by name and labels.
    pub fn cells(&self) -> Vec<(Key, Cell)> {
        let cells = self.0.read().unwrap_or_else(PoisonError::into_inner);
        cells.iter().map(|(key, cell)| (key.clone(), cell.clone())).collect()
    }

    /// The sum of all counters of this name.
    pub fn total(&self, name: &str) -> u64 {
        let cells = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let counters =
            cells.iter().filter(|(key, _)| key.name() == name).filter_map(|(_, cell)| match cell {
                Cell::Counter(counter) => Some(counter.load(std::sync::atomic::Ordering::Relaxed)),
                _ => None,
            });
        counters.sum()
    }

    /// The distribution of this name, if it has no labels.
    pub fn counts(&self, name: &'static str) -> Counts {
        let cells = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match cells.get(&Key::from_static_name(name)) {
            Some(Cell::Histogram(histogram)) => histogram.counts(),
            _ => Counts::default(),
        }
    }

    fn find_or_add(&self, key: &Key, new: impl FnOnce() -> Cell) -> Cell {
        if let Some(cell) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return cell.clone();
        }
        let mut cells = self.0.write().unwrap_or_else(PoisonError::into_inner);
        cells.entry(key.clone()).or_insert_with(new).clone()
    }
}

impl Recorder for Registry {
    // What a metric is, the catalog says.
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.find_or_add(key, || Cell::Counter(Arc::default())) {
            Cell::Counter(counter) => Counter::from_arc(counter),
            // Two uses of one name: the first one stands.
            Cell::Gauge(_) | Cell::Histogram(_) => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.find_or_add(key, || Cell::Gauge(Arc::default())) {
            Cell::Gauge(gauge) => Gauge::from_arc(gauge),
            Cell::Counter(_) | Cell::Histogram(_) => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> metrics::Histogram {
        let new = || Cell::Histogram(Arc::new(Histogram::new(catalog::bounds(key.name()))));
        match self.find_or_add(key, new) {
            Cell::Histogram(histogram) => metrics::Histogram::from_arc(histogram),
            Cell::Counter(_) | Cell::Gauge(_) => metrics::Histogram::noop(),
        }
    }
}

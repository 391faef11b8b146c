//! All metrics as they are at one moment, before they are written in one form or another.

use std::{borrow::Cow, collections::HashMap};

use super::{
    instrument::{Counter, Distribution, Histogram},
    table::{Metric, TABLE},
};

/// The value of a label.
pub type Label = Cow<'static, str>;

/// All metrics at one moment: each of the table, in its order.
#[derive(Debug)]
pub struct Snapshot {
    families: Vec<Family>,
    places: HashMap<&'static str, usize>,
}

/// One metric, with all its series.
#[derive(Debug)]
pub struct Family {
    /// Which.
    pub metric: &'static Metric,
    /// Its series, perhaps none.
    pub samples: Vec<Sample>,
}

/// One series.
#[derive(Debug)]
pub struct Sample {
    /// A value for each label of the metric, in its order.
    pub labels: Vec<Label>,
    /// What it comes to.
    pub value: Value,
}

/// What a series comes to.
#[derive(Debug)]
pub enum Value {
    /// A counter's, or a gauge's.
    Number(f64),
    /// A histogram's.
    Spread(Distribution),
}

impl Default for Snapshot {
    fn default() -> Self {
        let families = TABLE.iter().map(|metric| Family { metric, samples: Vec::new() });
        let places = TABLE.iter().enumerate().map(|(place, metric)| (metric.name, place));
        Self { families: families.collect(), places: places.collect() }
    }
}

impl Snapshot {
    /// The metrics.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// A series without labels.
    pub fn number(&mut self, metric: &Metric, value: f64) {
        self.put(metric, [], Value::Number(value));
    }

    /// A series with labels, in the order of the metric's.
    pub fn labelled<const N: usize>(&mut self, metric: &Metric, labels: [Label; N], value: f64) {
        self.put(metric, labels, Value::Number(value));
    }

    /// The same of a counter.
    pub fn counter<const N: usize>(
        &mut self,
        metric: &Metric,
        labels: [Label; N],
        counter: &Counter,
    ) {
        self.labelled(metric, labels, counter.get() as f64);
    }

    /// The same of a histogram.
    pub fn histogram<const N: usize>(
        &mut self,
        metric: &Metric,
        labels: [Label; N],
        histogram: &Histogram,
    ) {
        self.put(metric, labels, Value::Spread(histogram.distribution()));
    }

    fn put<const N: usize>(&mut self, metric: &Metric, labels: [Label; N], value: Value) {
        debug_assert_eq!(metric.labels.len(), N, "{}", metric.name);
        let place = self.places.get(metric.name);
        if let Some(family) = place.and_then(|place| self.families.get_mut(*place)) {
            family.samples.push(Sample { labels: labels.into(), value });
        }
    }
}

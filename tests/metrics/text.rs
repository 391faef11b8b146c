//! A strict reader of what `/metrics` says: Prometheus' exposition format 0.0.4, and OpenMetrics
//! 1.0.0 as far as it is used.

use std::collections::{BTreeMap, BTreeSet};

pub type Labels = BTreeMap<String, String>;

/// What one metric says.
#[derive(Debug, Default)]
pub struct Family {
    pub help: String,
    pub kind: String,
    /// By the sample's name and its labels.
    pub samples: BTreeMap<(String, Labels), f64>,
}

/// All metrics, by name. Panics at the first thing that is not as it has to be.
pub fn read(text: &str, is_open_metrics: bool) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current: Option<String> = None;
    let body = match is_open_metrics {
        true => text.strip_suffix("# EOF\n").expect("it ends with # EOF"),
        false => text,
    };
    assert!(body.is_empty() || body.ends_with('\n'), "the last line has an end");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(is_name(name), "{line}");
            let new = families
                .insert(name.to_owned(), Family { help: help.to_owned(), ..Family::default() });
            assert!(new.is_none(), "{name} comes twice");
            current = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            assert_eq!(current.as_deref(), Some(name), "{line}: right after its help");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let family = families.get_mut(name).unwrap();
            assert!(family.kind.is_empty() && family.samples.is_empty(), "{line}");
            kind.clone_into(&mut family.kind);
        } else {
            assert!(!line.starts_with('#') && !line.is_empty(), "{line:?}");
            let (name, labels, value) = sample(line);
            let of = current.as_deref().expect("a sample has its family");
            let family = families.get_mut(of).unwrap();
            let suffixes: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "counter" if is_open_metrics => &["_total"],
                _ => &[""],
            };
            assert!(
                suffixes.iter().any(|suffix| name == format!("{of}{suffix}")),
                "{line} in {of}"
            );
            let before = family.samples.insert((name, labels), value);
            assert!(before.is_none(), "{line} comes twice");
        }
    }
    for (name, family) in &families {
        assert!(!family.kind.is_empty() && !family.help.is_empty(), "{name}");
        match family.kind.as_str() {
            "histogram" => histogram(name, family),
            "counter" => {
                assert!(family.samples.values().all(|v| *v >= 0.0 && v.is_finite()), "{name}");
            }
            _ => {}
        }
    }
    families
}

fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest, line),
        None => (Labels::new(), rest),
    };
    let value = value.strip_prefix(' ').expect(line);
    assert!(!value.contains(' '), "no time stamps: {line}");
    let value = match value {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().expect(line),
    };
    (name.to_owned(), labels, value)
}

fn labels<'a>(mut rest: &'a str, line: &str) -> (Labels, &'a str) {
    let mut labels = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").expect(line);
        assert!(is_name(name) && !name.contains(':') && !name.starts_with("__"), "{line}");
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().expect(line) {
                (_, '\\') => match chars.next().expect(line).1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    _ => panic!("{line}"),
                },
                (at, '"') => break at,
                (_, c) => value.push(c),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "{line}");
        rest = &after[end + 1..];
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        rest = rest.strip_prefix(',').expect(line);
    }
}

/// Each series of it: buckets rise, the last one has all, and count and sum are there.
fn histogram(name: &str, family: &Family) {
    let mut all: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    for ((sample, labels), count) in &family.samples {
        if *sample == format!("{name}_bucket") {
            let mut labels = labels.clone();
            let bound = labels.remove("le").expect("a bucket has its bound");
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            all.entry(labels).or_default().push((bound, *count));
        }
    }
    let others = family.samples.keys().filter(|(sample, _)| !sample.ends_with("_bucket"));
    let others: BTreeSet<_> = others.map(|(_, labels)| labels.clone()).collect();
    assert_eq!(others, all.keys().cloned().collect(), "{name}");
    for (labels, mut buckets) in all {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels:?}");
        let (bound, count) = *buckets.last().unwrap();
        assert_eq!(bound, f64::INFINITY, "{name} {labels:?}");
        let of = |suffix: &str| family.samples[&(format!("{name}{suffix}"), labels.clone())];
        assert_eq!(of("_count"), count, "{name} {labels:?}");
        let sum = of("_sum");
        assert!(sum >= 0.0 && (count > 0.0 || sum == 0.0), "{name} {labels:?}");
        // No less than the lower bounds of its values say.
        let mut least = 0.0;
        for pair in buckets.windows(2) {
            least += pair[0].0 * (pair[1].1 - pair[0].1);
        }
        assert!(sum >= least * 0.999, "{name} {labels:?}: {sum} < {least}");
    }
}

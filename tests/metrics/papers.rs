//! What the dashboard, the alerts and the documentation name has to be there.

use std::{collections::BTreeSet, fs, path::Path};

use dialplane::telemetry::metrics::{Kind, Metric, TABLE};
use serde_json::Value;

use crate::house::{House, Scrape};

/// Labels that a scraper adds.
const OF_THE_SCRAPER: [&str; 2] = ["job", "instance"];
/// Labels whose values are not all seen before they happen.
const OPEN: [&str; 5] = ["method", "code", "certificate", "job", "instance"];

fn paper(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A metric that is named somewhere, with what is asked of its labels.
#[derive(Debug)]
struct Named {
    name: String,
    /// Label, operator, value.
    matchers: Vec<(String, String, String)>,
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Every metric that a text names, with the matchers that follow.
fn named(text: &str) -> Vec<Named> {
    let mut all = Vec::new();
    for (at, _) in text.match_indices("dialplane_").chain(text.match_indices("process_")) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '/') {
            continue;
        }
        let name = word(&text[at..]);
        let rest = &text[at + name.len()..];
        let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let matchers = matchers.map_or_else(Vec::new, |(matchers, _)| {
            let pairs = matchers.split(',').map(|pair| {
                let label = word(pair);
                let (operator, value) = pair[label.len()..].split_once('"').expect(pair);
                let value = value.strip_suffix('"').expect(pair);
                (label.to_owned(), operator.to_owned(), value.to_owned())
            });
            pairs.collect()
        });
        all.push(Named { name: name.to_owned(), matchers });
    }
    all
}

/// The metric of a series' name.
fn metric(series: &str) -> (&'static Metric, bool) {
    let is_it = |name: &str| TABLE.iter().find(|metric| metric.name == name);
    if let Some(metric) = is_it(series) {
        assert_ne!(metric.kind, Kind::Histogram, "{series} has _bucket, _sum and _count");
        return (metric, false);
    }
    let parts = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| series.strip_suffix(suffix));
    let metric = parts.and_then(is_it).unwrap_or_else(|| panic!("there is no {series}"));
    assert_eq!(metric.kind, Kind::Histogram, "{series}");
    (metric, true)
}

fn check(expression: &str, scrape: &Scrape) {
    let mut labels: BTreeSet<&str> = OF_THE_SCRAPER.into();
    for Named { name, matchers } in named(expression) {
        let (metric, is_histogram) = metric(&name);
        labels.extend(metric.labels);
        labels.extend(is_histogram.then_some("le"));
        for (label, operator, value) in matchers {
            let is_own = metric.labels.contains(&label.as_str());
            assert!(is_own || OF_THE_SCRAPER.contains(&label.as_str()), "{name} has no {label}");
            assert!(["=", "!=", "=~", "!~"].contains(&operator.as_str()), "{expression}");
            if OPEN.contains(&label.as_str()) || value.starts_with('$') {
                continue;
            }
            for one in value.split('|') {
                let samples = scrape.0[metric.name].samples.keys();
                let has = |(_, all): &(String, crate::text::Labels)| {
                    all.get(&label).is_some_and(|v| v == one)
                };
                assert!(samples.into_iter().any(has), "no {name} has {label}={one}");
            }
        }
    }
    for (at, by) in expression.match_indices("by (") {
        let (list, _) = expression[at + by.len()..].split_once(')').unwrap();
        for label in list.split(',').map(str::trim) {
            assert!(labels.contains(label), "{label} in {expression}");
        }
    }
}

/// A house in which something of everything has happened.
async fn lived_in() -> (House, Scrape) {
    let mut house = House::start().await;
    house.place("phonon-multicast", &["919900000100"]).await;
    house.place("default", &["919900000111"]).await;
    let scrape = house.scrape().await;
    (house, scrape)
}

#[tokio::test]
async fn the_dashboard_asks_for_what_is_there() {
    let (house, scrape) = lived_in().await;
    let dashboard: Value = serde_json::from_str(&paper("deploy/grafana/dialplane.json")).unwrap();
    let mut seen = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(seen.insert(panel["id"].as_u64().unwrap()), "two panels have one id");
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(targets.is_empty(), panel["type"] == "row", "{}", panel["title"]);
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            assert!(!named(expression).is_empty(), "{expression}");
            check(expression, &scrape);
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = variable["query"]["query"].as_str().unwrap();
        check(query, &scrape);
        let (_, label) = query.trim_end_matches(')').rsplit_once(", ").unwrap();
        let labels = metric(&named(query)[0].name).0.labels;
        assert!(labels.contains(&label) || OF_THE_SCRAPER.contains(&label), "{query}");
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        check(annotation["expr"].as_str().unwrap(), &scrape);
    }
    house.stop().await;
}

#[tokio::test]
async fn alerts_ask_for_what_is_there_and_say_what_to_do() {
    let (house, scrape) = lived_in().await;
    let text = paper("deploy/prometheus/alerts.yml");
    let mut names = BTreeSet::new();
    for alert in text.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap();
        assert!(name.starts_with("Dialplane") && names.insert(name), "{name}");
        for part in ["expr: ", "severity: ", "summary: \"", "action: \""] {
            assert_eq!(alert.matches(part).count(), 1, "{name}: {part}");
        }
        let (_, expression) = alert.split_once("expr: ").unwrap();
        let (expression, rest) = expression.split_once("labels:").unwrap();
        check(expression.split("for: ").next().unwrap(), &scrape);
        for Named { name, .. } in named(rest) {
            metric(&name);
        }
        // What a summary names has to be among what the expression leaves.
        for used in rest.split("$labels.").skip(1).map(word) {
            let of_metrics = named(expression).into_iter();
            let is_left = of_metrics.into_iter().any(|n| metric(&n.name).0.labels.contains(&used));
            assert!(is_left || OF_THE_SCRAPER.contains(&used), "{name}: {used}");
        }
    }
    assert!(names.len() > 15, "{names:?}");
    house.stop().await;
}

#[test]
fn every_metric_is_documented() {
    let text = paper("docs/metrics.md");
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| `dialplane_") || line.starts_with("| `process_"));
    let documented: Vec<_> = rows
        .map(|row| {
            row.trim_matches('|').split('|').map(|c| c.trim().replace('`', "")).collect::<Vec<_>>()
        })
        .collect();
    let expected: Vec<_> = TABLE
        .iter()
        .map(|metric| {
            let Metric { name, kind, labels, help, .. } = metric;
            vec![(*name).to_owned(), kind.name().to_owned(), labels.join(", "), (*help).to_owned()]
        })
        .collect();
    assert_eq!(documented, expected);
    for Named { name, .. } in named(&text) {
        let known = TABLE.iter().any(|metric| metric.name == name);
        assert!(known, "{name}");
    }
}

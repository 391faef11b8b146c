//! Metrics as text: the format of Prometheus (0.0.4), and OpenMetrics (1.0.0).

use std::fmt::Write;

use super::{
    snapshot::{Family, Label, Sample, Snapshot, Value},
    table::Kind,
};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What every scraper reads.
    Prometheus,
    /// What those read that ask for it.
    OpenMetrics,
}

impl Format {
    /// What an `Accept` header asks for; text for Prometheus where it says nothing of these.
    pub fn wanted(accept: &str) -> Self {
        let is_asked = accept.split(',').any(|kind| {
            let mut parts = kind.split(';').map(str::trim);
            parts.next() == Some("application/openmetrics-text")
                && parts.all(|part| {
                    part != "q=0" && (!part.starts_with("version=") || part == "version=1.0.0")
                })
        });
        if is_asked { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The media type of the text.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The whole text.
    pub fn render(self, snapshot: &Snapshot) -> String {
        let mut text = String::with_capacity(32 * 1024);
        for family in snapshot.families() {
            // Nothing that is written to a string fails.
            let _ = self.family(&mut text, family);
        }
        if self == Self::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }

    fn family(self, text: &mut String, family: &Family) -> std::fmt::Result {
        let metric = family.metric;
        // There the suffix is the sample's, not the metric's.
        let name = match self {
            Self::Prometheus => metric.name,
            Self::OpenMetrics => metric.name.trim_end_matches("_total"),
        };
        writeln!(text, "# HELP {name} {}", metric.help)?;
        writeln!(text, "# TYPE {name} {}", metric.kind.name())?;
        debug_assert!(
            self == Self::Prometheus || metric.kind == Kind::Counter || name == metric.name
        );
        for Sample { labels, value } in &family.samples {
            match value {
                Value::Number(value) => {
                    series(text, metric.name, "", metric.labels, labels, None)?;
                    number(text, *value)?;
                }
                Value::Spread(spread) => {
                    let mut below = 0;
                    let bounds = spread.bounds.iter().map(|bound| self.bound(*bound));
                    let bounds = bounds.chain(["+Inf".to_owned()]);
                    for (bound, count) in bounds.zip(&spread.counts) {
                        below += count;
                        series(text, name, "_bucket", metric.labels, labels, Some(&bound))?;
                        writeln!(text, " {below}")?;
                    }
                    series(text, name, "_sum", metric.labels, labels, None)?;
                    number(text, spread.sum)?;
                    series(text, name, "_count", metric.labels, labels, None)?;
                    writeln!(text, " {below}")?;
                }
            }
        }
        Ok(())
    }

    fn bound(self, bound: f64) -> String {
        match self {
            Self::Prometheus => format!("{bound}"),
            // In the one way in which it is to be written.
            Self::OpenMetrics => format!("{bound:?}"),
        }
    }
}

fn series(
    text: &mut String,
    name: &str,
    suffix: &str,
    names: &[&str],
    labels: &[Label],
    bound: Option<&str>,
) -> std::fmt::Result {
    write!(text, "{name}{suffix}")?;
    let labels = names.iter().copied().zip(labels.iter().map(AsRef::as_ref));
    for (place, (name, value)) in labels.chain(bound.map(|bound| ("le", bound))).enumerate() {
        let before = if place == 0 { '{' } else { ',' };
        write!(text, "{before}{name}=\"")?;
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    if !names.is_empty() || bound.is_some() {
        text.push('}');
    }
    Ok(())
}

fn number(text: &mut String, value: f64) -> std::fmt::Result {
    match value {
        f64::INFINITY => writeln!(text, " +Inf"),
        f64::NEG_INFINITY => writeln!(text, " -Inf"),
        value => writeln!(text, " {value}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::metrics::{instrument, table};

    fn lines(format: Format, snapshot: &Snapshot, name: &str) -> Vec<String> {
        let text = format.render(snapshot);
        text.lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
    }

    #[test]
    fn a_metric_is_described_and_its_series_follow() {
        let mut snapshot = Snapshot::default();
        let commits = instrument::Counter::default();
        commits.add(3);
        snapshot.counter(&table::LEDGER_COMMITS, ["fa\"i\\l\ned".into()], &commits);
        assert_eq!(
            lines(Format::Prometheus, &snapshot, "ledger_commits"),
            [
                "# HELP dialplane_ledger_commits_total Transactions of the ledger's writer.",
                "# TYPE dialplane_ledger_commits_total counter",
                r#"dialplane_ledger_commits_total{result="fa\"i\\l\ned"} 3"#,
            ]
        );
        assert_eq!(
            lines(Format::OpenMetrics, &snapshot, "ledger_commits")[1..],
            [
                "# TYPE dialplane_ledger_commits counter",
                r#"dialplane_ledger_commits_total{result="fa\"i\\l\ned"} 3"#,
            ]
        );
        assert!(Format::OpenMetrics.render(&snapshot).ends_with("\n# EOF\n"));
    }

    #[test]
    fn buckets_add_up() {
        let mut snapshot = Snapshot::default();
        let took = instrument::Histogram::new(&instrument::DISK_SECONDS);
        for millis in [1, 1, 900, 60_000] {
            took.took(Duration::from_millis(millis));
        }
        snapshot.histogram(&table::LEDGER_COMMIT_DURATION, [], &took);
        let lines = lines(Format::Prometheus, &snapshot, "commit_duration");
        let found = |line: &str| assert!(lines.iter().any(|l| l.ends_with(line)), "{line}");
        found("_bucket{le=\"0.001\"} 2");
        found("_bucket{le=\"1\"} 3");
        found("_bucket{le=\"5\"} 3");
        found("_bucket{le=\"+Inf\"} 4");
        found("_sum 60.902");
        found("_count 4");
    }

    #[test]
    fn who_asks_for_open_metrics_gets_it() {
        for (accept, format) in [
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain;version=0.0.4;q=0.5", Format::Prometheus),
            ("application/openmetrics-text; version=0.0.1", Format::Prometheus),
            ("application/openmetrics-text;version=1.0.0;q=0.8,text/plain", Format::OpenMetrics),
            ("text/plain, application/openmetrics-text", Format::OpenMetrics),
        ] {
            assert_eq!(Format::wanted(accept), format, "{accept}");
        }
    }
}

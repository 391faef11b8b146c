//! OTLP, as the environment describes it: where to, how, and who we are. Of all signals; what is
//! sent over it is up to who asks.
//!
//! The variables are those of OpenTelemetry's specification. What can't be read is told as a
//! mistake, never with its value: an endpoint or a header may hold a credential.

use std::{env, path::Path, time::Duration};

use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, resource::EnvResourceDetector};
use url::Url;

mod link;
mod post;

pub use link::LinkError;

/// How a variable is looked up: the process's own, or a test's.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment. Empty is as good as absent, as the specification wants.
pub fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// No time-out is longer, in milliseconds: an hour.
const LONGEST_MS: u64 = 3_600_000;
/// How long one export may take if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is sent: each has variables of its own that go before those of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `OTEL_EXPORTER_OTLP_TRACES_*`
    Traces,
    /// `OTEL_EXPORTER_OTLP_METRICS_*`
    Metrics,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Traces => "v1/traces",
            Self::Metrics => "v1/metrics",
        }
    }
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`
    Grpc,
    /// `http/protobuf`
    Http,
}

/// A collector, and the way to it. Prints without the endpoint, in which there may be a
/// credential.
#[derive(Clone)]
pub struct Target {
    /// How it is sent.
    pub protocol: Protocol,
    /// For one export.
    pub timeout: Duration,
    endpoint: Url,
    /// PEM of an authority that is trusted besides the system's.
    ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("protocol", &self.protocol)
            .field("host", &self.endpoint.host_str())
            .field("port", &self.endpoint.port_or_known_default())
            .finish_non_exhaustive()
    }
}

impl Target {
    /// Where it is. Not to be shown: there may be a credential in it.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Where a signal is to be sent. None unless an endpoint or the exporter is named, or if
    /// all is turned off; mistakes are added to those there are.
    pub fn read(
        signal: Signal,
        environment: Environment<'_>,
        mistakes: &mut Vec<String>,
    ) -> Option<Self> {
        let off = environment("OTEL_SDK_DISABLED");
        if off.is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) {
            return None;
        }
        let exporter = format!("OTEL_{}_EXPORTER", signal.name());
        let wanted = environment(&exporter).map(|text| text.trim().to_owned());
        match wanted.as_deref() {
            None | Some("otlp") => {}
            Some("none") => return None,
            Some(_) => {
                mistakes.push(format!("{exporter} is neither otlp nor none; nothing is exported"));
                return None;
            }
        }
        let look = |what: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.name());
            let of_all = format!("OTEL_EXPORTER_OTLP_{what}");
            let own = environment(&own).map(|value| (own, value, true));
            own.or_else(|| environment(&of_all).map(|value| (of_all, value, false)))
        };
        let endpoint = look("ENDPOINT");
        if wanted.is_none() && endpoint.is_none() {
            return None;
        }
        let protocol = match look("PROTOCOL") {
            None => Protocol::Http,
            Some((name, value, _)) => match value.trim() {
                "grpc" => Protocol::Grpc,
                "http/protobuf" => Protocol::Http,
                _ => {
                    mistakes.push(format!(
                        "{name} is neither grpc nor http/protobuf; http/protobuf is spoken"
                    ));
                    Protocol::Http
                }
            },
        };
        let timeout = look("TIMEOUT").map_or(Some(TIMEOUT), |(name, value, _)| {
            let read = value.trim().parse().ok().filter(|ms| *ms > 0);
            let read = read.map(|ms: u64| Duration::from_millis(ms.min(LONGEST_MS)));
            if read.is_none() {
                mistakes.push(format!("{name} is no number of milliseconds; it is 10 s"));
            }
            read.or(Some(TIMEOUT))
        })?;
        let endpoint = match address(signal, protocol, endpoint, &look) {
            Ok(endpoint) => endpoint,
            Err(name) => {
                mistakes.push(format!("{name} is no http or https address; nothing is exported"));
                return None;
            }
        };
        let ca = match look("CERTIFICATE") {
            None => None,
            Some((name, path, _)) => match std::fs::read(Path::new(path.trim())) {
                Ok(pem) => Some(pem),
                Err(error) => {
                    mistakes.push(format!(
                        "the file of {name} can't be read ({error}); nothing is exported"
                    ));
                    return None;
                }
            },
        };
        Some(Self { protocol, timeout, endpoint, ca })
    }
}

type Found = Option<(String, String, bool)>;

/// Where to: an address that is meant for one signal is taken as it is, one for all has each
/// signal's path added.
fn address(
    signal: Signal,
    protocol: Protocol,
    given: Found,
    look: &dyn Fn(&str) -> Found,
) -> Result<Url, String> {
    let (name, text, is_own) = match given {
        Some((name, text, is_own)) => (name, text.trim().to_owned(), is_own),
        None => {
            let port = if protocol == Protocol::Grpc { 4317 } else { 4318 };
            (String::new(), format!("http://localhost:{port}"), false)
        }
    };
    let text = match protocol {
        // Of gRPC alone an address may have no scheme.
        Protocol::Grpc if !text.contains("://") => {
            let plain = look("INSECURE").is_some_and(|(_, value, _)| value.trim() == "true");
            format!("{}://{text}", if plain { "http" } else { "https" })
        }
        _ => text,
    };
    let mut url = Url::parse(&text).map_err(|_| name.clone())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(name);
    }
    if protocol == Protocol::Http && !is_own {
        let path = format!("{}/{}", url.path().trim_end_matches('/'), signal.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Who we are: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, and what is known without
/// them.
pub fn resource(environment: Environment<'_>) -> Resource {
    let fallback = [
        KeyValue::new("service.name", "dialplane"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
    ];
    // The later one holds.
    let resource = Resource::builder_empty()
        .with_attributes(fallback)
        .with_detector(Box::new(opentelemetry_sdk::resource::TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match environment("OTEL_SERVICE_NAME") {
        Some(name) => resource.with_attribute(KeyValue::new("service.name", name)).build(),
        None => resource.build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Option<(Protocol, String)>, Vec<String>) {
        let look = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let mut mistakes = Vec::new();
        let target = Target::read(Signal::Traces, &look, &mut mistakes);
        (target.map(|target| (target.protocol, target.endpoint.into())), mistakes)
    }

    #[test]
    fn nothing_is_sent_unless_it_is_wanted() {
        const AT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for variables in [
            &[][..],
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
            &[("OTEL_SDK_DISABLED", "TRUE"), AT],
            &[("OTEL_TRACES_EXPORTER", "none"), AT],
            &[("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://collector:4318/m")],
        ] {
            assert_eq!(read(variables), (None, vec![]), "{variables:?}");
        }
    }

    #[test]
    fn each_signal_has_its_address() {
        const GRPC: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        const ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const OWN: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        for (variables, expected) in [
            (&[("OTEL_TRACES_EXPORTER", "otlp")][..], "http://localhost:4318/v1/traces"),
            (&[("OTEL_TRACES_EXPORTER", "otlp"), GRPC], "http://localhost:4317/"),
            (&[(ALL, "http://c:1")], "http://c:1/v1/traces"),
            (&[(ALL, "https://c/base/")], "https://c/base/v1/traces"),
            (&[(ALL, "http://c:1"), (OWN, "http://d:2/x")], "http://d:2/x"),
            (&[(ALL, "c:1"), GRPC], "https://c:1/"),
            (&[(ALL, "c:1"), GRPC, ("OTEL_EXPORTER_OTLP_INSECURE", "true")], "http://c:1/"),
        ] {
            let (target, mistakes) = read(variables);
            assert_eq!((target.unwrap().1.as_str(), mistakes.len()), (expected, 0));
        }
    }

    #[test]
    fn mistakes_are_told_without_what_was_given() {
        for variables in [
            &[("OTEL_TRACES_EXPORTER", "canary")][..],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "canary")],
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "file:///canary")],
            &[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "canary")],
            &[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "canary")],
            &[("OTEL_TRACES_EXPORTER", "otlp"), ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/canary")],
        ] {
            let (_, mistakes) = read(variables);
            assert_eq!(mistakes.len(), 1, "{variables:?}");
            assert!(!mistakes[0].contains("canary"), "{mistakes:?}");
        }
    }
}

//! `[vendors.NAME]`: the keys that every kind has. A kind's own keys are read by its
//! adapter.

use std::{sync::Arc, time::Duration};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{Breaker, Link, Rate, Section, Source, VendorConfig, duration::show_duration};
use crate::vendors::{DefaultLimits, Registration, Vendor};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_DELAY: Duration = Duration::from_millis(5);

/// Reads one vendor. Gives nothing when there was a mistake, which is noted then.
pub(super) fn read(
    registry: &[Registration],
    source: &Source<'_>,
    name: &str,
    mut section: Section<'_>,
) -> Option<VendorConfig> {
    let before = source.count();
    source.take_secrets();
    source.take_contents();
    super::parse::check_name(&section, name);
    let kinds: Vec<_> = registry.iter().map(|entry| (entry.kind, entry)).collect();
    if !section.has("kind") {
        let known: Vec<_> = kinds.iter().map(|(kind, _)| format!("{kind:?}")).collect();
        section.missing("kind", &format!("one of {}", known.join(", ")));
    }
    let registration = section.choice("kind", &kinds);
    let adapter = registration.and_then(|entry| build(entry, source, &mut section));

    let link = link(&mut section);
    let rate = rate(&mut section);
    let max_in_flight = section.integer("max_in_flight", 1..=1_000);
    let poll_interval = section.duration("poll_interval", 100 * MILLISECOND..=DAY);
    let give_up_after = section.duration("give_up_after", SECOND..=30 * DAY);
    let breaker = breaker(&mut section);
    let max_delay = max_delay(&mut section);
    let (secrets, contents) = (source.take_secrets(), source.take_contents());
    let digests = section.digests(&secrets, &contents);
    // Which keys there are is known only once the kind is.
    if registration.is_some() {
        section.finish();
    }

    let adapter = adapter?;
    let limits = adapter.default_limits();
    (source.count() == before).then(|| VendorConfig {
        name: name.to_owned(),
        adapter,
        secrets,
        digests,
        link,
        rate: rate.unwrap_or_else(|| default_rate(&limits)),
        max_in_flight: max_in_flight.unwrap_or(limits.max_in_flight),
        poll_interval: poll_interval.unwrap_or(limits.poll_interval),
        give_up_after: give_up_after.unwrap_or(limits.give_up_after),
        breaker,
        max_delay: max_delay.unwrap_or(MAX_DELAY),
    })
}

fn build(
    registration: &Registration,
    source: &Source<'_>,
    section: &mut Section<'_>,
) -> Option<Arc<dyn Vendor>> {
    let before = source.count();
    let adapter = (registration.build)(section);
    if adapter.is_none() && source.count() == before {
        section
            .problem("kind", format!("a {} vendor can't be made of these keys", registration.kind));
    }
    adapter
}

fn link(section: &mut Section<'_>) -> Link {
    let timeout = section.duration("timeout", 100 * MILLISECOND..=5 * MINUTE);
    let connect_timeout = section.duration("connect_timeout", 100 * MILLISECOND..=MINUTE);
    let whole = timeout.unwrap_or(TIMEOUT);
    if let Some(connect) = connect_timeout
        && connect > whole
    {
        section.problem(
            "connect_timeout",
            format!(
                "is {}; expected no more than the timeout of {}, which covers connecting",
                show_duration(connect),
                show_duration(whole),
            ),
        );
    }
    let ca = section.file("ca_file").filter(|pem| {
        let wrong = check_certificates(pem);
        if let Some(wrong) = &wrong {
            section.problem("ca_file", format!("{wrong}; expected certificates in PEM"));
        }
        wrong.is_none()
    });
    let propagate_trace = section.boolean("propagate_trace").unwrap_or(false);
    Link {
        timeout: whole,
        connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT).min(whole),
        ca,
        propagate_trace,
    }
}

fn check_certificates(pem: &[u8]) -> Option<String> {
    // What connects to the vendor makes sure of them in the same way, and nothing starts if it can't.
    let mut tried = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = match certificate {
            Ok(certificate) => tried.add(certificate),
            Err(error) => return Some(format!("the file can't be read as PEM ({error})")),
        };
        if let Err(error) = added {
            return Some(format!("the file holds a certificate that can't be used ({error})"));
        }
    }
    tried.is_empty().then(|| "the file holds no certificate".to_owned())
}

fn rate(section: &mut Section<'_>) -> Option<Rate> {
    let mut inner = section.section("rate")?;
    if !inner.has("calls") && !inner.has("requests") {
        section.problem("rate", "limits nothing; expected calls, requests or both, such as { calls = 500, per = \"1m\" }");
    }
    let rate = Rate {
        calls: inner.integer("calls", 1..=1_000_000),
        requests: inner.integer("requests", 1..=1_000_000),
        per: inner.duration("per", SECOND..=DAY).unwrap_or(MINUTE),
    };
    inner.finish();
    Some(rate)
}

fn breaker(section: &mut Section<'_>) -> Option<Breaker> {
    const EXPECTED: &str = "false, or a table such as { failures = 5, pause = \"30s\" }";
    let by_default = Breaker::default();
    if !section.is_table("breaker") {
        let is_wanted = section.boolean_or("breaker", EXPECTED).unwrap_or(true);
        return is_wanted.then_some(by_default);
    }
    let mut inner = section.section("breaker")?;
    let failures = inner.integer("failures", 1..=1_000);
    let pause = inner.duration("pause", 100 * MILLISECOND..=60 * MINUTE);
    inner.finish();
    Some(Breaker {
        failures: failures.unwrap_or(by_default.failures),
        pause: pause.unwrap_or(by_default.pause),
    })
}

fn max_delay(section: &mut Section<'_>) -> Option<Duration> {
    let mut inner = section.section("batch")?;
    // The only length of time that needs no unit.
    let delay = if inner.has("max_delay") && !inner.is_string("max_delay") {
        inner.integer("max_delay", 0..=0).map(|_| Duration::ZERO)
    } else {
        inner.duration("max_delay", Duration::ZERO..=SECOND)
    };
    inner.finish();
    delay
}

fn default_rate(limits: &DefaultLimits) -> Rate {
    Rate { calls: limits.calls_per_minute, requests: limits.requests_per_minute, per: MINUTE }
}

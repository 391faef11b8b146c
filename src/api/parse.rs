//! From a CallSpec to an order: every mistake is noted with its field, and whatever
//! can be read is kept.

use std::{
    collections::{BTreeMap, HashSet},
    str::FromStr,
    time::Duration,
};

use jiff::Timestamp;
use url::Url;

use crate::{
    call::{CallerId, ClientReference, E164, Order, Recipient, Retry, Script, Violation},
    gateway::Draft,
    proto::{self, CallSpec, call_spec},
};

const MAX_NUMBERS: usize = 10;
const MAX_FLOW: usize = 256;
const MAX_AUDIO: usize = 2_048;
const MAX_VARIABLES: usize = 100;
const MAX_VARIABLE_NAME: usize = 64;
const MAX_VARIABLE_VALUE: usize = 4_096;
const MAX_RECIPIENT: usize = 256;
const MAX_LABELS: usize = 32;
const MAX_LABEL_KEY: usize = 63;
const MAX_LABEL_VALUE: usize = 256;
const MAX_LOCALE: usize = 35;
const MAX_ATTEMPTS: u32 = 100;
const MAX_INTERVAL: Duration = Duration::from_secs(7 * 86_400);

/// Parses the calls of a request. References have to be unique among them.
pub(super) fn drafts(specs: Vec<CallSpec>) -> Vec<Draft> {
    let mut references = HashSet::with_capacity(specs.len());
    specs
        .into_iter()
        .map(|spec| {
            let mut draft = draft(spec);
            if let Some(reference) = &draft.order.client_reference
                && !references.insert(reference.clone())
            {
                draft.violations.push(Violation::new(
                    "client_reference",
                    "is that of an earlier call of this request; expected a reference of its own, or none",
                ));
            }
            draft
        })
        .collect()
}

/// What is wrong with each call of a request, as far as that takes no vendor: for clients that
/// check before they send.
pub(crate) fn mistakes(specs: Vec<CallSpec>) -> Vec<Vec<Violation>> {
    drafts(specs).into_iter().map(|draft| draft.violations).collect()
}

fn draft(spec: CallSpec) -> Draft {
    let mut found = Findings::default();
    let order = Order {
        client_reference: found.text::<ClientReference>("client_reference", &spec.client_reference),
        to: found.numbers(&spec.to),
        caller_id: found.text::<CallerId>("caller_id", &spec.caller_id),
        script: spec.script.and_then(|script| found.script(script)),
        start_time: found.time("start_time", spec.start_time),
        expire_time: found.time("expire_time", spec.expire_time),
        recipient: found.recipient(spec.recipient.unwrap_or_default()),
        locale: found.locale(spec.locale),
        retry: spec.retry.and_then(|retry| found.retry(retry)),
        variables: found.variables(spec.variables),
        labels: found.labels(spec.labels),
    };
    if let (Some(start), Some(end)) = (order.start_time, order.expire_time)
        && end <= start
    {
        found.note("expire_time", "is not after start_time; the call could never be dialled");
    }
    Draft { order, violations: found.violations }
}

#[derive(Default)]
struct Findings {
    violations: Vec<Violation>,
}

impl Findings {
    fn note(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.violations.push(Violation::new(field, description));
    }

    /// A text that may be left out.
    fn text<T>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        if text.is_empty() {
            return None;
        }
        text.parse().map_err(|error: T::Err| self.note(field, error.to_string())).ok()
    }

    fn numbers(&mut self, texts: &[String]) -> Vec<E164> {
        if texts.is_empty() {
            self.note("to", "is empty; expected at least one E.164 number such as +919900000001");
        }
        if texts.len() > MAX_NUMBERS {
            self.note(
                "to",
                format!("has {} numbers; at most {MAX_NUMBERS} are allowed", texts.len()),
            );
        }
        let mut numbers: Vec<E164> = Vec::with_capacity(texts.len().min(MAX_NUMBERS));
        for (i, text) in texts.iter().enumerate().take(MAX_NUMBERS) {
            match text.parse() {
                Ok(number) if numbers.contains(&number) => {
                    self.note(
                        format!("to[{i}]"),
                        "stands in this call before; an alternate has to be another number",
                    );
                }
                Ok(number) => numbers.push(number),
                Err(error) => self.note(format!("to[{i}]"), error.to_string()),
            }
        }
        numbers
    }

    fn script(&mut self, script: call_spec::Script) -> Option<Script> {
        match script {
            // A generated client sets the field when it copies an empty one.
            call_spec::Script::Flow(text) | call_spec::Script::Audio(text) if text.is_empty() => {
                None
            }
            call_spec::Script::Flow(id) => self.bounded("flow", id, MAX_FLOW).map(Script::Flow),
            call_spec::Script::Audio(audio) => {
                let audio = self.bounded("audio", audio, MAX_AUDIO)?;
                let is_address = audio.contains("://");
                if is_address
                    && !Url::parse(&audio).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
                {
                    self.note("audio", "is an address, but not an http or https one");
                    return None;
                }
                Some(Script::Audio(audio))
            }
        }
    }

    fn bounded(&mut self, field: &str, text: String, max: usize) -> Option<String> {
        let count = text.chars().count();
        if text.trim().is_empty() {
            self.note(field, "is empty; leave it out for the configured script");
        } else if count > max {
            self.note(field, format!("has {count} characters; at most {max} are allowed"));
        } else if text.chars().any(char::is_control) {
            self.note(field, "has control characters");
        } else {
            return Some(text);
        }
        None
    }

    fn time(&mut self, field: &str, time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
        let time = time?;
        let parsed = u32::try_from(time.nanos)
            .ok()
            .filter(|nanos| *nanos < 1_000_000_000)
            .and_then(|_| Timestamp::new(time.seconds, time.nanos).ok())
            .filter(|t| t.as_second() >= 0 && t.as_second() < FAR_FUTURE);
        if parsed.is_none() {
            self.note(field, "is not a time from 1970 to 2199");
        }
        parsed
    }

    fn recipient(&mut self, recipient: proto::Recipient) -> Recipient {
        let proto::Recipient { name, email } = recipient;
        let mut check = |field: &str, text: &str| {
            if text.chars().count() > MAX_RECIPIENT || text.chars().any(char::is_control) {
                self.note(
                    field,
                    format!("expected up to {MAX_RECIPIENT} characters without control characters"),
                );
            }
        };
        check("recipient.name", &name);
        check("recipient.email", &email);
        if !email.is_empty() && !email.contains('@') {
            self.note("recipient.email", "is not an e-mail address");
        }
        Recipient { name, email }
    }

    fn locale(&mut self, locale: String) -> Option<String> {
        if locale.is_empty() {
            return None;
        }
        let subtag =
            |s: &str| (1..=8).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric());
        if locale.len() > MAX_LOCALE || !locale.split('-').all(subtag) {
            self.note("locale", "is not a BCP 47 tag such as tr-TR");
            return None;
        }
        Some(locale)
    }

    fn retry(&mut self, retry: proto::RetryPolicy) -> Option<Retry> {
        let max_attempts = retry.max_attempts;
        if max_attempts > MAX_ATTEMPTS {
            self.note(
                "retry.max_attempts",
                format!("is {max_attempts}; at most {MAX_ATTEMPTS} are allowed"),
            );
        }
        let interval = match retry.interval {
            None if max_attempts == 1 => {
                return Some(Retry { interval: Duration::ZERO, max_attempts });
            }
            None if max_attempts == 0 => return None,
            None => {
                self.note("retry.interval", "is missing; expected the pause between two attempts");
                return None;
            }
            Some(interval) => Duration::try_from(interval).ok(),
        };
        let Some(interval) = interval.filter(|i| !i.is_zero() && *i <= MAX_INTERVAL) else {
            self.note("retry.interval", "is not a pause of more than 0 seconds and up to 7 days");
            return None;
        };
        Some(Retry { interval, max_attempts })
    }

    fn variables(&mut self, variables: BTreeMap<String, String>) -> BTreeMap<String, String> {
        if variables.len() > MAX_VARIABLES {
            self.note(
                "variables",
                format!("has {} entries; at most {MAX_VARIABLES} are allowed", variables.len()),
            );
            return BTreeMap::new();
        }
        for (name, value) in &variables {
            let path = || format!("variables[{:?}]", shown(name));
            if !(1..=MAX_VARIABLE_NAME).contains(&name.len())
                || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.$".contains(&b))
            {
                self.note(path(), format!("expected a name of 1 to {MAX_VARIABLE_NAME} letters, digits, \"_\", \"-\", \".\" and \"$\""));
            }
            if value.len() > MAX_VARIABLE_VALUE {
                self.note(
                    path(),
                    format!("has {} bytes; at most {MAX_VARIABLE_VALUE} are allowed", value.len()),
                );
            }
        }
        variables
    }

    fn labels(&mut self, labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
        if labels.len() > MAX_LABELS {
            self.note(
                "labels",
                format!("has {} entries; at most {MAX_LABELS} are allowed", labels.len()),
            );
            return BTreeMap::new();
        }
        let mut kept = BTreeMap::new();
        for (key, value) in labels {
            let count = key.chars().count();
            if count == 0 || count > MAX_LABEL_KEY || value.chars().count() > MAX_LABEL_VALUE {
                self.note(
                    format!("labels[{:?}]", shown(&key)),
                    format!("expected a key of 1 to {MAX_LABEL_KEY} and a value of up to {MAX_LABEL_VALUE} characters"),
                );
                continue;
            }
            kept.insert(key, value);
        }
        kept
    }
}

/// 1 January 2200: far enough for any call, and safe to calculate with.
const FAR_FUTURE: i64 = 7_258_118_400;

/// A key as a field path shows it, cut to a sane length.
fn shown(key: &str) -> String {
    key.chars().take(MAX_VARIABLE_NAME).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn spec() -> CallSpec {
        CallSpec { to: vec!["+919900000001".to_owned()], ..CallSpec::default() }
    }

    fn fields(spec: CallSpec) -> Vec<String> {
        draft(spec).violations.into_iter().map(|v| v.field).collect()
    }

    #[test]
    fn a_plain_call_is_right() {
        let draft = draft(spec());
        assert!(draft.violations.is_empty());
        assert_eq!(draft.order.to.len(), 1);
    }

    #[test]
    fn every_mistake_is_named_with_its_field() {
        let second = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let cases: Vec<(CallSpec, &[&str])> = vec![
            (CallSpec::default(), &["to"]),
            (
                CallSpec { to: vec!["x".into(), "+919900000001".into(), "0".into()], ..spec() },
                &["to[0]", "to[2]"],
            ),
            (
                CallSpec { to: vec!["+919900000001".into(), "919900000001".into()], ..spec() },
                &["to[1]"],
            ),
            (CallSpec { to: vec!["+919900000001".into(); 11], ..spec() }, &["to", "to[1]"]),
            (CallSpec { client_reference: "r".repeat(129), ..spec() }, &["client_reference"]),
            (CallSpec { caller_id: "desk".into(), ..spec() }, &["caller_id"]),
            (CallSpec { script: Some(call_spec::Script::Flow(" ".into())), ..spec() }, &["flow"]),
            (
                CallSpec { script: Some(call_spec::Script::Audio("ftp://a/b".into())), ..spec() },
                &["audio"],
            ),
            (CallSpec { start_time: second(-1), ..spec() }, &["start_time"]),
            (
                CallSpec { start_time: second(20), expire_time: second(20), ..spec() },
                &["expire_time"],
            ),
            (CallSpec { expire_time: second(i64::MAX), ..spec() }, &["expire_time"]),
            (CallSpec { locale: "türkçe".into(), ..spec() }, &["locale"]),
            (
                CallSpec {
                    retry: Some(proto::RetryPolicy { interval: None, max_attempts: 3 }),
                    ..spec()
                },
                &["retry.interval"],
            ),
            (
                CallSpec {
                    recipient: Some(proto::Recipient { name: String::new(), email: "x".into() }),
                    ..spec()
                },
                &["recipient.email"],
            ),
            (
                CallSpec { variables: [("a b".to_owned(), String::new())].into(), ..spec() },
                &["variables[\"a b\"]"],
            ),
            (
                CallSpec { labels: [(String::new(), String::new())].into(), ..spec() },
                &["labels[\"\"]"],
            ),
        ];
        for (spec, expected) in cases {
            let shown = format!("{spec:?}");
            let found = fields(spec);
            assert!(
                expected.iter().all(|field| found.contains(&(*field).to_owned())),
                "{shown}: {found:?}"
            );
        }
    }

    #[test]
    fn references_are_unique_within_a_request() {
        let named = |name: &str| CallSpec { client_reference: name.into(), ..spec() };
        let drafts = drafts(vec![named("a"), named("b"), named("a"), spec(), spec()]);
        let wrong: Vec<_> = drafts.iter().map(|d| d.violations.len()).collect();
        assert_eq!(wrong, [0, 0, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_message_is_read_or_explained(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(spec) = CallSpec::decode(bytes.as_slice()) {
                let draft = draft(spec);
                prop_assert!(!draft.order.to.is_empty() || !draft.violations.is_empty());
            }
        }
    }
}

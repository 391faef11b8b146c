//! What all calls of a command have, unless one says otherwise.

use std::{collections::BTreeMap, time::Duration};

use clap::Args;
use jiff::Timestamp;

use crate::{
    cli::client::{Failed, duration},
    proto::{CallSpec, Recipient, RetryPolicy, call_spec::Script},
};

/// What a call may have besides its numbers and its reference.
#[derive(Args, Default)]
#[command(next_help_heading = "The call")]
pub(super) struct Given {
    /// The vendor's id of the flow that is played. Without a script, the route's.
    #[arg(long, value_name = "ID", conflicts_with = "audio")]
    flow: Option<String>,
    /// The recorded message that is played: the vendor's id, or an http or https address.
    #[arg(long, value_name = "ID")]
    audio: Option<String>,
    /// The number shown.
    #[arg(long, value_name = "NUMBER", default_value = "")]
    caller_id: String,
    /// A value for the script. May be given several times.
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair)]
    variables: Vec<(String, String)>,
    /// Kept with the call, and never sent to a vendor. May be given several times.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Not before this time, such as 2030-01-31T09:00:00+05:30.
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<prost_types::Timestamp>,
    /// Never after this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    expire: Option<prost_types::Timestamp>,
    /// The language of the conversation, such as tr-TR.
    #[arg(long, value_name = "TAG", default_value = "")]
    locale: String,
    /// The name of the person called.
    #[arg(long, default_value = "")]
    name: String,
    /// The address of the person called.
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    email: String,
    /// Call again after this time when nobody answers, or the line is busy.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    retry_after: Option<Duration>,
    /// How often to call at most, the first time included.
    #[arg(long, value_name = "NUMBER", requires = "retry_after")]
    attempts: Option<u32>,
}

impl Given {
    /// A call to nobody yet.
    pub(super) fn template(&self) -> Result<CallSpec, Failed> {
        let script = match (&self.flow, &self.audio) {
            (Some(flow), _) => Some(Script::Flow(flow.clone())),
            (None, Some(audio)) => Some(Script::Audio(audio.clone())),
            (None, None) => None,
        };
        let (name, email) = (self.name.clone(), self.email.clone());
        let has_recipient = !name.is_empty() || !email.is_empty();
        let retry = self.retry_after.map(|after| RetryPolicy {
            interval: prost_types::Duration::try_from(after).ok(),
            max_attempts: self.attempts.unwrap_or_default(),
        });
        Ok(CallSpec {
            client_reference: String::new(),
            to: Vec::new(),
            caller_id: self.caller_id.clone(),
            script,
            variables: distinct("--var", &self.variables)?,
            start_time: self.at,
            expire_time: self.expire,
            recipient: has_recipient.then_some(Recipient { name, email }),
            locale: self.locale.clone(),
            retry,
            labels: distinct("--label", &self.labels)?,
        })
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// A time that is the same for everybody.
pub(super) fn time(text: &str) -> Result<prost_types::Timestamp, String> {
    let time: Timestamp = text.trim().parse().map_err(|_| {
        "expected a date, a time and an offset, such as 2030-01-31T09:00:00+05:30".to_owned()
    })?;
    Ok(prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() })
}

fn distinct(option: &str, pairs: &[(String, String)]) -> Result<BTreeMap<String, String>, Failed> {
    let mut map = BTreeMap::new();
    for (name, value) in pairs {
        if map.insert(name.clone(), value.clone()).is_some() {
            return Err(Failed::input(format!("{option} {name}= is given twice")));
        }
    }
    Ok(map)
}

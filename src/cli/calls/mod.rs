//! Commands about calls: which ones are meant, and how they are shown.

use std::io::{self, Write};

use clap::Args;
use prost::{Message, Name};
use tonic::Request;

use super::{
    client::{Failed, SOME_FAILED, Server, Services, brief, plain},
    json::{self, Json},
};
use crate::{
    call::MAX_SELECTED,
    proto::{Call, CallState, call_service_client::CallServiceClient},
};

pub(super) mod cancel;
pub(super) mod place;
pub(super) mod results;
pub(super) mod vendors;
pub(super) mod watch;

pub(super) type Client = CallServiceClient<Services>;

/// Which calls.
#[derive(Debug, Args)]
pub(super) struct Selected {
    /// Ids of calls, as they were given.
    #[arg(value_name = "CALL_ID")]
    call_ids: Vec<String>,
    /// All calls of one request.
    #[arg(long, value_name = "ID", conflicts_with_all = ["call_ids", "references"])]
    request_id: Option<String>,
    /// All calls with a reference of your own; may be given several times.
    #[arg(long = "reference", value_name = "REFERENCE", conflicts_with = "call_ids")]
    references: Vec<String>,
}

/// Which calls, as the API takes it at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub call_ids: Vec<String>,
    pub request_id: String,
    pub client_references: Vec<String>,
}

impl Selected {
    /// In as many parts as it takes; none if nothing is selected.
    fn parts(&self) -> Vec<Part> {
        let of = |texts: &[String], part: fn(Vec<String>) -> Part| -> Vec<Part> {
            texts.chunks(MAX_SELECTED).map(|texts| part(texts.to_vec())).collect()
        };
        if let Some(request_id) = &self.request_id {
            return vec![Part { request_id: request_id.clone(), ..Part::default() }];
        }
        match self.references.is_empty() {
            true => of(&self.call_ids, |call_ids| Part { call_ids, ..Part::default() }),
            false => of(&self.references, |client_references| Part {
                client_references,
                ..Part::default()
            }),
        }
    }

    /// The same, at least one.
    fn some(&self) -> Result<Vec<Part>, Failed> {
        let parts = self.parts();
        match parts.is_empty() {
            true => Err(Failed::input(
                "no calls are named; give their ids, or --request-id, or --reference",
            )),
            false => Ok(parts),
        }
    }
}

/// Where, and how it is shown.
#[derive(Debug, Args)]
pub(super) struct How {
    #[command(flatten)]
    pub server: Server,
    /// One JSON object on each line, as protobuf writes it in JSON.
    #[arg(long)]
    json: bool,
}

impl How {
    pub(super) async fn client(&self) -> Result<Client, Failed> {
        Ok(CallServiceClient::new(self.server.connect().await?))
    }

    /// Asks, and again as long as that does no harm and there is time.
    pub(super) async fn ask<Q: Clone, A>(
        &self,
        question: Q,
        ask: impl AsyncFnMut(Request<Q>) -> Result<tonic::Response<A>, tonic::Status>,
    ) -> Result<A, tonic::Status> {
        self.server.ask(question, ask).await
    }

    pub(super) fn out(&self) -> Out {
        Out { json: self.json.then(Json::new), has_heading: false }
    }
}

/// The standard output.
pub(super) struct Out {
    json: Option<Json>,
    has_heading: bool,
}

impl Out {
    /// A message: in JSON, or as the row of a table.
    ///
    /// # Errors
    /// Whoever closed the output does not want to read on.
    pub(super) fn show<M: Message + Name>(
        &mut self,
        message: &M,
        heading: &str,
        row: impl FnOnce(&M) -> String,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match &self.json {
            Some(json) => writeln!(out, "{}", json.line(message))?,
            None => {
                if !std::mem::replace(&mut self.has_heading, true) {
                    writeln!(out, "{heading}")?;
                }
                writeln!(out, "{}", row(message))?;
            }
        }
        out.flush()
    }

    pub(super) fn call(&mut self, call: &Call) -> io::Result<()> {
        self.show(call, &heading(), row)
    }

    pub(super) fn is_json(&self) -> bool {
        self.json.is_some()
    }
}

/// A line beside the answer, on the standard error stream.
pub(super) fn note(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "dialplane: {line}");
}

/// What became of a command that went through: whether all it was about is as it was meant.
pub(super) fn code(all_well: bool) -> u8 {
    if all_well { 0 } else { SOME_FAILED }
}

pub(super) fn heading() -> String {
    columns(["CALL", "STATE", "TO", "VENDOR", "CHANGED"], "REFERENCE, ERROR")
}

/// A call as a row. Its numbers are its caller's own; no log has them.
pub(super) fn row(call: &Call) -> String {
    let state = short(call.state());
    let to = match call.to.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first, more @ ..] => format!("{first} (+{})", more.len()),
    };
    let changed = call.update_time.as_ref().map(to_the_second).unwrap_or_default();
    let reference = match call.client_reference.as_str() {
        "" => "-".to_owned(),
        reference => plain(reference),
    };
    let rest = match &call.error {
        Some(error) => format!("{reference}  {}", brief(error)),
        None => reference,
    };
    columns([&call.call_id, state, &to, &plain(&call.vendor), &changed], &rest)
}

/// Of one width, so that any number of them can be shown as they come.
fn columns([call, state, to, vendor, changed]: [&str; 5], rest: &str) -> String {
    format!("{call:<36}  {state:<14}  {to:<18}  {vendor:<16}  {changed:<20}  {rest}")
        .trim_end()
        .to_owned()
}

pub(super) fn short(state: CallState) -> &'static str {
    state.as_str_name().trim_start_matches("CALL_STATE_")
}

pub(super) fn to_the_second(time: &prost_types::Timestamp) -> String {
    json::time(&prost_types::Timestamp { nanos: 0, ..*time })
}

/// Whether nothing more comes of it, but for late news.
pub(super) fn is_over(call: &Call) -> bool {
    call.end_time.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_selected_in_parts() {
        let ids = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
        let selected = |call_ids, request_id: Option<&str>, references| Selected {
            call_ids,
            request_id: request_id.map(str::to_owned),
            references,
        };
        assert!(selected(ids(0), None, ids(0)).some().is_err());
        let parts = selected(ids(2_001), None, ids(0)).parts();
        assert_eq!(parts.iter().map(|p| p.call_ids.len()).collect::<Vec<_>>(), [1_000, 1_000, 1]);
        assert_eq!(selected(ids(0), None, ids(3)).parts()[0].client_references, ids(3));
        assert_eq!(selected(ids(0), Some("r"), ids(0)).parts()[0].request_id, "r");
    }

    #[test]
    fn rows_stand_below_each_other() {
        let call = Call {
            call_id: "0190a5c0-0000-7000-8000-000000000000".into(),
            to: vec!["+919900000001".into(), "+919900000002".into()],
            state: CallState::InvalidNumber.into(),
            vendor: "one".into(),
            client_reference: "visit\x1b7".into(),
            ..Call::default()
        };
        let row = row(&call);
        assert!(row.ends_with("visit 7"), "{row}");
        for (name, shown) in [("STATE", "INVALID_N"), ("VENDOR", "one"), ("REFERENCE", "visit")] {
            assert_eq!(heading().find(name), row.find(shown), "{name}");
        }
        assert!(row.contains("+919900000001 (+1)"));
    }
}

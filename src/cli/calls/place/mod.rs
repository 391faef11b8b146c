//! `dialplane call`: places calls.

use std::collections::HashMap;

use clap::Args;
use prost::Message;
use tonic::Status;
use tonic_types::pb;
use uuid::Uuid;

use super::{Client, How, Out, Part, code, note, watch::Watch};
use crate::{
    call::E164,
    cli::client::{Failed, NOT_REACHED, words},
    proto::{Call, CallSpec, CallState, CreateCallsRequest, CreateCallsResponse},
};

mod given;
mod list;

use given::Given;
use list::List;

/// Errors of calls that are told in full.
const SHOWN: usize = 10;

/// What is placed.
#[derive(Args)]
pub(in crate::cli) struct Arguments {
    /// Whom to call: an E.164 number such as +919900000001. Each is a call of its own.
    #[arg(value_name = "NUMBER", required_unless_present = "csv")]
    numbers: Vec<String>,
    /// Another number of the same person, tried when the one before does not connect; of a
    /// single NUMBER. May be given several times.
    #[arg(long = "alternate", value_name = "NUMBER")]
    alternates: Vec<String>,
    /// Your own reference: one for each NUMBER, in their order.
    #[arg(long = "reference", value_name = "REFERENCE")]
    references: Vec<String>,
    /// A configured route. Without it, "default".
    #[arg(long, value_name = "NAME", default_value = "")]
    route: String,
    #[command(flatten)]
    given: Given,
    /// One wrong call refuses all.
    #[arg(long)]
    all_or_nothing: bool,
    /// By which the request is known: repeated under the same id it calls nobody twice. One is
    /// made, and told, where none is given.
    #[arg(long, value_name = "ID", conflicts_with = "validate_only")]
    request_id: Option<String>,
    /// Check what can be checked, and call nobody.
    #[arg(long)]
    validate_only: bool,
    /// Show every change until all calls are over.
    #[arg(long, conflicts_with = "validate_only")]
    watch: bool,
    #[command(flatten)]
    list: List,
    #[command(flatten)]
    how: How,
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arguments").field("numbers", &self.numbers.len()).finish_non_exhaustive()
    }
}

pub(in crate::cli) async fn run(arguments: &Arguments) -> Result<u8, Failed> {
    if let Some(path) = &arguments.list.csv {
        return Box::pin(list::run(arguments, path)).await;
    }
    arguments.list.without_csv()?;
    let mut request = CreateCallsRequest {
        request_id: arguments.request_id.clone().unwrap_or_default(),
        route: arguments.route.clone(),
        calls: arguments.calls()?,
        all_or_nothing: arguments.all_or_nothing,
        validate_only: arguments.validate_only,
    };
    let mut client = arguments.how.client().await?;
    if request.request_id.is_empty() {
        // Of a check too: there are gateways that take nothing without one.
        request.request_id = Uuid::now_v7().to_string();
        if !request.validate_only {
            note(format!("request id: {}", request.request_id));
        }
    }
    let mut out = arguments.how.out();
    let request_id = match request.validate_only {
        true => String::new(),
        false => request.request_id.clone(),
    };
    let placed = place(&arguments.how, &mut client, request).await;
    let answer = match placed {
        Ok(answer) => answer,
        Err(status) => return Err(refused(status, &request_id, &mut out)),
    };
    if answer.replayed {
        note("this request was placed before: nobody is called by it now");
    }
    if arguments.watch {
        return follow(&arguments.how, &mut client, &request_id, &mut out).await;
    }
    for call in &answer.calls {
        let _ = out.call(call);
    }
    tell_errors(&answer.calls);
    Ok(code(!answer.calls.iter().any(is_refused)))
}

/// Sends it, and again where that can't call anybody twice: it has an id, or calls nobody.
async fn place(
    how: &How,
    client: &mut Client,
    request: CreateCallsRequest,
) -> Result<CreateCallsResponse, Status> {
    how.ask(request, async |request| client.create_calls(request).await).await
}

/// Why nobody was called, with the calls as far as the error tells of them.
fn refused(status: Status, request_id: &str, out: &mut Out) -> Failed {
    let calls = packed(&status).calls;
    for call in &calls {
        let _ = out.call(call);
    }
    if calls.len() > 1 {
        tell_errors(&calls);
    }
    let failed = Failed::from(status);
    match failed.code() {
        NOT_REACHED if !request_id.is_empty() => {
            failed.and(format!("repeat it with --request-id {request_id}: that calls nobody twice"))
        }
        _ => failed,
    }
}

/// The answer that an error holds when all calls of a request failed.
fn packed(status: &Status) -> CreateCallsResponse {
    let details = pb::Status::decode(status.details()).unwrap_or_default().details;
    let packed =
        details.iter().find(|any| any.type_url.ends_with("dialplane.v1.CreateCallsResponse"));
    packed
        .and_then(|any| CreateCallsResponse::decode(any.value.as_slice()).ok())
        .unwrap_or_default()
}

/// Shows every change, to the end.
async fn follow(
    how: &How,
    client: &mut Client,
    request_id: &str,
    out: &mut Out,
) -> Result<u8, Failed> {
    let part = Part { request_id: request_id.to_owned(), ..Part::default() };
    let mut last = HashMap::new();
    let followed = Watch::new(part, None, None).follow(how, client, |change| {
        let Some(call) = &change.call else { return true };
        last.insert(call.call_id.clone(), call.clone());
        out.call(call).is_ok()
    });
    let followed = followed.await;
    let calls: Vec<_> = last.into_values().collect();
    tell_errors(&calls);
    followed.map_err(|failed| {
        failed.and(format!("go on: dialplane watch --request-id {request_id}"))
    })?;
    Ok(code(!calls.iter().any(is_refused)))
}

/// Whether it did not go as it was meant, which is not the same as nobody answering. A call that
/// was only checked has no state that tells.
fn is_refused(call: &Call) -> bool {
    match call.state() {
        CallState::Failed | CallState::Expired | CallState::Unknown => true,
        _ => call.call_id.is_empty() && call.error.is_some(),
    }
}

fn tell_errors(calls: &[Call]) {
    let mut wrong = calls.iter().filter_map(|call| Some((call, call.error.as_ref()?)));
    for (call, error) in wrong.by_ref().take(SHOWN) {
        let name = match (call.call_id.as_str(), call.to.as_slice()) {
            ("", [to, ..]) => to,
            ("", []) => "a call",
            (id, _) => id,
        };
        note(format!("{name}: {}", words(error)));
    }
    let more = wrong.count();
    if more > 0 {
        note(format!("and {more} more"));
    }
}

impl Arguments {
    /// One for each number, checked as far as that takes no gateway.
    fn calls(&self) -> Result<Vec<CallSpec>, Failed> {
        let Self { numbers, alternates, references, .. } = self;
        if !alternates.is_empty() && numbers.len() > 1 {
            return Err(Failed::input("--alternate is for a single NUMBER: name one at a time"));
        }
        if !references.is_empty() && references.len() != numbers.len() {
            return Err(Failed::input(format!(
                "--reference is given {} times for {} numbers; expected one for each, in their \
                 order",
                references.len(),
                numbers.len()
            )));
        }
        let mut wrong = Vec::new();
        let mut number = |text: &String, place: String| match text.parse::<E164>() {
            Ok(number) => Some(number.plus()),
            Err(error) => {
                wrong.push(format!("{place}: {error}"));
                None
            }
        };
        let mut to: Vec<Vec<_>> = (1..)
            .zip(numbers)
            .map(|(i, text)| number(text, format!("number {i}")).into_iter().collect())
            .collect();
        let alternates = (1..).zip(alternates);
        let alternates: Vec<_> =
            alternates.filter_map(|(i, text)| number(text, format!("alternate {i}"))).collect();
        if let Some(first) = to.first_mut() {
            first.extend(alternates);
        }
        if !wrong.is_empty() {
            return Err(Failed::input(wrong.join("\n")));
        }
        let template = self.given.template()?;
        let references = references.iter().cloned().chain(std::iter::repeat(String::new()));
        let calls = to.into_iter().zip(references);
        Ok(calls
            .map(|(to, client_reference)| CallSpec { to, client_reference, ..template.clone() })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn calls(line: &str) -> Result<Vec<CallSpec>, String> {
        let line =
            Line::try_parse_from(format!("x {line}").split(' ')).map_err(|e| e.to_string())?;
        assert!(!format!("{:?}", line.arguments).contains("9900"));
        line.arguments.calls().map_err(|failed| failed.to_string())
    }

    #[test]
    fn each_number_is_a_call() {
        let calls = calls(
            "919900000001 +919900000002 --reference a --reference b --flow f --var x=1=2 --var y= \
             --label l=m --caller-id 80 --at 2030-01-01T00:00:00+05:30 --locale tr-TR --name N \
             --retry-after 15m --attempts 3",
        );
        let calls = calls.unwrap();
        assert_eq!(calls.len(), 2);
        assert_eq!(
            (calls[0].to[0].as_str(), calls[0].client_reference.as_str()),
            ("+919900000001", "a")
        );
        assert_eq!(
            (calls[1].to[0].as_str(), calls[1].client_reference.as_str()),
            ("+919900000002", "b")
        );
        let call = &calls[1];
        assert_eq!((call.variables["x"].as_str(), call.variables["y"].as_str()), ("1=2", ""));
        assert_eq!(call.start_time.unwrap().seconds, 1_893_436_200);
        assert_eq!(call.recipient.as_ref().unwrap().name, "N");
        assert_eq!(call.retry.unwrap().interval.unwrap().seconds, 900);
        assert_eq!(call.retry.unwrap().max_attempts, 3);
    }

    #[test]
    fn alternates_are_of_one_call() {
        let one = calls("+919900000001 --alternate +919900000002").unwrap();
        assert_eq!(one[0].to, ["+919900000001", "+919900000002"]);
        let error = calls("+919900000001 +919900000002 --alternate +919900000003").unwrap_err();
        assert!(error.contains("single NUMBER"), "{error}");
    }

    #[test]
    fn mistakes_are_told_at_once() {
        let error = calls("0990 +919900000001 x --alternate").unwrap_err();
        assert!(error.contains("--alternate"), "{error}");
        let error = calls("0990 +919900000001 x").unwrap_err();
        assert!(error.contains("number 1: ") && error.contains("\nnumber 3: "), "{error}");
        assert!(
            calls("+919900000001 --reference a --reference b").unwrap_err().contains("2 times")
        );
        for wrong in
            ["--var x", "--label =x", "--at tomorrow", "--flow a --audio b", "--var x=1 --var x=2"]
        {
            let error = calls(&format!("+919900000001 {wrong}")).unwrap_err();
            let name = wrong.split(' ').next().unwrap();
            assert!(error.contains(name), "{wrong}: {error}");
        }
    }
}

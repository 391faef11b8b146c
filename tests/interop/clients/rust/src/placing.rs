//! Scenarios in which calls are placed.

use std::time::{Duration, Instant};

use dialplane_example::{
    Client,
    api::{CallState, CreateCallsRequest, GetCallResultsRequest},
    follow, place, recorded,
};
use tonic::Code;

use crate::{
    gateway::{self, create as create_calls, failure, info, refused, spec},
    harness::{DialLog, Outcome, ensure, ensure_eq, named, number, turkish},
};

const LONG: Duration = Duration::from_secs(30);

pub async fn create(client: &mut Client) -> Outcome {
    let dialled = DialLog::of(&["00"]).await?;
    let request = gateway::request("create", "", &["00"]);
    let first = place(client, &request).await?;
    // Whose answer was lost has it from a further try.
    ensure_eq!(first.replayed, std::env::var_os("INTEROP_LOST").is_some());
    let mut states = Vec::new();
    follow(client, &request.request_id, |call| states.push(call.state())).await?;
    ensure_eq!(states.last(), Some(&CallState::Answered));
    let second = place(client, &request).await?;
    ensure!(second.replayed, "the second answer is not replayed");
    ensure_eq!(second.calls[0].call_id, first.calls[0].call_id);
    dialled.has("00", 1).await
}

pub async fn reused(client: &mut Client) -> Outcome {
    create_calls(client, &gateway::request("reused", "", &["00"]), LONG).await?;
    let dialled = DialLog::of(&["00", "01"]).await?;
    let other = gateway::request("reused", "", &["01"]);
    let status = refused(create_calls(client, &other, LONG).await, Code::AlreadyExists)?;
    let info = info(&status)?;
    ensure_eq!(info.reason, "REQUEST_ID_REUSED");
    ensure_eq!(info.domain, "dialplane");
    dialled.has("00", 0).await?;
    dialled.has("01", 0).await
}

pub async fn partial(client: &mut Client) -> Outcome {
    let dialled = DialLog::of(&["00", "10", "01"]).await?;
    let request = gateway::request("partial", "mobtexting", &["00", "10", "01"]);
    let answer = create_calls(client, &request, LONG).await?;
    let [first, second, third] = answer.calls.as_slice() else {
        return Err(format!("{} calls", answer.calls.len()).into());
    };
    for call in [first, third] {
        ensure!(!call.call_id.is_empty(), "no call_id");
        ensure_eq!(call.error, None);
    }
    ensure_eq!(second.state(), CallState::Failed);
    let (code, info) = failure(second)?;
    ensure_eq!(code, Code::InvalidArgument);
    ensure_eq!(info.domain, "mobtexting.com");
    for key in ["vendor", "vendor_code", "http_status"] {
        ensure!(info.metadata.contains_key(key), "no {key}");
    }
    ensure_eq!(info.metadata.get("dialed").map(String::as_str), Some("no"));
    dialled.has("00", 1).await?;
    dialled.has("10", 0).await?;
    dialled.has("01", 1).await
}

pub async fn all_failed(client: &mut Client) -> Outcome {
    let request = CreateCallsRequest {
        request_id: named("all-failed"),
        route: "phonon".into(),
        calls: vec![spec(&number("11")), spec(&turkish("11"))],
        ..Default::default()
    };
    let status = refused(create_calls(client, &request, LONG).await, Code::ResourceExhausted)?;
    let told = info(&status)?;
    ensure_eq!(told.reason, "INSUFFICIENT_BALANCE");
    ensure_eq!(told.domain, "phonon.io");
    ensure_eq!(told.metadata.get("request_id"), Some(&request.request_id));
    let packed = recorded(&status).ok_or("no CreateCallsResponse")?;
    ensure_eq!(packed.calls.len(), 2);
    for call in &packed.calls {
        ensure!(!call.call_id.is_empty(), "no call_id");
        ensure_eq!(failure(call)?.1.reason, "INSUFFICIENT_BALANCE");
    }
    Ok(())
}

pub async fn deadline(client: &mut Client) -> Outcome {
    let dialled = DialLog::of(&["14"]).await?;
    let request = gateway::request("deadline", "slow", &["14"]);
    let began = Instant::now();
    let late = create_calls(client, &request, Duration::from_secs(1)).await;
    // What is behind a proxy may be later than the library's own clock, and that says "cancelled".
    let late = late.err().ok_or("the RPC is OK, though it had no time")?;
    let is_own = late.code() == Code::Cancelled && late.message() == "Timeout expired";
    ensure!(late.code() == Code::DeadlineExceeded || is_own, "{late}");
    let took = began.elapsed();
    ensure!(took > Duration::from_millis(900) && took < LONG / 10, "after {took:?}");
    let by_id =
        GetCallResultsRequest { request_id: request.request_id.clone(), ..Default::default() };
    let known = client.get_call_results(by_id).await?.into_inner();
    ensure_eq!(known.calls.len(), 1);
    let again = create_calls(client, &request, LONG).await?;
    ensure_eq!(again.calls.len(), 1);
    ensure_eq!(again.calls[0].call_id, known.calls[0].call_id);
    dialled.has("14", 1).await
}

//! Scenarios in which nobody is dialled, or not yet.

use std::time::{Duration, Instant, SystemTime};

use dialplane_example::{
    Client,
    api::{CallState, CancelCallsRequest},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    gateway::{create, failure, info, refused, request, spec},
    harness::{DialLog, Outcome, ensure, ensure_eq},
};

const LONG: Duration = Duration::from_secs(30);

fn fields(status: &Status) -> Outcome<Vec<String>> {
    let wrong = status.get_details_bad_request().ok_or("no BadRequest")?;
    Ok(wrong.field_violations.into_iter().map(|violation| violation.field).collect())
}

pub async fn bad_request(client: &mut Client) -> Outcome {
    let none = create(client, &request("none", "", &[]), LONG).await;
    ensure_eq!(fields(&refused(none, Code::InvalidArgument)?)?, ["calls"]);

    let dialled = DialLog::of(&["00"]).await?;
    let mut wrong = request("bad-request", "", &["00"]);
    wrong.calls.push(spec("nobody"));
    wrong.all_or_nothing = true;
    let status = refused(create(client, &wrong, LONG).await, Code::InvalidArgument)?;
    ensure_eq!(fields(&status)?, ["calls[1].to[0]"]);
    dialled.has("00", 0).await
}

pub async fn validate(client: &mut Client) -> Outcome {
    let dialled = DialLog::of(&["00"]).await?;
    let mut calls = request("validate", "", &["00"]);
    calls.calls.push(spec("nobody"));
    calls.validate_only = true;
    let answer = create(client, &calls, LONG).await?;
    let [good, wrong] = answer.calls.as_slice() else {
        return Err(format!("{} calls", answer.calls.len()).into());
    };
    ensure_eq!([&good.call_id, &wrong.call_id, &answer.request_id], ["", "", ""]);
    ensure_eq!(good.error, None);
    let (code, info) = failure(wrong)?;
    ensure_eq!(code, Code::InvalidArgument);
    ensure_eq!(info.reason, "INVALID_CALL");
    dialled.has("00", 0).await
}

pub async fn retry_info(client: &mut Client) -> Outcome {
    let dialled = DialLog::of(&["00"]).await?;
    let deadline = Duration::from_secs(2);
    create(client, &request("paced-1", "paced", &["00"]), LONG).await?;
    let began = Instant::now();
    let second = create(client, &request("paced-2", "paced", &["00"]), deadline).await;
    let status = refused(second, Code::ResourceExhausted)?;
    let took = began.elapsed();
    ensure!(took < deadline / 2, "after {took:?}");
    ensure_eq!(info(&status)?.reason, "PACE_EXHAUSTED");
    let quota = status.get_details_quota_failure().ok_or("no QuotaFailure")?;
    ensure!(!quota.violations.is_empty(), "no violations");
    let retry = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let wait = retry.ok_or("no RetryInfo")?;
    ensure!(wait > deadline && wait <= Duration::from_secs(60), "RetryInfo of {wait:?}");
    dialled.has("00", 1).await
}

pub async fn cancel(client: &mut Client) -> Outcome {
    let dialled = DialLog::of(&["00"]).await?;
    let start = SystemTime::now() + Duration::from_secs(3600);
    let mut calls = request("cancel", "", &["00"]);
    calls.calls[0].start_time = Some(start.into());
    let waiting = create(client, &calls, LONG).await?.calls.remove(0);
    ensure_eq!(waiting.state(), CallState::Scheduled);
    ensure!(waiting.scheduled_time.is_some(), "no scheduled_time");
    let selected = CancelCallsRequest { call_ids: vec![waiting.call_id], ..Default::default() };
    let canceled = client.cancel_calls(selected).await?.into_inner();
    ensure_eq!(canceled.calls.len(), 1);
    ensure_eq!(canceled.calls[0].state(), CallState::Canceled);
    dialled.has("00", 0).await
}

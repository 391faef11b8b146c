//! A batch, sent until it is known what became of its calls.

use tonic::{Code, Status};
use tonic_types::{RpcStatusExt, StatusExt, pb};

use super::{
    super::{packed, place},
    Arguments, Client, Ids, LABEL, Row, known,
};
use crate::{
    cli::client::{FAILED, Failed, has_no_turn, turn_of, wait_of, words},
    proto::{Call, CreateCallsRequest, CreateCallsResponse},
};

/// A batch that was dealt with.
pub(super) struct Done {
    pub rows: Vec<Row>,
    pub calls: Vec<Call>,
    pub replayed: bool,
    /// Why none of it was placed just now, where none of the batches after it would be either.
    pub refused: Option<Failed>,
}

pub(super) async fn sent(
    arguments: &Arguments,
    client: &mut Client,
    ids: &Ids,
    number: usize,
    rows: Vec<Row>,
) -> Result<Done, Failed> {
    let request = request(arguments, ids, number, &rows);
    let request_id = request.request_id.clone();
    let status = match in_its_turn(arguments, client, request).await {
        Ok(answer) if !answer.replayed => {
            return Ok(Done { rows, calls: answer.calls, replayed: false, refused: None });
        }
        Ok(_) => None,
        Err(status) => Some(status),
    };
    let mut calls = Vec::new();
    if let Some(status) = status {
        let status = unrecorded(status, arguments.validate_only)?;
        // All of its calls may have failed, which is recorded: then the list goes on.
        let known = known(arguments, client, &request_id, &mut calls).await;
        if known.is_err() || calls.len() != rows.len() {
            return Err(status.into());
        }
        // What an earlier run was refused is as it is.
        let is_new = !packed(&status).replayed;
        let errors = || calls.iter().filter_map(|call| call.error.as_ref());
        let refused = errors().find(|error| is_new && is_of_all(error));
        let refused = refused.map(|error| Failed::new(words(error), FAILED));
        return Ok(Done { rows, calls, replayed: false, refused });
    }
    // The recorded answer is of the time when they were placed.
    known(arguments, client, &request_id, &mut calls).await?;
    match calls.len() == rows.len() {
        true => Ok(Done { rows, calls, replayed: true, refused: None }),
        false => Err(Failed::input(format!(
            "the request {request_id} has {} calls, and should have {}: it is not of this list",
            calls.len(),
            rows.len()
        ))),
    }
}

fn request(arguments: &Arguments, ids: &Ids, number: usize, rows: &[Row]) -> CreateCallsRequest {
    let mut calls: Vec<_> = rows.iter().map(|row| row.call.clone()).collect();
    if let Some(label) = &ids.label {
        for call in &mut calls {
            call.labels.insert(LABEL.to_owned(), label.clone());
        }
    }
    CreateCallsRequest {
        // Of a check too: it tells of a list that was sent before with other options.
        request_id: ids.of(number),
        route: arguments.route.clone(),
        calls,
        all_or_nothing: false,
        validate_only: arguments.validate_only,
    }
}

/// However long its turn is in coming: a list has the time.
async fn in_its_turn(
    arguments: &Arguments,
    client: &mut Client,
    request: CreateCallsRequest,
) -> Result<CreateCallsResponse, Status> {
    let mut was_refused = false;
    loop {
        match place(&arguments.how, client, request.clone()).await {
            // Nothing is recorded then.
            Err(status) if status.code() == Code::ResourceExhausted => {
                match wait_of(&status).or_else(|| turn_of(&status)) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    // It may have had the rest of its time alone, after a gateway that was away.
                    None if has_no_turn(&status) && !was_refused => was_refused = true,
                    None => return Err(status),
                }
            }
            answer => return answer,
        }
    }
}

/// The error, unless it certainly says that nothing is recorded.
fn unrecorded(status: Status, validate_only: bool) -> Result<Status, Failed> {
    let reason = status.get_details_error_info().map(|info| info.reason);
    match reason.as_deref() {
        Some("REQUEST_ID_REUSED") => Err(Failed::from(status).and(
            "this list was sent before, or another one under the name of its job, with other \
             options or another --batch: repeat it as it was, or give it a --job of its own",
        )),
        Some("PACE_EXHAUSTED") => Err(Failed::from(status).and(
            "so many calls never have their turn within --timeout: give a longer one, or a \
             smaller --batch",
        )),
        _ if wait_of(&status).is_some() || validate_only => Err(status.into()),
        _ => Ok(status),
    }
}

/// Whether a call was refused for what is nobody's mistake in it, and is so of the next ones: the
/// vendor's account or its balance, a vendor that is not there, a window that is closed.
fn is_of_all(error: &pb::Status) -> bool {
    let (reason, mut about) = match error.get_details_error_info() {
        Some(info) => (info.reason, info.metadata),
        None => Default::default(),
    };
    let is_too_fast = about.remove("http_status").is_some_and(|status| status == "429");
    let has_wait = error.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some());
    match Code::from_i32(error.code) {
        // After a while the vendor takes more, and the gateway waits for that.
        Code::ResourceExhausted => !has_wait && !is_too_fast,
        Code::Unavailable => true,
        Code::FailedPrecondition => match reason.as_str() {
            // Not for this call, by its own times.
            "OUTSIDE_CALLING_WINDOW" => has_wait,
            "NEVER_IN_CALLING_WINDOW" | "CALLEE_ZONE_UNKNOWN" => false,
            _ => true,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn what_is_so_of_the_next_calls_is_told_from_what_is_of_one() {
        let second = std::time::Duration::from_secs(1);
        for (code, reason, wait, expected) in [
            (Code::ResourceExhausted, "429", None, false),
            (Code::ResourceExhausted, "INSUFFICIENT_BALANCE", None, true),
            (Code::ResourceExhausted, "TOO_MANY_REQUESTS", Some(second), false),
            (Code::FailedPrecondition, "INVALID_SECURITY_ID", None, true),
            (Code::FailedPrecondition, "OUTSIDE_CALLING_WINDOW", Some(second), true),
            (Code::FailedPrecondition, "OUTSIDE_CALLING_WINDOW", None, false),
            (Code::FailedPrecondition, "CALLEE_ZONE_UNKNOWN", None, false),
            (Code::Unavailable, "BREAKER_OPEN", Some(second), true),
            (Code::InvalidArgument, "INVALID_CALL", None, false),
            (Code::PermissionDenied, "SUPPRESSED", None, false),
            (Code::Unknown, "VENDOR_ANSWER_LOST", None, false),
        ] {
            let mut details = ErrorDetails::with_error_info(reason, "x", http(reason));
            details.set_retry_info(wait);
            let status = Status::with_error_details(code, "x", details);
            let error = pb::Status::decode(status.details()).unwrap();
            assert_eq!(is_of_all(&error), expected, "{reason} {wait:?}");
        }
    }

    fn http(status: &str) -> [(String, String); 1] {
        [("http_status".to_owned(), status.to_owned())]
    }
}

//! The gateway as tonic speaks to it.

use std::time::Duration;

use dialplane_example::{
    Client,
    api::{Call, CallSpec, CreateCallsRequest, CreateCallsResponse},
};
use prost::Message as _;
use tonic::{Code, Request, Status};
use tonic_types::{ErrorInfo, StatusExt};

use crate::harness::{Outcome, ensure, named, number};

/// A request for calls to numbers with these last digits.
pub fn request(name: &str, route: &str, digits: &[&str]) -> CreateCallsRequest {
    let calls = digits.iter().map(|digits| spec(&number(digits))).collect();
    CreateCallsRequest { request_id: named(name), route: route.into(), calls, ..Default::default() }
}

/// A call to a number.
pub fn spec(number: &str) -> CallSpec {
    CallSpec { to: vec![number.into()], ..Default::default() }
}

/// CreateCalls.
pub async fn create(
    client: &mut Client,
    calls: &CreateCallsRequest,
    deadline: Duration,
) -> Result<CreateCallsResponse, Status> {
    let mut request = Request::new(calls.clone());
    request.set_timeout(deadline);
    Ok(client.create_calls(request).await?.into_inner())
}

/// Ends a scenario unless the RPC failed with this code.
pub fn refused<T>(answer: Result<T, Status>, code: Code) -> Outcome<Status> {
    let Err(status) = answer else { return Err(format!("the RPC is OK, not {code:?}").into()) };
    ensure!(status.code() == code, "{status}, not {code:?}");
    Ok(status)
}

/// The `ErrorInfo` of an RPC's error.
pub fn info(status: &Status) -> Outcome<ErrorInfo> {
    Ok(status.get_details_error_info().ok_or("no ErrorInfo")?)
}

/// The code and the `ErrorInfo` of a call's error.
pub fn failure(call: &Call) -> Outcome<(Code, ErrorInfo)> {
    let error = call.error.as_ref().ok_or("the call has no error")?;
    let code = Code::from(error.code);
    let status = Status::with_details(code, &error.message, error.encode_to_vec().into());
    Ok((code, info(&status)?))
}

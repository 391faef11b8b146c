//! Calls as the API shows them.

use jiff::Timestamp;
use serde_json::Value;

use super::status::{self, Subject};
use crate::{
    call::{self, CallState as State},
    proto::{self, CallState},
};

/// A call as callers see it.
pub(super) fn call(call: &call::Call) -> proto::Call {
    let prefix = format!("calls[{}].", call.position);
    let subject = Subject { vendor: &call.vendor, prefix: &prefix, request_id: None };
    let order = &call.order;
    proto::Call {
        call_id: call.id.to_string(),
        request_id: call.request_id.to_string(),
        client_reference: order
            .client_reference
            .as_ref()
            .map(|reference| reference.as_str().to_owned())
            .unwrap_or_default(),
        route: call.route.clone(),
        vendor: call.vendor.clone(),
        vendor_call_id: call.vendor_call_id.clone().unwrap_or_default(),
        vendor_request_id: call.vendor_request_id.clone().unwrap_or_default(),
        to: order.to.iter().map(call::E164::plus).collect(),
        caller_id: order.caller_id.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        state: state(call.state).into(),
        error: call.error.as_ref().map(|error| status::render(error, subject)),
        attempts: call.attempts.iter().map(attempt).collect(),
        vendor_data: (!call.vendor_data.is_empty()).then(|| fields(&call.vendor_data)),
        labels: order.labels.clone(),
        create_time: Some(timestamp(call.create_time)),
        update_time: Some(timestamp(call.update_time)),
        end_time: call.end_time.map(timestamp),
        revision: call.revision,
        scheduled_time: call.held_until.map(timestamp),
        failovers: call.failovers.iter().map(|failed| failover(failed, &prefix)).collect(),
    }
}

fn failover(failed: &call::Failover, prefix: &str) -> proto::Failover {
    let subject = Subject { vendor: &failed.vendor, prefix, request_id: None };
    proto::Failover {
        vendor: failed.vendor.clone(),
        error: Some(status::render(&failed.error, subject)),
        failover_time: Some(timestamp(failed.at)),
    }
}

fn attempt(attempt: &call::Attempt) -> proto::CallAttempt {
    proto::CallAttempt {
        to: attempt.to.clone(),
        state: state(attempt.state).into(),
        ring_time: attempt.ring_time.map(timestamp),
        answer_time: attempt.answer_time.map(timestamp),
        end_time: attempt.end_time.map(timestamp),
        talk_duration: attempt.talk_duration.and_then(|d| d.try_into().ok()),
        answered_by: match attempt.answered_by {
            None => proto::AnsweredBy::Unspecified,
            Some(call::AnsweredBy::Human) => proto::AnsweredBy::Human,
            Some(call::AnsweredBy::Machine) => proto::AnsweredBy::Machine,
        }
        .into(),
        dtmf: attempt.dtmf.clone(),
        recording_uri: attempt.recording_uri.clone(),
        vendor_state: attempt.vendor_state.clone(),
        hangup_cause: attempt.hangup_cause.clone(),
    }
}

/// A state as the API names it.
pub(super) fn state(state: State) -> CallState {
    match state {
        State::Scheduled => CallState::Scheduled,
        State::Dispatching => CallState::Dispatching,
        State::Accepted => CallState::Accepted,
        State::Unconfirmed => CallState::Unconfirmed,
        State::Ringing => CallState::Ringing,
        State::InProgress => CallState::InProgress,
        State::Answered => CallState::Answered,
        State::Busy => CallState::Busy,
        State::NoAnswer => CallState::NoAnswer,
        State::Rejected => CallState::Rejected,
        State::InvalidNumber => CallState::InvalidNumber,
        State::Unreachable => CallState::Unreachable,
        State::Failed => CallState::Failed,
        State::Canceled => CallState::Canceled,
        State::Expired => CallState::Expired,
        State::Unknown => CallState::Unknown,
    }
}

/// A time as the API writes it.
pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_second(),
        // Before 1970 the fraction would be negative, which protobuf does not take.
        nanos: time.subsec_nanosecond().max(0),
    }
}

fn fields(map: &serde_json::Map<String, Value>) -> prost_types::Struct {
    prost_types::Struct { fields: map.iter().map(|(k, v)| (k.clone(), value(v))).collect() }
}

fn value(json: &Value) -> prost_types::Value {
    use prost_types::{ListValue, value::Kind};
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(yes) => Kind::BoolValue(*yes),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.iter().map(value).collect() })
        }
        Value::Object(map) => Kind::StructValue(fields(map)),
    };
    prost_types::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_name() {
        for each in State::ALL {
            assert_eq!(state(each).as_str_name(), format!("CALL_STATE_{}", each.name()));
        }
    }
}

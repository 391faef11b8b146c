//! Calls and requests to put into a ledger.

use dialplane::{
    call::{
        AnsweredBy, Attempt, Call, CallError, CallId, CallState, Cause, Fingerprint, Observation,
        Order, Position, Recipient, ReportedState, RequestId, Resource, Retry, Script, VendorFault,
        Violation,
    },
    ledger::{Ledger, NewRequest, News, Page},
};
use jiff::Timestamp;
use serde_json::json;

pub const START: Position = Position { entries: 0, within: None };

pub fn at(second: i64) -> Timestamp {
    Timestamp::new(1_772_000_000 + second, 123_456_789).unwrap()
}

pub fn call(request_id: &RequestId, position: u32, reference: Option<&str>) -> Call {
    Call {
        id: CallId::generate(),
        request_id: request_id.clone(),
        position,
        order: std::sync::Arc::new(Order {
            client_reference: reference.map(|text| text.parse().unwrap()),
            to: vec!["+919812345001".parse().unwrap()],
            caller_id: None,
            script: None,
            variables: Default::default(),
            start_time: None,
            expire_time: None,
            recipient: Recipient::default(),
            locale: None,
            retry: None,
            labels: Default::default(),
        }),
        route: "default".to_owned(),
        vendor: "phonon-in".to_owned(),
        vendor_call_id: None,
        vendor_request_id: None,
        failovers: Vec::new(),
        fallbacks: Vec::new(),
        state: CallState::Scheduled,
        error: None,
        attempts: Vec::new(),
        vendor_data: serde_json::Map::new(),
        create_time: at(0),
        update_time: at(0),
        end_time: None,
        asked_time: None,
        due: None,
        held_until: None,
        holds: 0,
        dispatch_time: None,
        handed_over: false,
        redials: false,
        dials: Vec::new(),
        revision: 1,
    }
}

/// A call of which everything is known.
pub fn full_call(request_id: &RequestId, position: u32) -> Call {
    let mut call = call(request_id, position, Some("Bestellung 4711 – ü"));
    call.order = std::sync::Arc::new(Order {
        caller_id: Some("200".parse().unwrap()),
        script: Some(Script::Audio("https://example.com/a.wav".to_owned())),
        variables: [("name".to_owned(), "\"Asha\"\n\0".to_owned())].into(),
        start_time: Some(at(60)),
        expire_time: Some(at(600)),
        recipient: Recipient { name: "Asha".to_owned(), email: "asha@example.com".to_owned() },
        locale: Some("hi-IN".to_owned()),
        retry: Some(Retry { interval: std::time::Duration::from_millis(1_500), max_attempts: 3 }),
        labels: [("team".to_owned(), "collections".to_owned())].into(),
        ..(*call.order).clone()
    });
    call.vendor_call_id = Some("v-1".to_owned());
    call.vendor_request_id = Some("exchange-1".to_owned());
    call.state = CallState::Failed;
    call.error = Some(CallError {
        vendor: Some(VendorFault {
            vendor: "phonon-in".to_owned(),
            domain: "phonon.io".into(),
            code: Some("-7".to_owned()),
            message: "no".to_owned(),
            http_status: Some(200),
            request_id: Some("exchange-1".to_owned()),
        }),
        violations: vec![Violation::new("to[0]", "is too long")],
        retry_after: Some(std::time::Duration::from_secs(3)),
        resource: Some(Resource { kind: "flow".into(), name: "f".to_owned() }),
        ..CallError::new(Cause::NotFound, "UNKNOWN_FLOW", "there is no flow f")
    });
    call.attempts = vec![Attempt {
        to: "+919812345001".to_owned(),
        ring_time: Some(at(61)),
        answer_time: Some(at(62)),
        end_time: Some(at(63)),
        talk_duration: Some(std::time::Duration::new(1, 5)),
        answered_by: Some(AnsweredBy::Machine),
        dtmf: "12#".to_owned(),
        recording_uri: "https://example.com/r".to_owned(),
        vendor_state: "done".to_owned(),
        hangup_cause: "NORMAL_CLEARING".to_owned(),
        ..Attempt::new(CallState::Answered)
    }];
    // Numbers that a careless reader of JSON gives back as their neighbours.
    call.vendor_data = json!({
        "charge": 0.1, "tiny": 5e-324, "odd": 2.225_073_858_507_201_4e-308,
        "long": 123_456_789.012_345_67, "carry": 9.007_199_254_740_993e15,
        "big": u64::MAX, "small": i64::MIN, "nested": {"list": [null, true, "x"]},
    })
    .as_object()
    .unwrap()
    .clone();
    call.end_time = Some(at(64));
    call.asked_time = Some(at(65));
    call.revision = u64::MAX;
    call
}

pub fn request(calls: u32) -> NewRequest {
    let id = RequestId::generate();
    request_of((0..calls).map(|position| call(&id, position, None)).collect(), id)
}

pub fn request_of(calls: Vec<Call>, id: RequestId) -> NewRequest {
    NewRequest { id, fingerprint: fingerprint(7), create_time: at(0), calls, outbox: Vec::new() }
}

pub fn fingerprint(of: u8) -> Fingerprint {
    Fingerprint { digest: [of; 32], fields: vec![of] }
}

pub fn news(call: CallId, observation: Observation, second: i64) -> News {
    News { call, observation, at: at(second), due: None, vendor: None, dial: None }
}

pub fn accepted(vendor_call_id: &str) -> Observation {
    Observation::Accepted {
        vendor_call_id: Some(vendor_call_id.to_owned()),
        vendor_request_id: None,
        data: serde_json::Map::new(),
    }
}

pub fn reported(state: CallState) -> Observation {
    let report = ReportedState { state: Some(state), ..ReportedState::default() };
    Observation::Reported { report, asked: true }
}

/// The calls of a page.
pub fn calls(page: Page) -> Vec<Call> {
    page.calls.into_iter().map(|(call, _)| call).collect()
}

/// All that is known of a request's calls.
pub async fn calls_of(ledger: &dyn Ledger, id: &RequestId) -> Vec<Call> {
    let selector = dialplane::call::Selector::Request(id.clone());
    calls(ledger.page(&selector, START, usize::MAX).await.unwrap())
}

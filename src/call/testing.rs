//! A call for tests of any room.

use super::{Call, CallId, CallState, Order, Recipient, RequestId};

/// A call in a state, with as little else as a call can have.
pub(crate) fn call(state: CallState) -> Call {
    let now = jiff::Timestamp::UNIX_EPOCH;
    Call {
        id: CallId::generate(),
        request_id: RequestId::generate(),
        position: 0,
        order: std::sync::Arc::new(Order {
            client_reference: None,
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
        state,
        error: None,
        attempts: Vec::new(),
        vendor_data: serde_json::Map::new(),
        create_time: now,
        update_time: now,
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

//! A vendor of each kind and product.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, LazyLock},
};

use dialplane::{
    call::{Call, CallId, CallState, Order, Recipient, RequestId, Retry},
    config::Config,
    vendors::{Outgoing, Placed, Vendor},
};
use jiff::Timestamp;

/// The id the vendor gave the first call.
const VENDOR_CALL_ID: &str = "v-0";

const CONFIGURATION: &str = include_str!("vendors.toml");

/// The configured vendors.
pub static VENDORS: LazyLock<Vec<Arc<dyn Vendor>>> = LazyLock::new(|| {
    let config = Config::parse(CONFIGURATION, Path::new(""), &|_| None).unwrap();
    config.vendors.values().map(|vendor| Arc::clone(&vendor.adapter)).collect()
});

/// Three calls, always the same: what is read must not depend on chance.
pub static CALLS: LazyLock<Vec<(CallId, Order)>> = LazyLock::new(|| {
    let order = |index: u8| Order {
        client_reference: None,
        to: vec![format!("+9198765432{index:02}").parse().unwrap()],
        caller_id: None,
        script: None,
        variables: BTreeMap::new(),
        start_time: None,
        expire_time: None,
        recipient: Recipient::default(),
        locale: None,
        retry: None::<Retry>,
        labels: BTreeMap::new(),
    };
    let id =
        |index: u8| CallId::from_bytes([1, 142, 0, 0, 0, 0, 112, 0, 128, 0, 0, 0, 0, 0, 0, index]);
    (0..3).map(|index| (id(index), order(index))).collect()
});

/// The calls on their way out.
pub fn outgoing() -> Vec<Outgoing<'static>> {
    CALLS.iter().map(|(id, order)| Outgoing { id: *id, dial: 0, order }).collect()
}

/// The calls as the vendor has them: one with an id, one without, one that the vendor dials
/// again by itself.
pub fn placed() -> Vec<Placed<'static>> {
    let ids = [Some(VENDOR_CALL_ID), None, Some("v-2")];
    let placed = |((_, order), vendor_call_id): (&'static (CallId, Order), _)| Placed {
        vendor_call_id,
        to: &order.to,
        script: None,
        create_time: Timestamp::from_second(1_700_000_000).unwrap(),
        retries: vendor_call_id == Some("v-2"),
    };
    CALLS.iter().zip(ids).map(placed).collect()
}

/// A call that the vendor has.
pub fn call() -> Call {
    let (id, order) = CALLS[0].clone();
    let now = Timestamp::UNIX_EPOCH;
    Call {
        id,
        request_id: "fuzz".parse::<RequestId>().unwrap(),
        position: 0,
        order: Arc::new(order),
        route: "default".to_owned(),
        vendor: "v".to_owned(),
        vendor_call_id: Some(VENDOR_CALL_ID.to_owned()),
        vendor_request_id: None,
        failovers: Vec::new(),
        fallbacks: Vec::new(),
        state: CallState::Accepted,
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
        handed_over: true,
        redials: false,
        dials: Vec::new(),
        revision: 1,
    }
}

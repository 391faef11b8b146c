//! A ledger with many calls, as a gateway leaves them that has been at it for a while.

use std::{path::Path, sync::Arc};

use dialplane::{
    call::{Attempt, Call, CallId, CallState, Fingerprint, Position, RequestId, Selector},
    ledger::{Ledger, NewRequest, sqlite::SqliteLedger},
    proto::call_service_client::CallServiceClient,
};
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::{Setup, Vendor, load, vendor::Id};

/// Calls in a request, each of which is a transaction.
const REQUEST: usize = 5_000;
/// Requests that are made at the same time, so that the one that writes never waits.
const AT_ONCE: usize = 4;

/// Fills a new ledger. Every call is like one that a gateway has placed, and over.
pub async fn fill(path: &Path, all: usize, vendor: &Vendor) {
    let example = Arc::new(example(path, vendor).await);
    let url = format!("sqlite:{}", path.display());
    let ledger = Arc::new(SqliteLedger::open(&url).unwrap());
    let mut tasks = JoinSet::new();
    for first in (0..all).step_by(REQUEST) {
        if tasks.len() == AT_ONCE {
            tasks.join_next().await.unwrap().unwrap();
        }
        let (ledger, example) = (Arc::clone(&ledger), Arc::clone(&example));
        let numbers = first..all.min(first + REQUEST);
        tasks.spawn(async move {
            let id = RequestId::generate();
            let calls =
                numbers.zip(0..).map(|(number, at)| another(&example, &id, (number, all), at));
            let request = NewRequest {
                calls: calls.collect(),
                id,
                fingerprint: Fingerprint { digest: [7; 32], fields: Vec::new() },
                create_time: Timestamp::now(),
                outbox: Vec::new(),
            };
            ledger.record(request).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    ledger.close().await;
}

/// A call as the gateway of today records it once a vendor has taken it.
async fn example(path: &Path, vendor: &Vendor) -> Call {
    let setup = Setup::in_file(path);
    let gateway = setup.start(path.parent().unwrap(), "example", vendor.address).await;
    let request = load::request("phonon", 1);
    let id: RequestId = request.request_id.parse().unwrap();
    let mut client = CallServiceClient::new(gateway.channel().await.unwrap());
    client.create_calls(request).await.unwrap();
    drop(gateway);
    let ledger = SqliteLedger::open(&setup.ledger).unwrap();
    let start = Position { entries: 0, within: None };
    let page = ledger.page(&Selector::Request(id), start, 1).await.unwrap();
    ledger.close().await;
    page.calls[0].0.clone()
}

/// The call with a number, of so many.
fn another(
    example: &Call,
    request: &RequestId,
    (number, of): (usize, usize),
    position: u32,
) -> Call {
    let mut call = example.clone();
    let (id, to, now) =
        (CallId::generate(), format!("+9198{:08}", number % 100_000_000), Timestamp::now());
    (call.id, call.request_id, call.position) = (id, request.clone(), position);
    Arc::make_mut(&mut call.order).client_reference =
        Some(format!("filled-{number:09}").parse().unwrap());
    Arc::make_mut(&mut call.order).to = vec![to.parse().unwrap()];
    call.vendor_call_id = Some(Id::spread(number as u64, of as u64).to_string());
    (call.state, call.end_time, call.due) = (CallState::Answered, Some(now), None);
    call.attempts = vec![Attempt {
        to,
        ring_time: Some(now),
        answer_time: Some(now),
        end_time: Some(now),
        vendor_state: "ANSWERED".to_owned(),
        ..Attempt::new(CallState::Answered)
    }];
    call
}

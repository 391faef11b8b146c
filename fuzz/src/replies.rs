//! What vendors answer. The input is the body; it is read with each of a few statuses.

use dialplane::{
    call::{Attempt, Call, CallState, Fault, Observation, Report, ReportedState},
    http::HttpReply,
    vendors::{Placement, bounds},
};
use jiff::Timestamp;

use super::vendors::{VENDORS, call, outgoing, placed};

const STATUSES: [u16; 5] = [200, 202, 400, 429, 503];

fn replies(body: &[u8]) -> impl Iterator<Item = HttpReply> {
    STATUSES.into_iter().map(|status| HttpReply::json(status, body.to_vec()))
}

/// The answer to an order says one thing of each call; "taken" only where it can be said of
/// whom.
pub fn placement(body: &[u8]) {
    let calls = outgoing();
    for vendor in VENDORS.iter() {
        for reply in replies(body) {
            // A vendor that takes one call at a time is never asked about more.
            let most = calls.len().min(vendor.capabilities().max_batch);
            for batch in [&calls[..1], &calls[..most]] {
                let placements = vendor.read_placement(batch, &reply);
                assert_eq!(placements.len(), batch.len(), "one for each call");
                for placement in placements {
                    match placement {
                        Placement::Accepted { vendor_call_id, vendor_request_id, .. } => {
                            for id in vendor_call_id.iter().chain(&vendor_request_id) {
                                assert!(id.len() <= bounds::MAX_ID_BYTES, "an id of {}", id.len());
                            }
                        }
                        Placement::Fault(fault) => check(&fault),
                    }
                }
            }
        }
    }
}

/// The answer to a question says one thing of each call, and none of it, in whatever order
/// and however often it comes, takes the end back from a call that is over.
pub fn answer(body: &[u8]) {
    let calls = placed();
    for vendor in VENDORS.iter() {
        for reply in replies(body) {
            for asked in vendor.questions(&calls) {
                let asked: Vec<_> = asked.into_iter().map(|index| calls[index]).collect();
                match vendor.read_answer(&asked, &reply) {
                    Ok(reports) => {
                        assert_eq!(reports.len(), asked.len(), "one for each call");
                        reports.into_iter().for_each(follow);
                    }
                    Err(fault) => check(&fault),
                }
            }
        }
    }
}

/// What a vendor answers when it is asked for a token: one that lives for a while, or none.
pub fn token(body: &[u8]) {
    for vendor in VENDORS.iter().filter(|vendor| vendor.token_request().is_some()) {
        for reply in replies(body) {
            match vendor.read_token(&reply) {
                Ok(token) => {
                    let secret = token.secret.expose();
                    assert!(!secret.is_empty() && !secret.contains(['\r', '\n']));
                    assert!(!format!("{:?}", token.secret).contains(secret) || secret.len() < 4);
                }
                Err(fault) => check(&fault),
            }
        }
    }
}

/// Reasons are names that a program can compare.
fn check(fault: &Fault) {
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    let reason = fault.reason.as_bytes();
    assert!(!reason.is_empty() && reason.len() <= 64, "{:?}", fault.reason);
    assert!(reason.iter().all(|b| plain(*b)), "{:?}", fault.reason);
}

/// Applies what was said of a call, twice, and after it was answered.
pub(crate) fn follow(report: Report) {
    let report = bounds::report(report);
    if let Some(fault) = &report.error {
        check(fault);
    }
    let told = || Observation::Reported {
        report: ReportedState {
            state: report.state,
            attempts: report.attempts.clone(),
            data: report.data.clone(),
            error: None,
        },
        asked: true,
    };
    let now = Timestamp::UNIX_EPOCH;
    let mut told_once = call();
    told_once.apply(told(), now);
    let mut told_twice = told_once.clone();
    told_twice.apply(told(), now);
    assert_eq!(told_once, told_twice, "the same news again is no news");

    let mut over = answered();
    over.apply(told(), now);
    assert_eq!(over.state, CallState::Answered, "who answered has answered");

    let kept = serde_json::to_string(&told_once).unwrap();
    let read: Call = serde_json::from_str(&kept).unwrap();
    assert_eq!(read, told_once, "what is kept is what was told");
}

fn answered() -> Call {
    let mut call = call();
    let report = ReportedState {
        state: Some(CallState::Answered),
        attempts: Vec::<Attempt>::new(),
        ..ReportedState::default()
    };
    call.apply(Observation::Reported { report, asked: true }, Timestamp::UNIX_EPOCH);
    call
}

//! Everything that can go wrong between the gateway and a vendor, system by system: what a
//! caller is told, whether a phone may have rung, and who is asked how often.

use dialplane::proto::{Call, CallState};
use tonic::Code;

use crate::{
    harness::{Explained, Gateway},
    raw::{Does, Raw, account, answer, closed_port, route, written, yes},
};

/// What a vendor does.
enum Fault {
    /// Nobody listens.
    PortClosed,
    /// It is there, and does this.
    Does(Does),
    /// The same, and time is short.
    DoesInShortTime(Does),
}

/// What comes of it.
enum Then {
    /// The vendor took the call.
    Taken,
    /// It certainly did not dial: code, reason.
    Refuses(Code, &'static str, Next),
    /// It may have dialled: reason. Nobody else is asked.
    Doubt(&'static str),
}

/// Whether the next vendor of the route is asked.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Asked,
    NotAsked,
}

struct Row {
    fault: &'static str,
    what: Fault,
    /// How often the vendor is asked.
    asked: usize,
    then: Then,
}

fn row(fault: &'static str, what: Does, then: Then) -> Row {
    Row { fault, what: Fault::Does(what), asked: 1, then }
}

const LOST: Then = Then::Doubt("VENDOR_ANSWER_LOST");
const NO_ANSWER_TO_READ: Then = Then::Doubt("UNREADABLE_ANSWER");
const HTML: &str = "<html><body>Bad luck</body></html>";

/// The same for all six.
fn everywhere(system: &str) -> Vec<Row> {
    let cut = written(200, "content-type: application/json\r\n", yes(system));
    let cut = cut[..cut.len() - 10].to_owned();
    let late = written(200, "", yes(system));
    let moved = |status| answer(status, "location: https://elsewhere.example.test/\r\n", "");
    vec![
        Row {
            fault: "the port is closed",
            what: Fault::PortClosed,
            asked: 0,
            then: Then::Refuses(Code::Unavailable, "VENDOR_UNREACHABLE", Next::Asked),
        },
        row("the connection is closed before anything is read", Does::HangsUp, LOST),
        row("the connection is reset after the request was read", Does::Resets, LOST),
        Row {
            fault: "nothing is answered in time",
            what: Fault::DoesInShortTime(Does::Keeps),
            asked: 1,
            then: LOST,
        },
        row("the answer ends before its end", Does::Says(cut), LOST),
        row("the answer is no HTTP", Does::Says("SSH-2.0-OpenSSH_9.9\r\n".into()), LOST),
        row("200 with garbage", answer(200, "", "\u{1}\u{2}{{{%PDF"), NO_ANSWER_TO_READ),
        row("200 with nothing", answer(200, "", ""), NO_ANSWER_TO_READ),
        row("200 with a page", answer(200, "content-type: text/html\r\n", HTML), NO_ANSWER_TO_READ),
        row("301", moved(301), NO_ANSWER_TO_READ),
        row("302", moved(302), NO_ANSWER_TO_READ),
        row("303", moved(303), NO_ANSWER_TO_READ),
        row(
            "307: it did not act on it",
            moved(307),
            Then::Refuses(Code::FailedPrecondition, "REDIRECTED", Next::Asked),
        ),
        row(
            "308: it did not act on it",
            moved(308),
            Then::Refuses(Code::FailedPrecondition, "REDIRECTED", Next::Asked),
        ),
        row(
            "401",
            answer(401, "", HTML),
            Then::Refuses(Code::FailedPrecondition, "UNAUTHORIZED", Next::Asked),
        ),
        row(
            "429 with Retry-After",
            answer(429, "retry-after: 7\r\n", ""),
            Then::Refuses(Code::ResourceExhausted, "TOO_MANY_REQUESTS", Next::Asked),
        ),
        row("599", answer(599, "", HTML), NO_ANSWER_TO_READ),
        row("slow, and in time", Does::SaysLate(late), Then::Taken),
    ]
}

/// The same for Phonon's four.
fn phonon(without_ids: (&'static str, &'static str)) -> Vec<Row> {
    let coded = |code: u16, message: &str| {
        let body = format!(
            r#"{{"api-response-code":{code},"api-response-message":"{message}","request-id":"r-1"}}"#
        );
        answer(200, "", &body)
    };
    let failure = r#"{"api-response-code":500,"api-response-message":"Failure"}"#;
    vec![
        row("500 with JSON", answer(500, "", failure), Then::Doubt("FAILURE")),
        row("500 without", answer(500, "", ""), NO_ANSWER_TO_READ),
        row("502 of a proxy", answer(502, "", HTML), NO_ANSWER_TO_READ),
        row("503 of a proxy", answer(503, "retry-after: 1\r\n", HTML), NO_ANSWER_TO_READ),
        row("504 of a proxy", answer(504, "", HTML), NO_ANSWER_TO_READ),
        row(
            "failure from the gateway",
            coded(206, "Failure from Gateway"),
            Then::Doubt("FAILURE_FROM_GATEWAY"),
        ),
        row(
            "401 in the body",
            coded(401, "IP Not Whitelisted"),
            Then::Refuses(Code::FailedPrecondition, "IP_NOT_WHITELISTED", Next::Asked),
        ),
        row(
            "403: the address is not on the list",
            answer(403, "", HTML),
            Then::Refuses(Code::FailedPrecondition, "IP_NOT_WHITELISTED", Next::Asked),
        ),
        row(
            "wrong credentials",
            coded(202, "Invalid Security ID"),
            Then::Refuses(Code::FailedPrecondition, "INVALID_SECURITY_ID", Next::Asked),
        ),
        row(
            "no balance",
            coded(212, "Insufficient Balance"),
            Then::Refuses(Code::ResourceExhausted, "INSUFFICIENT_BALANCE", Next::Asked),
        ),
        row(
            "no line",
            coded(208, "No Mask Available"),
            Then::Refuses(Code::ResourceExhausted, "NO_MASK_AVAILABLE", Next::Asked),
        ),
        row(
            "the number is wrong",
            coded(205, "Invalid Contact Number"),
            Then::Refuses(Code::InvalidArgument, "INVALID_CONTACT_NUMBER", Next::NotAsked),
        ),
        row(
            "the number must not be called",
            coded(402, "Phone Not Whitelisted"),
            Then::Refuses(Code::PermissionDenied, "PHONE_NOT_WHITELISTED", Next::NotAsked),
        ),
        row(
            "the flow is not there",
            coded(301, "Invalid Flow ID"),
            Then::Refuses(Code::NotFound, "INVALID_FLOW_ID", Next::NotAsked),
        ),
        row("a code nobody knows", coded(999, "?"), Then::Doubt("UNRECOGNIZED_CODE")),
        row("yes, without ids", answer(200, "", without_ids.0), Then::Doubt(without_ids.1)),
    ]
}

fn mobtexting() -> Vec<Row> {
    let said = |http: u16, code: u16| {
        answer(http, "", &format!(r#"{{"status":"ERROR","code":{code},"message":"No"}}"#))
    };
    let refuses = |code, reason, next| Then::Refuses(code, reason, next);
    vec![
        row("500 with JSON", said(500, 500), Then::Doubt("INTERNAL_SERVER_ERROR")),
        row("500 without", answer(500, "", ""), Then::Doubt("INTERNAL_SERVER_ERROR")),
        row("502 of a proxy", answer(502, "", HTML), Then::Doubt("BAD_GATEWAY")),
        row(
            "503 of a proxy",
            answer(503, "retry-after: 1\r\n", HTML),
            Then::Doubt("SERVICE_UNAVAILABLE"),
        ),
        row("504 of a proxy", answer(504, "", HTML), Then::Doubt("GATEWAY_TIMEOUT")),
        row(
            "401 in the body",
            said(200, 401),
            refuses(Code::FailedPrecondition, "UNAUTHORIZED", Next::Asked),
        ),
        row(
            "403",
            answer(403, "", HTML),
            refuses(Code::FailedPrecondition, "FORBIDDEN", Next::Asked),
        ),
        row(
            "302 to the login",
            answer(302, "location: /login\r\n", ""),
            refuses(Code::FailedPrecondition, "UNAUTHORIZED", Next::Asked),
        ),
        row(
            "no balance",
            said(402, 402),
            refuses(Code::ResourceExhausted, "INSUFFICIENT_BALANCE", Next::Asked),
        ),
        row(
            "no balance, with 200",
            said(200, 402),
            refuses(Code::ResourceExhausted, "INSUFFICIENT_BALANCE", Next::Asked),
        ),
        row(
            "the number is wrong",
            said(422, 422),
            refuses(Code::InvalidArgument, "UNPROCESSABLE_ENTITY", Next::NotAsked),
        ),
        row(
            "no, without a reason",
            answer(200, "", r#"{"status":"ERROR","message":"No"}"#),
            refuses(Code::Internal, "ERROR", Next::Asked),
        ),
        row(
            "yes, without ids",
            answer(200, "", r#"{"status":"OK","data":[]}"#),
            Then::Doubt("NO_CALL_ID"),
        ),
    ]
}

fn knovvu() -> Vec<Row> {
    let message = r#"{"Message":"An error has occurred."}"#;
    let refuses = |code, reason, next| Then::Refuses(code, reason, next);
    vec![
        row("500 with JSON", answer(500, "", message), Then::Doubt("INTERNAL_SERVER_ERROR")),
        row("500 without", answer(500, "", ""), Then::Doubt("INTERNAL_SERVER_ERROR")),
        row("502 of a proxy", answer(502, "", HTML), Then::Doubt("BAD_GATEWAY")),
        row(
            "503 of a proxy",
            answer(503, "retry-after: 1\r\n", HTML),
            Then::Doubt("SERVICE_UNAVAILABLE"),
        ),
        row("504 of a proxy", answer(504, "", HTML), Then::Doubt("GATEWAY_TIMEOUT")),
        row(
            "403",
            answer(403, "", HTML),
            refuses(Code::FailedPrecondition, "FORBIDDEN", Next::Asked),
        ),
        row(
            "no balance",
            answer(402, "", message),
            refuses(Code::ResourceExhausted, "PAYMENT_REQUIRED", Next::Asked),
        ),
        row(
            "the number is wrong",
            answer(400, "", message),
            refuses(Code::InvalidArgument, "BAD_REQUEST", Next::NotAsked),
        ),
        row("yes, without ids", answer(200, "", r#"{"UniqueId":""}"#), Then::Doubt("NO_UNIQUE_ID")),
    ]
}

/// A row against a route of this vendor alone, and against one with another behind it.
async fn try_it(system: &str, row: &Row) {
    let context = format!("{system}: {}", row.fault);
    let second = Raw::start(|_| answer(200, "", yes("knovvu"))).await;
    let (does, timeout) = match &row.what {
        Fault::PortClosed => (None, "20s"),
        Fault::Does(does) => (Some(does.clone()), "20s"),
        Fault::DoesInShortTime(does) => (Some(does.clone()), "300ms"),
    };
    let first = match does {
        Some(does) => Some(Raw::start(move |_| does.clone()).await),
        None => None,
    };
    let url = match &first {
        Some(first) => first.url(),
        None => closed_port().await,
    };
    let asked = || first.as_ref().map_or(0, Raw::asked);
    let text = account(system, "first", &url, &format!("timeout = \"{timeout}\""))
        + &account("knovvu", "second", &second.url(), "")
        + &route("alone", &["first"])
        + &route("both", &["first", "second"]);
    let mut gateway = Gateway::start(&text).await;

    let alone = match (&row.then, gateway.call("alone", "+919900000100").await) {
        (Then::Refuses(code, reason, _), Err(status)) => {
            let error = Explained::of(&status);
            check(&error, *code, reason, "no", &context);
            error.packed().calls.remove(0)
        }
        (Then::Refuses(..), Ok(call)) => panic!("{context}: {call:?}"),
        (_, answer) => answer.unwrap_or_else(|status| panic!("{context}: {status:?}")),
    };
    assert_eq!((asked(), second.asked()), (row.asked, 0), "{context}");
    stays(&alone, &row.then, &context);

    let both = gateway.call("both", "+919900000100").await;
    let moves = matches!(row.then, Then::Refuses(_, _, Next::Asked));
    let both = match both {
        Ok(call) => call,
        Err(status) => Explained::of(&status).packed().calls.remove(0),
    };
    assert_eq!((asked(), second.asked()), (2 * row.asked, usize::from(moves)), "{context}");
    match &row.then {
        Then::Refuses(code, reason, Next::Asked) => {
            assert_eq!(
                (both.state(), both.vendor.as_str()),
                (CallState::Accepted, "second"),
                "{context}"
            );
            assert_eq!((both.vendor_call_id.as_str(), both.error.as_ref()), ("v-1", None));
            let [failover] = both.failovers.as_slice() else { panic!("{context}: {both:?}") };
            assert_eq!(failover.vendor, "first");
            let error = Explained::read(failover.error.as_ref().unwrap());
            check(&error, *code, reason, "no", &context);
            assert_eq!(error.meta("vendor"), "first", "{context}");
        }
        _ => {
            stays(&both, &row.then, &context);
            assert_eq!((both.vendor.as_str(), both.failovers.len()), ("first", 0), "{context}");
        }
    }
    gateway.stop().await;
}

fn stays(call: &Call, then: &Then, context: &str) {
    let (state, error) = match then {
        Then::Taken => (CallState::Accepted, None),
        Then::Refuses(code, reason, _) => (CallState::Failed, Some((*code, *reason, "no"))),
        Then::Doubt(reason) => (CallState::Unconfirmed, Some((Code::Unknown, *reason, "maybe"))),
    };
    assert_eq!(call.state(), state, "{context}: {call:?}");
    match error {
        None => assert!(call.error.is_none(), "{context}"),
        Some((code, reason, dialed)) => {
            check(&Explained::of_call(call), code, reason, dialed, context);
        }
    }
}

fn check(error: &Explained, code: Code, reason: &str, dialed: &str, context: &str) {
    assert_eq!(
        (error.code, error.info.reason.as_str(), error.meta("dialed")),
        (code, reason, dialed),
        "{context}: {error:?}"
    );
}

/// The rows of a system, a few at a time.
async fn try_all(system: &str, own: Vec<Row>) {
    let rows: Vec<_> = everywhere(system).into_iter().chain(own).collect();
    for rows in rows.chunks(8) {
        futures_util::future::join_all(rows.iter().map(|row| try_it(system, row))).await;
    }
}

const SUCCESS: (&str, &str) =
    (r#"{"api-response-code":200,"api-response-message":"Success"}"#, "NOT_IN_CALL_DETAILS");

#[tokio::test]
async fn phonon_outbound() {
    try_all("phonon-outbound", phonon(SUCCESS)).await;
}

#[tokio::test]
async fn phonon_dialer() {
    try_all("phonon-dialer", phonon(SUCCESS)).await;
}

#[tokio::test]
async fn phonon_multicast() {
    try_all("phonon-multicast", phonon(SUCCESS)).await;
}

#[tokio::test]
async fn phonon_bulk() {
    let accepted = r#"{"api-response-code":202,"api-response-message":"Accepted"}"#;
    try_all("phonon-bulk", phonon((accepted, "UNCLEAR_202"))).await;
}

#[tokio::test]
async fn mobtexting_() {
    try_all("mobtexting", mobtexting()).await;
}

#[tokio::test]
async fn knovvu_() {
    try_all("knovvu", knovvu()).await;
}

#[tokio::test]
async fn the_wait_that_a_vendor_names_is_told() {
    let vendor = Raw::start(|_| answer(429, "retry-after: 7\r\n", "")).await;
    for system in crate::harness::ROUTES {
        let text = account(system, "first", &vendor.url(), "") + &route("alone", &["first"]);
        let mut gateway = Gateway::start(&text).await;
        let error = Explained::of(&gateway.call("alone", "+919900000100").await.unwrap_err());
        let wait: tonic_types::pb::RetryInfo = error.detail("google.rpc.RetryInfo").unwrap();
        assert_eq!(wait.retry_delay.unwrap().seconds, 7, "{system}");
        gateway.stop().await;
    }
}

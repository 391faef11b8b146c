//! Every code of every vendor, from the wire to the caller, against the table of
//! `docs/errors.md`.

use std::sync::{Arc, Mutex};

use dialplane::{
    call::Cause,
    proto::{Call, CallState},
    vendors::{knovvu::codes as knovvu, mobtexting::codes as mobtexting, phonon},
};
use tonic::{Code, Status};
use tonic_types::pb;

use crate::harness::{Answer, Explained, Gateway, SECURITY_ID, Stub};

/// Whatever they answer, they are asked again.
fn configuration(url: &str) -> String {
    format!(
        "[vendors.phonon]\nkind = \"phonon\"\nproduct = \"outbound\"\nbase_url = \"{url}\"\n\
         security_id = \"{SECURITY_ID}\"\nflow_id = \"AbCd1234\"\nbreaker = false\n\n\
         [vendors.mobtexting]\nkind = \"mobtexting\"\nbase_url = \"{url}\"\naccess_token = \"t\"\n\
         bridge = \"918000000001\"\nflow_id = \"77\"\nbreaker = false\n\n\
         [vendors.knovvu]\nkind = \"knovvu\"\nbase_url = \"{url}\"\nproject = \"P\"\naccess_token = \"t\"\n\
         scenario_path = \"https://ivr.example.test/s\"\norchestrator_url = \"https://o.example.test\"\n\
         display_number = \"200\"\nbreaker = false\n\n\
         [routes.phonon]\nvendors = [\"phonon\"]\n[routes.mobtexting]\nvendors = [\"mobtexting\"]\n\
         [routes.knovvu]\nvendors = [\"knovvu\"]\n"
    )
}

/// A gateway whose vendors all answer the same, which changes from case to case.
struct Vendors {
    answer: Arc<Mutex<Answer>>,
    stub: Stub,
    gateway: Gateway,
}

impl Vendors {
    async fn start() -> Self {
        let answer = Arc::new(Mutex::new(Answer::json(200, "")));
        let current = Arc::clone(&answer);
        let stub = Stub::start(move |_| current.lock().unwrap().clone()).await;
        let gateway = Gateway::start(&configuration(&stub.url())).await;
        Self { answer, stub, gateway }
    }

    /// What a caller gets when the vendor answers this to a request for one call.
    async fn answer(&mut self, route: &str, answer: Answer) -> Result<Call, Status> {
        *self.answer.lock().unwrap() = answer;
        let before = self.stub.received().len();
        let outcome = self.gateway.call(route, "+919900000100").await;
        assert_eq!(self.stub.received().len(), before + 1, "{route}: sent once");
        outcome
    }

    async fn stop(self) {
        self.gateway.stop().await;
        self.stub.stop().await;
    }
}

/// The contract's row for a cause.
fn expect(cause: Cause, error: &Explained, context: &str) {
    let code = match cause {
        Cause::InvalidCall => Code::InvalidArgument,
        Cause::NotFound => Code::NotFound,
        Cause::Operator | Cause::NotNow => Code::FailedPrecondition,
        Cause::NotAllowed => Code::PermissionDenied,
        Cause::Duplicate => Code::AlreadyExists,
        Cause::Exhausted => Code::ResourceExhausted,
        Cause::Unreachable => Code::Unavailable,
        Cause::InDoubt => Code::Unknown,
        Cause::Unreadable => Code::Internal,
        Cause::Unsupported => Code::Unimplemented,
        Cause::Aborted => Code::Aborted,
    };
    assert_eq!(error.code, code, "{context}: {error:?}");
    let has = |name: &str| match name {
        "ResourceInfo" => error.detail::<pb::ResourceInfo>("google.rpc.ResourceInfo").is_some(),
        "PreconditionFailure" => {
            error.detail::<pb::PreconditionFailure>("google.rpc.PreconditionFailure").is_some()
        }
        _ => error.detail::<pb::QuotaFailure>("google.rpc.QuotaFailure").is_some(),
    };
    assert_eq!(has("ResourceInfo"), cause == Cause::NotFound, "{context}");
    assert_eq!(has("PreconditionFailure"), cause == Cause::Operator, "{context}");
    assert_eq!(has("QuotaFailure"), cause == Cause::Exhausted, "{context}");
    let open = matches!(cause, Cause::InDoubt | Cause::Duplicate);
    let dialed = if open { "maybe" } else { "no" };
    assert_eq!(error.meta("dialed"), dialed, "{context}");
}

fn check(outcome: Result<Call, Status>, cause: Cause, context: &str) -> Explained {
    let error = match outcome {
        Ok(call) => {
            assert_eq!(cause, Cause::InDoubt, "{context}: {call:?}");
            assert_eq!(call.state(), CallState::Unconfirmed, "{context}");
            Explained::of_call(&call)
        }
        Err(status) => {
            assert_ne!(cause, Cause::InDoubt, "{context}: {status:?}");
            let error = Explained::of(&status);
            assert_eq!(error.packed().calls[0].state(), CallState::Failed, "{context}");
            error
        }
    };
    expect(cause, &error, context);
    error
}

#[tokio::test]
async fn every_phonon_code() {
    let mut vendors = Vendors::start().await;
    assert_eq!(phonon::CODES.len(), 22);
    for row in phonon::CODES {
        let Some(cause) = row.cause else { continue };
        // 209 without a list: nothing is said of the call.
        let body = format!(
            r#"{{"api-response-code":{},"api-response-message":"{}","request-id":"11111111-2222-4333-8444-555555555555"}}"#,
            row.code, row.message
        );
        let context = row.name;
        let error = check(vendors.answer("phonon", Answer::json(200, body)).await, cause, context);
        assert_eq!(
            (error.info.reason.as_str(), error.info.domain.as_str()),
            (row.name, "phonon.io")
        );
        assert_eq!(error.meta("vendor"), "phonon");
        assert_eq!(error.meta("vendor_code"), row.code.to_string());
        assert_eq!(error.meta("vendor_message"), row.message);
        assert_eq!(error.meta("http_status"), "200");
        let request: pb::RequestInfo = error.detail("google.rpc.RequestInfo").expect(context);
        assert_eq!(request.request_id, "11111111-2222-4333-8444-555555555555");
    }
    vendors.stop().await;
}

#[tokio::test]
async fn phonon_codes_nobody_documented_leave_it_open() {
    let mut vendors = Vendors::start().await;
    for body in [
        r#"{"api-response-code":999,"api-response-message":"Who knows"}"#,
        r#"{"api-response-code":"299"}"#,
        r#"{"api-response-code":-1}"#,
        r#"{"api-response-code":null}"#,
        "{}",
        "[]",
        "",
        "<html>welcome</html>",
    ] {
        let error =
            check(vendors.answer("phonon", Answer::json(200, body)).await, Cause::InDoubt, body);
        assert_eq!(error.info.domain, "phonon.io", "{body}");
    }
    vendors.stop().await;
}

#[tokio::test]
async fn phonon_codes_may_be_texts() {
    let mut vendors = Vendors::start().await;
    let body = r#"{"api-response-code":"212","api-response-message":"Insufficient Balance"}"#;
    check(vendors.answer("phonon", Answer::json(402, body)).await, Cause::Exhausted, body);
    vendors.stop().await;
}

#[tokio::test]
async fn every_mobtexting_status() {
    let mut vendors = Vendors::start().await;
    use mobtexting::Observed;
    for row in mobtexting::READINGS {
        let answer = match row.observed {
            Observed::Status(status) => Answer::json(
                status,
                format!(r#"{{"status":"ERROR","code":{status},"message":"No"}}"#),
            ),
            Observed::Login => Answer::text(302, "text/html", "")
                .with("location", "https://portal.mobtexting.com/login"),
            Observed::Error => Answer::json(200, r#"{"status":"ERROR","message":"No"}"#),
            Observed::UnknownStatus => Answer::json(200, r#"{"status":"PERHAPS","message":"No"}"#),
            Observed::NoCallId => {
                Answer::json(200, r#"{"status":"OK","message":"Fine","data":[]}"#)
            }
            Observed::Unreadable => Answer::text(200, "text/html", "<p>hello"),
        };
        let context = format!("{:?}", row.observed);
        let error = check(vendors.answer("mobtexting", answer).await, row.cause, &context);
        assert_eq!(
            (error.info.reason.as_str(), error.info.domain.as_str()),
            (row.reason, "mobtexting.com")
        );
        assert!(!error.meta("vendor_code").is_empty() && !error.meta("http_status").is_empty());
    }
    vendors.stop().await;
}

#[tokio::test]
async fn every_knovvu_observation() {
    let mut vendors = Vendors::start().await;
    use knovvu::Observed;
    for row in knovvu::READINGS {
        let answer = match row.observed {
            Observed::Status(status) => Answer::text(status, "text/plain", "No"),
            Observed::NoUniqueId => Answer::json(200, r#"{"UniqueId":""}"#),
            Observed::Unreadable => Answer::json(200, r#"{"Unique"#),
        };
        let context = format!("{:?}", row.observed);
        let error = check(vendors.answer("knovvu", answer).await, row.cause, &context);
        assert_eq!(
            (error.info.reason.as_str(), error.info.domain.as_str()),
            (row.reason, "knovvu.com")
        );
    }
    vendors.stop().await;
}

#[tokio::test]
async fn too_fast_is_told_with_the_exact_wait() {
    let mut vendors = Vendors::start().await;
    for route in ["phonon", "mobtexting", "knovvu"] {
        let answer = Answer::json(429, "{}").with("retry-after", "17");
        let error = check(vendors.answer(route, answer).await, Cause::Exhausted, route);
        let wait: pb::RetryInfo = error.detail("google.rpc.RetryInfo").unwrap();
        assert_eq!(wait.retry_delay.unwrap().seconds, 17);
    }
    vendors.stop().await;
}

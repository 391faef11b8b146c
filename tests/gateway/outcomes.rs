//! What happens to a call, for every system: outcomes of dialling, refusals, doubt.

use dialplane::proto::{Call, CallState, CreateCallsRequest};
use tonic::Code;
use tonic_types::pb;

use crate::harness::{Explained, ROUTES, to, with_sandbox, with_sandbox_that_answers_within};

const PULLED: [&str; 5] =
    ["phonon-outbound", "phonon-dialer", "phonon-multicast", "mobtexting", "knovvu"];

#[tokio::test]
async fn outcomes_of_dialling_come_back_in_one_vocabulary() {
    let (sandbox, mut gateway) = with_sandbox().await;
    for route in PULLED {
        for (digits, expected) in [
            ("00", CallState::Answered),
            ("01", CallState::Busy),
            ("02", CallState::NoAnswer),
            ("04", CallState::InvalidNumber),
            ("06", CallState::Failed),
            ("99", CallState::Answered),
        ] {
            let call = gateway.call(route, &format!("+9199000001{digits}")).await.unwrap();
            let results = gateway.fresh(&[&call]).await;
            assert_eq!(results.calls[0].state(), expected, "{route} {digits}: {results:?}");
            assert_eq!(results.calls[0].error.is_some(), expected == CallState::Failed);
        }
    }
    for (digits, expected) in [("03", CallState::Rejected), ("05", CallState::Unreachable)] {
        let call = gateway.call("knovvu", &format!("+9199000002{digits}")).await.unwrap();
        let results = gateway.fresh(&[&call]).await;
        assert_eq!(results.calls[0].state(), expected, "{digits}: {results:?}");
        assert_eq!(results.calls[0].error.is_some(), expected == CallState::Failed);
    }
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_refusal_of_the_only_call_fails_the_rpc_with_the_vendors_own_words() {
    let (sandbox, mut gateway) = with_sandbox().await;
    for route in PULLED {
        for (digits, code) in [
            ("10", Code::InvalidArgument),
            ("11", Code::ResourceExhausted),
            ("12", Code::ResourceExhausted),
        ] {
            let number = format!("+9199000003{digits}");
            let status = gateway.call(route, &number).await.unwrap_err();
            let error = Explained::of(&status);
            assert_eq!(error.code, code, "{route} {digits}: {error:?}");
            let domain = match route {
                "mobtexting" => "mobtexting.com",
                "knovvu" => "knovvu.com",
                _ => "phonon.io",
            };
            assert_eq!(error.info.domain, domain);
            assert_eq!((error.meta("dialed"), error.meta("vendor")), ("no", route));
            assert!(!error.meta("http_status").is_empty() && !error.meta("request_id").is_empty());
            assert!(!error.message.contains(&number[1..]), "numbers are masked: {}", error.message);
            if code == Code::ResourceExhausted {
                assert!(error.detail::<pb::QuotaFailure>("google.rpc.QuotaFailure").is_some());
            }
            if digits == "12" {
                let wait: pb::RetryInfo = error.detail("google.rpc.RetryInfo").unwrap();
                assert!(wait.retry_delay.unwrap().seconds > 0);
            }
            // The answer is in the details, and all of it in the ledger.
            let packed = error.packed();
            assert_eq!(packed.calls.len(), 1);
            assert_eq!(packed.calls[0].state(), CallState::Failed);
            let stored = gateway.fresh(&[&packed.calls[0]]).await;
            assert_eq!(Explained::of_call(&stored.calls[0]).info.reason, error.info.reason);
            assert_eq!(sandbox.dials_of(&number), 0);
        }
    }
    gateway.stop().await;
    sandbox.stop().await;
}

fn unconfirmed(call: &Call, context: &str) {
    assert_eq!(call.state(), CallState::Unconfirmed, "{context}: {call:?}");
    let error = Explained::of_call(call);
    assert_eq!(error.code, Code::Unknown, "{context}");
    assert_eq!(error.meta("dialed"), "maybe", "{context}");
    assert!(call.end_time.is_none());
}

#[tokio::test]
async fn whatever_leaves_it_open_whether_a_phone_rang_is_unconfirmed_and_not_dialled_again() {
    let (sandbox, gateway) = with_sandbox_that_answers_within("1s").await;
    let mut tasks = tokio::task::JoinSet::new();
    for (route, n) in ROUTES.into_iter().zip(0..) {
        for (digits, dials) in [("13", 0), ("14", 1), ("15", 1), ("16", 1)] {
            let mut client = gateway.client.clone();
            let number = format!("+9199{n:06}{digits}");
            let request = CreateCallsRequest {
                route: route.into(),
                calls: vec![to(&number)],
                ..Default::default()
            };
            tasks.spawn(async move {
                let response = client.create_calls(request).await.unwrap().into_inner();
                (response, format!("{route} {digits}"), number, dials)
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        let (response, context, number, dials) = done.unwrap();
        unconfirmed(&response.calls[0], &context);
        assert_eq!(sandbox.dials_of(&number), dials, "{context}");
        let sent = sandbox.log().iter().filter(|e| e.body.contains(&number[1..])).count();
        assert_eq!(sent, 1, "{context}: sent once");
    }
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_partial_success_is_told_call_by_call() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let calls = ["+919900000100", "+919900000217", "+919900000300"].map(to).to_vec();
    let response = gateway.create("phonon-multicast", calls).await.unwrap();
    let states: Vec<_> = response.calls.iter().map(Call::state).collect();
    assert_eq!(states, [CallState::Accepted, CallState::Failed, CallState::Accepted]);
    let error = Explained::of_call(&response.calls[1]);
    assert_eq!((error.info.domain.as_str(), error.meta("dialed")), ("phonon.io", "no"));
    // Vendors that take one call at a time: yes, but without an id.
    for route in ["mobtexting", "knovvu"] {
        let call = gateway.call(route, "+919900000417").await.unwrap();
        unconfirmed(&call, route);
    }
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_refusal_of_many_at_once_hurts_only_the_one_that_is_wrong() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let mut numbers: Vec<_> = (0..40).map(|n| format!("+9199000{n:03}00")).collect();
    numbers[23].replace_range(11.., "10");
    let calls = numbers.iter().map(|number| to(number)).collect();
    let response = gateway.create("phonon-multicast", calls).await.unwrap();
    for (n, call) in response.calls.iter().enumerate() {
        let expected = if n == 23 { CallState::Failed } else { CallState::Accepted };
        assert_eq!(call.state(), expected, "{call:?}");
        assert_eq!(sandbox.dials_of(&call.to[0]), usize::from(n != 23));
    }
    let error = Explained::of_call(&response.calls[23]);
    assert_eq!(
        (error.code, error.info.reason.as_str()),
        (Code::InvalidArgument, "INVALID_CONTACT_NUMBER")
    );
    assert_eq!(error.fields(), ["calls[23].to[0]"]);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn one_refused_call_does_not_hide_the_others() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let calls = ["+919900000100", "+919900000210", "+919900000300"].map(to).to_vec();
    let response = gateway.create("mobtexting", calls).await.unwrap();
    let states: Vec<_> = response.calls.iter().map(Call::state).collect();
    assert_eq!(states, [CallState::Accepted, CallState::Failed, CallState::Accepted]);
    assert_eq!(Explained::of_call(&response.calls[1]).code, Code::InvalidArgument);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_vendor_that_cannot_be_reached_certainly_did_not_dial() {
    let (sandbox, gateway) = with_sandbox().await;
    gateway.stop().await;
    let text = crate::harness::six_systems(&sandbox, "20s");
    sandbox.stop().await;
    let mut gateway = crate::harness::Gateway::start(&text).await;
    for route in ROUTES {
        let status = gateway.call(route, "+919900000100").await.unwrap_err();
        let error = Explained::of(&status);
        assert_eq!(error.code, Code::Unavailable, "{route}: {error:?}");
        assert_eq!((error.info.domain.as_str(), error.meta("dialed")), ("dialplane", "no"));
        assert_eq!(error.info.reason, "VENDOR_UNREACHABLE");
        assert!(error.detail::<pb::RetryInfo>("google.rpc.RetryInfo").is_some());
        assert_eq!(error.packed().calls[0].state(), CallState::Failed);
    }
    gateway.stop().await;
}

//! Each of the six systems: the request on the wire, the ids and states that come back.

use dialplane::{
    proto::{CallSpec, CallState, call_spec::Script},
    sandbox::{Options, Sandbox, System},
};
use serde_json::{Value, json};

use crate::harness::{Gateway, ROUTES, six_systems, to, with_sandbox};

fn spec() -> CallSpec {
    CallSpec {
        client_reference: "order-4711".into(),
        to: vec!["+919900000100".into()],
        variables: [("otp".to_owned(), "4711".to_owned()), ("name".to_owned(), "Asha".to_owned())]
            .into(),
        labels: [("team".to_owned(), "billing".to_owned())].into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn every_route_takes_a_call_and_tells_of_it() {
    let (sandbox, mut gateway) = with_sandbox().await;
    for route in ROUTES {
        let response = gateway.create(route, vec![spec()]).await.unwrap();
        let call = &response.calls[0];
        assert_eq!(call.state(), CallState::Accepted, "{route}: {call:?}");
        assert_eq!((call.route.as_str(), call.vendor.as_str()), (route, route));
        assert_eq!(call.to, ["+919900000100"]);
        assert_eq!(
            (call.client_reference.as_str(), call.labels["team"].as_str()),
            ("order-4711", "billing")
        );
        assert_eq!(call.request_id, response.request_id);
        assert!(call.error.is_none() && call.revision >= 2 && call.end_time.is_none());

        let results = gateway.fresh(&[call]).await;
        let ended = &results.calls[0];
        if route == "phonon-bulk" {
            // No id, no question: the caller learns why the answer is no fresher.
            assert!(call.vendor_call_id.is_empty() && !call.vendor_request_id.is_empty());
            assert_eq!(ended.state(), CallState::Accepted);
            assert_eq!(results.warnings.len(), 1);
        } else {
            assert!(!call.vendor_call_id.is_empty());
            assert_eq!(ended.state(), CallState::Answered, "{route}: {results:?}");
            assert!(ended.end_time.is_some() && ended.revision > call.revision);
            assert_eq!(ended.attempts.len(), 1, "{route}");
            assert!(results.warnings.is_empty(), "{route}: {results:?}");
        }
    }
    // One dial for each route, and our labels nowhere on the wire.
    assert_eq!(sandbox.dials_of("919900000100"), ROUTES.len());
    assert!(sandbox.log().iter().all(|exchange| !exchange.body.contains("billing")));
    gateway.stop().await;
    sandbox.stop().await;
}

/// The body of the one exchange of a system, and the call it was for.
async fn sent(route: &str, spec: CallSpec) -> (Value, String, Vec<(String, String)>, String) {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    // A vendor that schedules gets the time.
    let (plain, told) = ("\nvendors = [\"phonon-", "\nschedule = \"vendor\"\nvendors = [\"phonon-");
    let text = six_systems(&sandbox, "20s").replace(plain, told);
    let mut gateway = Gateway::start(&text).await;
    let response = gateway.create(route, vec![spec]).await.unwrap();
    assert_eq!(response.calls[0].state(), CallState::Accepted, "{response:?}");
    let log = sandbox.log();
    assert_eq!(log.len(), 1);
    let exchange = &log[0];
    let body = serde_json::from_str(&exchange.body).unwrap();
    let headers = exchange.headers.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    let result = (body, exchange.path.clone(), headers, response.calls[0].call_id.clone());
    gateway.stop().await;
    sandbox.stop().await;
    result
}

#[tokio::test]
async fn phonon_gets_what_its_page_says() {
    for (route, path) in [
        ("phonon-outbound", "/phonon/kairos-apis/outbound/create"),
        ("phonon-dialer", "/phonon/kairos-apis/outbounddialer/create"),
        ("phonon-multicast", "/phonon/kairos-apis/outbound/create"),
        ("phonon-bulk", "/phonon-bulk/kairos-apis/outbound/create"),
    ] {
        let spec = CallSpec {
            to: vec!["+919900000100".into(), "919900000200".into()],
            // 2100-01-01T00:00:00Z is 05:30 in India.
            start_time: Some(prost_types::Timestamp { seconds: 4_102_444_800, nanos: 0 }),
            script: Some(Script::Flow("Other567".into())),
            ..spec()
        };
        let (body, on_path, _, call_id) = sent(route, spec).await;
        assert_eq!(on_path, path);
        assert_eq!(
            body,
            json!({
                "api-version": "1.0",
                "security-id": crate::harness::SECURITY_ID,
                "flow-id": "Other567",
                "calls": [{
                    "client-identifier": call_id,
                    "start-time": "2100-01-01T05:30:00+05:30",
                    "contact-numbers": ["919900000100", "919900000200"],
                    "keys": [
                        { "name": "$flow.key.name", "value": "Asha" },
                        { "name": "$flow.key.otp", "value": "4711" },
                    ],
                }],
            })
        );
    }
}

#[tokio::test]
async fn mobtexting_gets_what_its_page_says() {
    let spec = CallSpec {
        caller_id: "+918000000009".into(),
        script: Some(Script::Audio("https://cdn.example.test/hello.mp3".into())),
        retry: Some(dialplane::proto::RetryPolicy {
            interval: Some(prost_types::Duration { seconds: 900, nanos: 0 }),
            max_attempts: 0,
        }),
        ..spec()
    };
    let (body, path, headers, _) = sent("mobtexting", spec).await;
    assert_eq!(path, "/mobtexting/api/v2/outgoing/send");
    assert_eq!(
        body,
        json!({
            "bridge": "918000000009",
            "to": "919900000100",
            "audio": "https://cdn.example.test/hello.mp3",
            "interval": 15,
            "variables[name]": "Asha",
            "variables[otp]": "4711",
        })
    );
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!(header("authorization"), Some("Bearer sandbox-token"));
    assert_eq!(header("accept"), Some("application/json"));
    assert_eq!(header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn knovvu_gets_what_its_page_says() {
    let spec = CallSpec {
        recipient: Some(dialplane::proto::Recipient {
            name: "Jane Roe".into(),
            email: "jane@example.test".into(),
        }),
        locale: "tr-TR".into(),
        ..spec()
    };
    let (body, path, headers, call_id) = sent("knovvu", spec).await;
    assert_eq!(path, "/knovvu/v2/call");
    assert_eq!(
        body,
        json!({
            "Project": "DemoProject",
            "ConversationId": call_id,
            "AccessToken": "sandbox-token",
            "ScenarioPath": "https://ivr.example.test/scenario",
            "OrchestratorUrl": "https://orchestrator.example.test",
            "Tenant": "Default",
            "EndUser": { "Name": "Jane Roe", "Phone": "919900000100", "Email": "jane@example.test" },
            "Locale": "tr-TR",
            "ScenarioInputParameters": [
                { "Name": "_DisplayNumber", "Value": "200" },
                { "Name": "_Destination", "Value": "919900000100" },
                { "Name": "name", "Value": "Asha" },
                { "Name": "otp", "Value": "4711" },
            ],
            "SendResultImmediately": false,
        })
    );
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!(header("project"), Some("DemoProject"));
}

#[tokio::test]
async fn calls_come_back_in_the_order_of_the_request_whatever_the_vendor_takes_at_a_time() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let numbers: Vec<_> = (0..1_203).map(|i| format!("+9199{i:06}20")).collect();
    for (route, requests) in [("phonon-multicast", 3), ("phonon-bulk", 3)] {
        let before = sandbox.log().len();
        let calls = numbers.iter().map(|n| to(n)).collect();
        let response = gateway.create(route, calls).await.unwrap();
        let order: Vec<_> = response.calls.iter().map(|call| call.to[0].clone()).collect();
        assert_eq!(order, numbers);
        assert!(response.calls.iter().all(|call| call.state() == CallState::Accepted));
        assert_eq!(sandbox.log().len() - before, requests, "500 calls at most in each");
    }
    let few: Vec<_> = numbers.iter().take(40).map(|n| to(n)).collect();
    let before = sandbox.log().len();
    let response = gateway.create("mobtexting", few).await.unwrap();
    let order: Vec<_> = response.calls.iter().map(|call| call.to[0].clone()).collect();
    assert_eq!(order, numbers[..40]);
    assert_eq!(sandbox.log().len() - before, 40, "one call in each");
    assert!(sandbox.log().iter().all(|e| !matches!(e.system, System::Knovvu)));
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_call_goes_to_the_first_vendor_that_can_do_what_it_asks_for() {
    let (sandbox, mut gateway) = with_sandbox().await;
    let audio =
        CallSpec { script: Some(Script::Audio("https://cdn.example.test/a.mp3".into())), ..spec() };
    let plain = CallSpec { client_reference: String::new(), ..spec() };
    let response = gateway.create("", vec![audio, plain]).await.unwrap();
    let vendors: Vec<_> = response.calls.iter().map(|call| call.vendor.as_str()).collect();
    assert_eq!(vendors, ["mobtexting", "phonon-multicast"]);
    assert!(response.calls.iter().all(|call| call.state() == CallState::Accepted));
    gateway.stop().await;
    sandbox.stop().await;
}

//! CancelCalls: taken back or dialled, never both.

use std::collections::BTreeMap;

use dialplane::{
    proto::{
        CallState, CancelCallsRequest, CancelCallsResponse, CreateCallsRequest,
        GetCallResultsRequest,
    },
    sandbox::{Options, Sandbox},
};
use tonic::{Code, Status};

use crate::{
    harness::{Explained, Gateway, six_systems, to, with_sandbox},
    placing::{on_disk, recorded},
};

async fn cancel(
    gateway: &mut Gateway,
    request: CancelCallsRequest,
) -> Result<CancelCallsResponse, Status> {
    gateway.client.cancel_calls(request).await.map(tonic::Response::into_inner)
}

fn of_request(id: &str) -> CancelCallsRequest {
    CancelCallsRequest { request_id: id.into(), ..Default::default() }
}

fn request(id: &str, numbers: impl Iterator<Item = String>) -> CreateCallsRequest {
    CreateCallsRequest {
        request_id: id.into(),
        route: "knovvu".into(),
        calls: numbers.map(|number| to(&number)).collect(),
        ..Default::default()
    }
}

/// A gateway whose only line to Knovvu is held by the first call.
async fn with_a_queue(directory: &tempfile::TempDir) -> (Sandbox, Gateway, String) {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let text = six_systems(&sandbox, "2s")
        .replace("kind = \"knovvu\"", "kind = \"knovvu\"\nmax_in_flight = 1");
    let text = format!("{text}\n{}", on_disk(directory));
    let gateway = Gateway::start(&text).await;
    let numbers = ["+919900000014", "+919900000120", "+919900000220"];
    let mut queue = request("queue", numbers.iter().map(|number| (*number).to_owned()));
    for (call, reference) in queue.calls.iter_mut().zip(["held", "first", "second"]) {
        call.client_reference = reference.into();
    }
    let mut client = gateway.client.clone();
    tokio::spawn(async move { client.create_calls(queue).await });
    while sandbox.log().is_empty() {
        tokio::task::yield_now().await;
    }
    (sandbox, gateway, text)
}

#[tokio::test]
async fn what_waits_is_taken_back_and_what_is_on_its_way_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (sandbox, mut gateway, text) = with_a_queue(&directory).await;
    let by_reference = CancelCallsRequest {
        client_references: vec!["second".into(), "nobody".into()],
        ..Default::default()
    };
    let only_asked = CancelCallsRequest { validate_only: true, ..by_reference.clone() };
    let would_be = cancel(&mut gateway, only_asked).await.unwrap();
    assert_eq!(would_be.calls[0].state(), CallState::Canceled);
    assert_eq!(would_be.not_found, ["nobody"]);
    let all = CancelCallsRequest { validate_only: true, ..of_request("queue") };
    let all = cancel(&mut gateway, all).await.unwrap();
    assert_eq!(all.calls[0].state(), CallState::Dispatching, "the vendor may have it");
    let as_it_is = recorded(&mut gateway, "queue").await;
    assert_eq!(as_it_is, all.calls[0]);
    let ids = all.calls.iter().map(|call| call.call_id.clone()).collect();
    let known = GetCallResultsRequest { call_ids: ids, ..Default::default() };
    let known = gateway.client.get_call_results(known).await.unwrap().into_inner();
    assert!(known.calls[1..].iter().all(|call| call.state() == CallState::Scheduled), "{known:?}");

    let answer = cancel(&mut gateway, by_reference.clone()).await.unwrap();
    assert_eq!(answer.calls[0].state(), CallState::Canceled);
    assert_eq!(answer.calls[0].revision, would_be.calls[0].revision);
    assert!(answer.calls[0].end_time.is_some() && answer.calls[0].error.is_none());
    assert_eq!(answer.not_found, ["nobody"]);
    assert_eq!(cancel(&mut gateway, by_reference).await.unwrap(), answer, "it does no harm");

    let all = cancel(&mut gateway, of_request("queue")).await.unwrap();
    let states: Vec<_> = all.calls.iter().map(dialplane::proto::Call::state).collect();
    let [held, first, second] = states.as_slice() else { panic!("{states:?}") };
    assert_eq!((*held, *first, *second), {
        use CallState::{Canceled, Dispatching};
        (Dispatching, Canceled, Canceled)
    });
    // The answer to the one who placed them says so, and a restart does not bring them back.
    gateway.stop().await;
    let mut gateway = Gateway::start(&text).await;
    assert_eq!(gateway.running.recovery().resumed, 0);
    let replayed = gateway
        .send({
            let numbers = ["+919900000014", "+919900000120", "+919900000220"];
            let mut queue = request("queue", numbers.iter().map(|n| (*n).to_owned()));
            for (call, reference) in queue.calls.iter_mut().zip(["held", "first", "second"]) {
                call.client_reference = reference.into();
            }
            queue
        })
        .await
        .unwrap();
    assert!(replayed.replayed);
    assert_eq!(replayed.calls[0].state(), CallState::Unconfirmed);
    let over = &replayed.calls[1..];
    assert!(over.iter().all(|call| call.state() == CallState::Canceled), "{over:?}");
    let late = cancel(&mut gateway, of_request("queue")).await.unwrap();
    assert_eq!(late.calls, replayed.calls, "too late, or over: each as it is");
    for (number, dials) in [("919900000014", 1), ("919900000120", 0), ("919900000220", 0)] {
        assert_eq!(sandbox.dials_of(number), dials, "{number}");
    }
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_request_whose_calls_were_all_taken_back_has_not_failed() {
    let directory = tempfile::tempdir().unwrap();
    let (sandbox, mut gateway, _) = with_a_queue(&directory).await;
    let mut client = gateway.client.clone();
    let behind = request("behind", std::iter::once("+919900000320".to_owned()));
    let placing = tokio::spawn(async move { client.create_calls(behind).await });
    loop {
        let answer = cancel(&mut gateway, of_request("behind")).await.unwrap();
        if answer.not_found.is_empty() {
            assert_eq!(answer.calls[0].state(), CallState::Canceled);
            break;
        }
        tokio::task::yield_now().await;
    }
    let answer = placing.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.calls[0].state(), CallState::Canceled);
    assert_eq!(recorded(&mut gateway, "behind").await, answer.calls[0]);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_selection_is_one_of_three_and_not_too_large() {
    let (sandbox, mut gateway) = with_sandbox().await;
    for (request, field) in [
        (CancelCallsRequest::default(), "call_ids"),
        (CancelCallsRequest { call_ids: vec!["x".into()], ..Default::default() }, "call_ids[0]"),
        (
            CancelCallsRequest {
                client_references: vec!["a".into()],
                validate_only: true,
                ..of_request("b")
            },
            "client_references",
        ),
    ] {
        let error = Explained::of(&cancel(&mut gateway, request).await.unwrap_err());
        assert_eq!((error.code, error.fields()), (Code::InvalidArgument, vec![field.to_owned()]));
    }
    let unknown = cancel(&mut gateway, of_request("unheard-of")).await.unwrap();
    assert_eq!((unknown.calls.len(), unknown.not_found), (0, vec!["unheard-of".to_owned()]));
    gateway.stop().await;
    sandbox.stop().await;
}

/// Ten thousand calls, each taken back at the moment at which it may be sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_taken_back_or_dialled_and_never_both() {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let text = six_systems(&sandbox, "20s")
        .replace("kind = \"phonon\"", "kind = \"phonon\"\nmax_in_flight = 1");
    let mut gateway = Gateway::start(&text).await;
    let mut ends: BTreeMap<CallState, usize> = BTreeMap::new();
    for round in 0..20 {
        let id = format!("round-{round}");
        // Five flows, so that there are five requests to the vendor, one after the other.
        let calls = (0..500).map(|n| {
            let mut call = to(&format!("+9199{round:02}{n:04}20"));
            let flow = format!("Flow000{}", n % 5);
            call.script = Some(dialplane::proto::call_spec::Script::Flow(flow));
            call
        });
        let placed = CreateCallsRequest {
            request_id: id.clone(),
            route: "phonon-multicast".into(),
            calls: calls.collect(),
            ..Default::default()
        };
        let mut client = gateway.client.clone();
        let placing = tokio::spawn(async move { client.create_calls(placed).await });
        let mut told = Vec::new();
        while !placing.is_finished() {
            told = cancel(&mut gateway, of_request(&id)).await.unwrap().calls;
        }
        let answer = placing.await.unwrap().unwrap().into_inner();
        for call in &answer.calls {
            let dials = sandbox.dials_of(&call.to[0]);
            let expected = usize::from(call.state() != CallState::Canceled);
            assert_eq!(dials, expected, "{call:?}");
            *ends.entry(call.state()).or_default() += 1;
        }
        let canceled = |calls: &[dialplane::proto::Call]| {
            let ids = calls.iter().filter(|call| call.state() == CallState::Canceled);
            ids.map(|call| call.call_id.clone()).collect::<Vec<_>>()
        };
        let told = canceled(&told);
        assert!(told.iter().all(|id| canceled(&answer.calls).contains(id)), "what was told stays");
    }
    assert_eq!(ends.values().sum::<usize>(), 10_000);
    assert!(ends.len() == 2 && ends.contains_key(&CallState::Accepted), "both happen: {ends:?}");
    gateway.stop().await;
    sandbox.stop().await;
}

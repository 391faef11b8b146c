//! A caller of some routes: the calls of others are not there.

use dialplane::proto::{
    Call, CallSpec, CallState, CancelCallsRequest, CreateCallsRequest, GetCallResultsRequest,
    GetCallResultsResponse, ListSuppressionsRequest, WatchCallResultsRequest,
    suppression_service_client::SuppressionServiceClient,
};
use jiff::{SignedDuration, Timestamp};
use prost::Message;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::house::{Client, House, reason, soon, to};

const CALLERS: &str = "[callers.all]\ntoken = \"all-0123456789ab\"\n\
    [callers.a]\ntoken = \"a-0123456789abcd\"\nroutes = [\"alpha\"]\n\
    [callers.list]\ntoken = \"l-0123456789abcd\"\nroutes = [\"alpha\", \"beta\"]\nsuppressions = true\n";

struct Town {
    house: House,
    all: Client,
    a: Client,
}

impl Town {
    async fn new() -> Self {
        let house = House::with("", CALLERS).await;
        let all = house.caller_with("all-0123456789ab").await;
        let a = house.caller_with("a-0123456789abcd").await;
        Self { house, all, a }
    }
}

fn named(number: u8, reference: &str) -> CallSpec {
    CallSpec { client_reference: reference.into(), ..to(&format!("+9199000001{number:02}")) }
}

async fn results(caller: &mut Client, request: GetCallResultsRequest) -> GetCallResultsResponse {
    soon("results", caller.calls.get_call_results(request)).await.unwrap().into_inner()
}

fn not_allowed(status: &Status) {
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(reason(status), ("dialplane".into(), "ROUTE_NOT_ALLOWED".into()));
}

#[tokio::test]
async fn calls_go_by_its_routes_alone() {
    let mut town = Town::new().await;
    town.a.call("alpha").await.unwrap();
    // Whether the others are there is not told.
    for route in ["", "default", "beta", "nowhere"] {
        not_allowed(&town.a.call(route).await.unwrap_err());
    }
    let request =
        CreateCallsRequest { route: "beta".into(), validate_only: true, ..Default::default() };
    not_allowed(&town.a.calls.create_calls(request).await.unwrap_err());
    assert_eq!(town.house.dialled(), 1);
    let (routes, vendors) = town.a.routes().await.unwrap();
    assert_eq!((routes, vendors), (vec!["alpha".to_owned()], vec!["one".to_owned()]));
    assert_eq!(town.all.routes().await.unwrap().0, ["alpha", "beta", "default"]);
    town.house.end().await;
}

#[tokio::test]
async fn results_of_others_are_not_found() {
    let mut town = Town::new().await;
    let mut calls: Vec<Call> = Vec::new();
    // Hidden and seen ones by turns, two of each reference, and one of nobody's.
    for (i, route) in ["beta", "alpha", "beta", "alpha", "beta", "beta"].iter().enumerate() {
        let reference = ["x", "x", "y", "z", "z", "x"][i];
        let made = town.all.create(route, &format!("r{i}"), vec![named(i as u8, reference)]).await;
        calls.extend(made.unwrap());
    }
    let ids: Vec<_> = calls.iter().map(|call| call.call_id.clone()).collect();
    let nobody = "01890000-0000-7000-8000-000000000000".to_owned();
    let mut asked = ids.clone();
    asked.insert(3, nobody.clone());
    let request = GetCallResultsRequest { call_ids: asked, ..Default::default() };
    let found = results(&mut town.a, request.clone()).await;
    let shown: Vec<_> = found.calls.iter().map(|call| call.call_id.clone()).collect();
    assert_eq!(shown, [ids[1].clone(), ids[3].clone()]);
    let missing = [&ids[0], &ids[2], &nobody, &ids[4], &ids[5]].map(Clone::clone);
    assert_eq!(found.not_found, missing);

    // Page by page it is the same: none is empty, and none is longer than it has to be.
    for references in [false, true] {
        let whole = match references {
            false => request.clone(),
            true => GetCallResultsRequest {
                client_references: ["y", "x", "nobody", "z"].map(str::to_owned).to_vec(),
                ..Default::default()
            },
        };
        let all = results(&mut town.a, whole.clone()).await;
        assert_eq!(all.calls.len(), 2);
        let (mut shown, mut missing, mut page_token) = (Vec::new(), Vec::new(), String::new());
        for last in [false, true] {
            let request = GetCallResultsRequest { page_size: 1, page_token, ..whole.clone() };
            let page = results(&mut town.a, request).await;
            assert_eq!((page.calls.len(), page.next_page_token.is_empty()), (1, last));
            shown.extend(page.calls);
            missing.extend(page.not_found);
            page_token = page.next_page_token;
        }
        assert_eq!(shown, all.calls);
        assert_eq!(missing, all.not_found);
        if references {
            assert_eq!(missing, ["y", "nobody"]);
        }
    }

    for (id, there) in [("r1", true), ("r0", false)] {
        let request = GetCallResultsRequest { request_id: id.into(), ..Default::default() };
        let found = results(&mut town.a, request.clone()).await;
        assert_eq!(found.calls.len(), usize::from(there));
        assert_eq!(found.not_found.is_empty(), there);
        assert_eq!(results(&mut town.all, request).await.calls.len(), 1);
    }
    town.house.end().await;
}

#[tokio::test]
async fn changes_of_others_are_not_told() {
    let mut town = Town::new().await;
    let hidden = town.all.create("beta", "hidden", vec![to("+919900000100")]).await.unwrap();
    let all = WatchCallResultsRequest::default();
    let mut watch = town.a.watch(all.clone()).await.unwrap();
    let by_request =
        |id: &str| WatchCallResultsRequest { request_id: id.into(), ..Default::default() };
    let heartbeat_interval = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let mut of_hidden = town
        .a
        .watch(WatchCallResultsRequest { heartbeat_interval, ..by_request("hidden") })
        .await
        .unwrap();
    let mut to_come = town.a.watch(by_request("to-come")).await.unwrap();

    town.all.create("beta", "to-come", vec![to("+919900000100")]).await.unwrap();
    let seen = town.a.create("alpha", "seen", vec![to("+919900000100")]).await.unwrap();
    let first = soon("a change", watch.message()).await.unwrap().unwrap();
    assert_eq!(first.call.unwrap().call_id, seen[0].call_id);
    // As of a request that nobody has made: nothing is told, and it does not end.
    let beat = soon("a heartbeat", of_hidden.message()).await.unwrap().unwrap();
    assert!(beat.call.is_none());
    let nothing = std::pin::pin!(to_come.message());
    assert!(futures_util::poll!(nothing).is_pending());

    let call_ids = vec![hidden[0].call_id.clone()];
    let by_id = WatchCallResultsRequest { call_ids, ..Default::default() };
    assert_eq!(town.a.watch(by_id.clone()).await.unwrap_err().code(), Code::NotFound);
    town.all.watch(by_id).await.unwrap();
    let by_route = WatchCallResultsRequest { route: "beta".into(), ..Default::default() };
    not_allowed(&town.a.watch(by_route).await.unwrap_err());
    town.house.end().await;
}

#[tokio::test]
async fn calls_of_others_are_not_taken_back() {
    let mut town = Town::new().await;
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let start_time = Some(prost_types::Timestamp { seconds: later.as_second(), nanos: 0 });
    let waiting = |reference: &str| CallSpec { start_time, ..named(0, reference) };
    let hidden = town.all.create("beta", "hidden", vec![waiting("x")]).await.unwrap();
    let seen = town.all.create("alpha", "seen", vec![waiting("x")]).await.unwrap();
    let ids = [&hidden[0], &seen[0]].map(|call| call.call_id.clone());
    let by_request = CancelCallsRequest { request_id: "hidden".into(), ..Default::default() };
    let by_ids = CancelCallsRequest { call_ids: ids[..1].to_vec(), ..Default::default() };
    for request in [by_request, by_ids] {
        let canceled = town.a.calls.cancel_calls(request).await.unwrap().into_inner();
        assert_eq!((canceled.calls.len(), canceled.not_found.len()), (0, 1));
    }
    let by_reference =
        CancelCallsRequest { client_references: vec!["x".into()], ..Default::default() };
    let canceled = town.a.calls.cancel_calls(by_reference).await.unwrap().into_inner();
    assert_eq!(canceled.calls.len(), 1);
    let request = GetCallResultsRequest { call_ids: ids.to_vec(), ..Default::default() };
    let states: Vec<_> =
        results(&mut town.all, request).await.calls.iter().map(Call::state).collect();
    assert_eq!(states, [CallState::Scheduled, CallState::Canceled]);
    town.house.end().await;
}

/// All that an error says but by which trace it is found, which is each RPC's own.
fn details(status: &Status) -> Vec<Vec<u8>> {
    let said = pb::Status::decode(status.details()).unwrap().details;
    let of_rpc = |any: &prost_types::Any| any.type_url.ends_with("/google.rpc.RequestInfo");
    said.into_iter().filter(|any| !of_rpc(any)).map(|any| any.value).collect()
}

#[tokio::test]
async fn a_request_id_tells_nothing_of_others() {
    let mut town = Town::new().await;
    let made = town.all.create("beta", "one", vec![to("+919900000100")]).await.unwrap();
    let again = |town: &mut Town, number: &str| {
        let (calls, mut client) = (vec![to(number)], town.a.calls.clone());
        async move {
            let request = CreateCallsRequest {
                route: "alpha".into(),
                request_id: "one".into(),
                calls,
                ..Default::default()
            };
            client.create_calls(request).await.unwrap_err()
        }
    };
    let same = again(&mut town, "+919900000100").await;
    let other = again(&mut town, "+919900000101").await;
    // Neither the calls, nor what of them is the same.
    assert_eq!(same.code(), Code::AlreadyExists);
    assert_eq!(details(&same), details(&other));
    assert_eq!(same.message(), other.message());
    let id = made[0].call_id.as_bytes();
    assert!(!same.details().windows(id.len()).any(|bytes| bytes == id));
    assert_eq!(town.house.dialled(), 1);
    town.house.end().await;
}

#[tokio::test]
async fn the_list_is_for_those_who_may() {
    let town = Town::new().await;
    for (token, may) in
        [("all-0123456789ab", true), ("a-0123456789abcd", false), ("l-0123456789abcd", true)]
    {
        let services = town.house.caller_with(token).await.services;
        let mut list = SuppressionServiceClient::new(services);
        let listed = list.list_suppressions(ListSuppressionsRequest::default()).await;
        assert_eq!(listed.is_ok(), may, "{token}");
        if let Err(status) = listed {
            assert_eq!(status.code(), Code::PermissionDenied);
            assert_eq!(reason(&status).1, "SUPPRESSIONS_NOT_ALLOWED");
        }
    }
    town.house.end().await;
}

#[tokio::test]
async fn a_route_that_is_gone_tells_nothing_of_the_others() {
    // As a request finds it whose caller was known before a reload, and whose body came after.
    let mut town = Town::new().await;
    let gone = dialplane::config::Caller {
        name: "a".into(),
        token: Some(dialplane::config::Caller::digest_of(b"a-0123456789abcd")),
        certificate: None,
        routes: Some(["gone".to_owned()].into()),
        suppressions: false,
    };
    let callers = dialplane::api::Callers::new(&[("a".to_owned(), gone)].into());
    town.house.running.edge().callers.set(callers);
    let by_route = WatchCallResultsRequest { route: "gone".into(), ..Default::default() };
    let told = [town.a.call("gone").await.unwrap_err(), town.a.watch(by_route).await.unwrap_err()];
    for status in told {
        assert_eq!(status.code(), Code::NotFound);
        let text = format!("{} {}", status.message(), String::from_utf8_lossy(status.details()));
        assert!(!text.contains("beta") && !text.contains("default"), "{text}");
    }
    town.house.end().await;
}

#[tokio::test]
async fn no_place_in_a_hidden_request_tells_that_it_is_there() {
    use dialplane::{
        call::{Position, Selector},
        gateway::Scope,
    };
    let mut town = Town::new().await;
    town.all.create("beta", "hidden", vec![to("+919900000100")]).await.unwrap();
    let scope = Scope::of(["alpha".to_owned()].into());
    let gateway = town.house.running.gateway();
    for entries in [0, 1, 9] {
        // Page tokens are no secret: anybody can write one.
        let after = Position { entries, within: None };
        let mut found = Vec::new();
        for id in ["hidden", "nobody"] {
            let selector = Selector::Request(id.parse().unwrap());
            let page = gateway.page_in(&scope, &selector, after, 10).await.unwrap();
            found.push((page.calls.len(), page.not_found.len()));
        }
        assert_eq!(found[0], found[1], "from {entries} on");
    }
    town.house.end().await;
}

#[tokio::test]
async fn who_is_no_caller_any_more_is_told_nothing_more() {
    let mut town = Town::new().await;
    let mut watch = town.a.watch(WatchCallResultsRequest::default()).await.unwrap();
    let all = dialplane::config::Caller {
        name: "all".into(),
        token: Some(dialplane::config::Caller::digest_of(b"all-0123456789ab")),
        certificate: None,
        routes: None,
        suppressions: true,
    };
    let callers = dialplane::api::Callers::new(&[("all".to_owned(), all)].into());
    town.house.running.edge().callers.set(callers);
    assert!(!town.a.is_served().await);
    town.all.create("alpha", "later", vec![to("+919900000100")]).await.unwrap();
    let told = soon("an end", watch.message()).await;
    assert_eq!(told.unwrap_err().code(), Code::Unauthenticated);
    town.house.end().await;
}

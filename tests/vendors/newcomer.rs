//! A vendor that the gateway has never seen, from its configuration to a caller's
//! answer: nothing but its module and its line in the registry is new.

use std::path::Path;

use dialplane::{
    cli::start,
    config::{Config, Listen},
    proto::{
        CallSpec, CallState, CreateCallsRequest, GetCallResultsRequest,
        call_service_client::CallServiceClient,
    },
};
use serde_json::{Value, json};

use crate::{
    stub::{Answer, Received, Stub},
    subjects::{SECRET, registry},
};

/// Takes every number but one that ends in 9, and reaches everybody.
fn answer(request: &Received) -> Answer {
    let asked: Vec<Value> = serde_json::from_str(&request.body).unwrap();
    let fields = match request.path.as_str() {
        "/calls" => asked
            .iter()
            .filter(|call| !call["to"][0].as_str().unwrap().ends_with('9'))
            .map(|call| (call["id"].as_str().unwrap().to_owned(), format!("t-{}", call["to"][0])))
            .collect::<Vec<_>>(),
        "/states" => {
            asked.iter().map(|id| (id.as_str().unwrap().to_owned(), "reached".to_owned())).collect()
        }
        path => panic!("{path}"),
    };
    let fields: serde_json::Map<_, _> =
        fields.into_iter().map(|(name, text)| (name, Value::from(text))).collect();
    let key = if request.path == "/calls" { "taken" } else { "states" };
    Answer::json(200, json!({ key: fields }).to_string())
}

#[tokio::test]
async fn a_new_vendor_places_calls_and_tells_of_them() {
    let stub = Stub::start(answer).await;
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[ledger]\nurl = \"sqlite::memory:\"\n\
         [vendors.newcomer]\nkind = \"toy\"\nbase_url = \"{}\"\nkey = \"{SECRET}\"\n\
         [routes.r]\nvendors = [\"newcomer\"]\n",
        stub.url()
    );
    let config = Config::parse_with(&registry(), &text, Path::new("."), &|_| None).unwrap();
    let running = start(&config).await.unwrap();
    let Listen::Tcp(address) = running.address() else { panic!("not TCP") };
    let mut client = CallServiceClient::connect(format!("http://{address}")).await.unwrap();

    let calls = (3..10)
        .map(|digit| CallSpec { to: vec![format!("+91990000000{digit}")], ..Default::default() })
        .collect();
    let request = CreateCallsRequest { route: "r".into(), calls, ..Default::default() };
    let created = client.create_calls(request).await.unwrap().into_inner().calls;
    let (refused, taken) = created.split_last().unwrap();
    assert!(taken.iter().all(|call| call.state() == CallState::Accepted), "{taken:?}");
    assert_eq!(refused.state(), CallState::Failed);
    assert_eq!(refused.error.as_ref().unwrap().message, "newcomer refused the call: not taken");
    // Seven calls, three at a time.
    assert_eq!(stub.received().len(), 3);

    let results = GetCallResultsRequest {
        call_ids: created.iter().map(|call| call.call_id.clone()).collect(),
        max_staleness: Some(prost_types::Duration::default()),
        ..Default::default()
    };
    let results = client.get_call_results(results).await.unwrap().into_inner();
    let states: Vec<_> = results.calls.iter().map(dialplane::proto::Call::state).collect();
    let mut expected = [CallState::Answered; 7];
    expected[6] = CallState::Failed;
    assert_eq!(states, expected);
    assert_eq!(stub.received().len(), 4, "the refused call is not asked about");

    drop(client);
    running.stop().await;
    stub.stop().await;
}

//! Scenarios about what the gateway tells: of calls, and of itself.

use std::{collections::BTreeMap, time::Duration};

use dialplane_example::{
    Client, Connection,
    api::{Call, CallState, GetCallResultsRequest, WatchCallResultsRequest},
};
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    gateway::{create, refused, request},
    harness::{Outcome, ensure, ensure_eq, named},
};

const SERVICE: &str = "dialplane.v1.CallService";
const LONG: Duration = Duration::from_secs(30);

pub async fn results(client: &mut Client) -> Outcome {
    let mut calls = request("results", "", &["00", "01", "02", "03", "04"]);
    let references: Vec<String> = (0..5).map(|i| named(&format!("results-{i}"))).collect();
    for (spec, reference) in calls.calls.iter_mut().zip(&references) {
        spec.client_reference.clone_from(reference);
    }
    let created = create(client, &calls, LONG).await?;
    let ids: Vec<String> = created.calls.into_iter().map(|call| call.call_id).collect();

    let by_id = GetCallResultsRequest { request_id: calls.request_id, ..Default::default() };
    ensure_eq!(paged(client, &by_id).await?, ids.chunks(2).collect::<Vec<_>>());

    let missing = named("results-none");
    let wanted = vec![references[3].clone(), missing.clone(), references[1].clone()];
    let by_reference = GetCallResultsRequest { client_references: wanted, ..Default::default() };
    let found = client.get_call_results(by_reference).await?.into_inner();
    let there: Vec<&str> = found.calls.iter().map(|call| call.client_reference.as_str()).collect();
    ensure_eq!(there, [&references[3], &references[1]]);
    ensure_eq!(found.not_found, [missing]);

    let fresh =
        GetCallResultsRequest { max_staleness: Some(prost_types::Duration::default()), ..by_id };
    for _ in 0..50 {
        let now = client.get_call_results(fresh.clone()).await?.into_inner();
        if now.calls.iter().all(|call| call.end_time.is_some()) {
            ensure_eq!(now.calls.first().map(Call::state), Some(CallState::Answered));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the calls are not over".into())
}

async fn paged(
    client: &mut Client,
    selection: &GetCallResultsRequest,
) -> Outcome<Vec<Vec<String>>> {
    let mut selection = GetCallResultsRequest { page_size: 2, ..selection.clone() };
    let mut seen = Vec::new();
    for _ in 0..5 {
        let page = client.get_call_results(selection.clone()).await?.into_inner();
        seen.push(page.calls.into_iter().map(|call| call.call_id).collect());
        selection.page_token = page.next_page_token;
        if selection.page_token.is_empty() {
            return Ok(seen);
        }
    }
    Err("no end of pages".into())
}

pub async fn watch(client: &mut Client) -> Outcome {
    let calls = request("watch", "", &["00", "01", "02"]);
    create(client, &calls, LONG).await?;
    let mut selection =
        WatchCallResultsRequest { request_id: calls.request_id, ..Default::default() };

    let mut seen: BTreeMap<String, Vec<Call>> = BTreeMap::new();
    let mut stream = client.watch_call_results(selection.clone()).await?.into_inner();
    for _ in 0..2 {
        let message = stream.message().await?.ok_or("the stream ended")?;
        selection.cursor = message.cursor;
        let call = message.call.ok_or("a message without a call")?;
        seen.entry(call.call_id.clone()).or_default().push(call);
    }
    drop(stream);
    let mut stream = client.watch_call_results(selection).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let call = message.call.ok_or("a message without a call")?;
        seen.entry(call.call_id.clone()).or_default().push(call);
    }

    ensure_eq!(seen.len(), 3);
    for changes in seen.values() {
        let revisions: Vec<u64> = changes.iter().map(|call| call.revision).collect();
        ensure!(revisions.iter().copied().eq(1..=changes.len() as u64), "revisions {revisions:?}");
        let last = changes.last().ok_or("no change")?;
        ensure!(last.end_time.is_some(), "{:?} is not final", CallState::try_from(last.state));
    }
    Ok(())
}

pub async fn health(connection: Connection) -> Outcome {
    let mut client = HealthClient::new(connection);
    let of = |service: &str| HealthCheckRequest { service: service.into() };
    for service in ["", SERVICE] {
        let checked = client.check(of(service)).await?.into_inner();
        ensure_eq!(checked.status(), ServingStatus::Serving);
        let first = client.watch(of(service)).await?.into_inner().message().await?;
        ensure_eq!(first.ok_or("no message")?.status(), ServingStatus::Serving);
    }
    refused(client.check(of("nobody")).await, Code::NotFound)?;
    let first = client.watch(of("nobody")).await?.into_inner().message().await?;
    ensure_eq!(first.ok_or("no message")?.status(), ServingStatus::ServiceUnknown);
    Ok(())
}

pub async fn reflection(connection: Connection) -> Outcome {
    let question = |message_request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    let questions = tokio_stream::iter([
        question(MessageRequest::ListServices(String::new())),
        question(MessageRequest::FileContainingSymbol(SERVICE.into())),
    ]);
    let mut client = ServerReflectionClient::new(connection);
    let mut answers = client.server_reflection_info(questions).await?.into_inner();

    let listed = answers.message().await?.and_then(|answer| answer.message_response);
    let Some(MessageResponse::ListServicesResponse(listed)) = listed else {
        return Err(format!("{listed:?} is no list").into());
    };
    for name in [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        ensure!(listed.service.iter().any(|service| service.name == name), "no {name}");
    }
    let files = answers.message().await?.and_then(|answer| answer.message_response);
    let Some(MessageResponse::FileDescriptorResponse(files)) = files else {
        return Err(format!("{files:?} is no file").into());
    };
    ensure!(answers.message().await?.is_none(), "the stream does not end");
    for file in files.file_descriptor_proto {
        let file = FileDescriptorProto::decode(file.as_slice())?;
        if file.name() == "dialplane/v1/call_service.proto" {
            ensure!(file.service.iter().any(|s| s.name() == "CallService"), "no service in it");
            return Ok(());
        }
    }
    Err("the file that defines the service is not there".into())
}

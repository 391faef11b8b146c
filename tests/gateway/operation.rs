//! The service around the calls: health, reflection, vendors, RPCs to come, callers
//! that leave, start and stop.

use std::{path::Path, sync::Arc, time::Duration};

use dialplane::{
    cli::start,
    config::Config,
    proto::{
        BreakerState, CallState, CallingWindow, CreateCallsRequest, GetCallResultsRequest,
        ListVendorsRequest, OutsideWindow, ScheduledBy,
    },
    sandbox::{Options, Sandbox},
};
use tokio::sync::Notify;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_reflection::pb::v1alpha;

use crate::harness::{Answer, Explained, Gateway, ROUTES, Stub, six_systems, to, with_sandbox};

#[tokio::test]
async fn health_is_told_and_its_end_too() {
    let (sandbox, gateway) = with_sandbox().await;
    let mut health = HealthClient::new(gateway.channel.clone());
    for service in ["", "dialplane.v1.CallService", "dialplane.v1.SuppressionService"] {
        let request = HealthCheckRequest { service: service.into() };
        let mut watch = health.watch(request.clone()).await.unwrap().into_inner();
        // The first answer may come before the ledger was asked for the first time.
        while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
        let check = health.check(request).await.unwrap().into_inner();
        assert_eq!(check.status(), ServingStatus::Serving, "{service:?}");
    }
    let unknown = health.check(HealthCheckRequest { service: "nobody".into() }).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let request = HealthCheckRequest { service: "dialplane.v1.CallService".into() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let stopping = tokio::spawn(gateway.stop());
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    // A client that goes on watching does not keep the gateway from ending.
    stopping.await.unwrap();
    drop((watch, health));
    sandbox.stop().await;
}

#[tokio::test]
async fn clients_without_files_can_ask_for_the_api() {
    let (sandbox, gateway) = with_sandbox().await;
    let mut reflection = ServerReflectionClient::new(gateway.channel.clone());
    let mut ask = async |message| {
        let request =
            ServerReflectionRequest { host: String::new(), message_request: Some(message) };
        let mut answers = reflection
            .server_reflection_info(tokio_stream::once(request))
            .await
            .unwrap()
            .into_inner();
        answers.message().await.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in
        ["dialplane.v1.CallService", "dialplane.v1.SuppressionService", "grpc.health.v1.Health"]
    {
        assert!(names.contains(&name), "{names:?}");
    }
    // What error details are made of has to be known as well.
    for symbol in [
        "dialplane.v1.CreateCallsResponse",
        "google.rpc.ErrorInfo",
        "google.rpc.Status",
        "google.protobuf.Struct",
    ] {
        let answer = ask(MessageRequest::FileContainingSymbol(symbol.into())).await;
        assert!(
            matches!(answer, MessageResponse::FileDescriptorResponse(_)),
            "{symbol}: {answer:?}"
        );
    }
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_an_answer_after_which_a_client_goes_on() {
    let (sandbox, gateway) = with_sandbox().await;
    let symbols = ["dialplane.v1.Nobody", "google.rpc.ErrorInfo"];
    let questions: Vec<_> = symbols
        .map(|symbol| MessageRequest::FileContainingSymbol(symbol.into()))
        .map(|message| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message),
        })
        .into();
    let alpha: Vec<_> = symbols
        .map(|symbol| {
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(symbol.into())
        })
        .map(|message| v1alpha::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message),
        })
        .into();

    let mut reflection = ServerReflectionClient::new(gateway.channel.clone());
    let asked = reflection.server_reflection_info(tokio_stream::iter(questions.clone()));
    let mut answers = asked.await.unwrap().into_inner();
    let unknown = answers.message().await.unwrap().unwrap();
    assert_eq!(unknown.original_request.as_ref(), questions.first());
    let Some(MessageResponse::ErrorResponse(error)) = unknown.message_response else {
        panic!("no error");
    };
    assert_eq!(Code::from(error.error_code), Code::NotFound);
    let known = answers.message().await.unwrap().unwrap().message_response;
    assert!(matches!(known, Some(MessageResponse::FileDescriptorResponse(_))));
    assert!(answers.message().await.unwrap().is_none());

    let mut reflection =
        v1alpha::server_reflection_client::ServerReflectionClient::new(gateway.channel.clone());
    let asked = reflection.server_reflection_info(tokio_stream::iter(alpha));
    let mut answers = asked.await.unwrap().into_inner();
    use v1alpha::server_reflection_response::MessageResponse as Old;
    let unknown = answers.message().await.unwrap().unwrap().message_response;
    assert!(matches!(unknown, Some(Old::ErrorResponse(_))));
    let known = answers.message().await.unwrap().unwrap().message_response;
    assert!(matches!(known, Some(Old::FileDescriptorResponse(_))));
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn vendors_are_listed_with_what_they_can_do_and_how_they_are() {
    let (sandbox, mut gateway) = with_sandbox().await;
    gateway.call("knovvu", "+919900000100").await.unwrap();
    gateway.call("mobtexting", "+919900000113").await.unwrap();
    let list = gateway.client.list_vendors(ListVendorsRequest {}).await.unwrap().into_inner();
    let mut names: Vec<_> = list.vendors.iter().map(|vendor| vendor.name.as_str()).collect();
    names.sort_unstable();
    let mut routes = ROUTES.to_vec();
    routes.sort_unstable();
    assert_eq!(names, routes);
    let vendor = |name: &str| list.vendors.iter().find(|vendor| vendor.name == name).unwrap();
    let phonon = vendor("phonon-multicast");
    let can = phonon.capabilities.unwrap();
    assert!(can.flows && !can.audio && can.schedules && can.pull_results && !can.cancels);
    assert_eq!(can.max_calls_per_exchange, 500);
    assert_eq!(phonon.limits.unwrap().rate_calls, 1_000_000);
    assert!(!vendor("phonon-bulk").capabilities.unwrap().pull_results);
    assert!(vendor("mobtexting").capabilities.unwrap().audio);
    let health = vendor("knovvu").health.clone().unwrap();
    assert_eq!(health.breaker(), BreakerState::Closed);
    assert!(health.last_success_time.is_some() && health.last_error.is_none());
    let health = vendor("mobtexting").health.clone().unwrap();
    assert_eq!(Explained::read(&health.last_error.unwrap()).code, Code::Unknown);
    let default = list.routes.iter().find(|route| route.name == "default").unwrap();
    assert_eq!(default.vendors, ["phonon-multicast", "mobtexting"]);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn routes_are_listed_with_when_they_may_be_used() {
    const ROUTES: &str = r#"
[routes.anytime]
vendors = ["phonon-outbound", "knovvu"]
schedule = "vendor"

[routes.day]
vendors = ["knovvu"]
window = { from = "09:00", to = "24:00", zone = "Asia/Kolkata" }
outside_window = "refuse"

[routes.night]
vendors = ["knovvu"]
window = { from = "22:30", to = "06:05", days = ["sun", "Monday"], zone = "callee" }
"#;
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let mut gateway = Gateway::start(&format!("{}{ROUTES}", six_systems(&sandbox, "20s"))).await;
    let list = gateway.client.list_vendors(ListVendorsRequest {}).await.unwrap().into_inner();
    let route = |name: &str| list.routes.iter().find(|route| route.name == name).unwrap();
    let anytime = route("anytime");
    assert_eq!(anytime.window, None);
    assert_eq!(anytime.outside_window(), OutsideWindow::Unspecified);
    assert_eq!(anytime.scheduled_by(), ScheduledBy::Vendor);
    let window = |from: &str, to: &str, days: &[&str], zone: &str| CallingWindow {
        from: from.into(),
        to: to.into(),
        days: days.iter().copied().map(str::to_owned).collect(),
        zone: zone.into(),
    };
    let day = route("day");
    let every_day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    assert_eq!(day.window, Some(window("09:00", "24:00", &every_day, "Asia/Kolkata")));
    assert_eq!(day.outside_window(), OutsideWindow::Refuse);
    assert_eq!(day.scheduled_by(), ScheduledBy::Gateway);
    let night = route("night");
    assert_eq!(night.window, Some(window("22:30", "06:05", &["mon", "sun"], "callee")));
    assert_eq!(night.outside_window(), OutsideWindow::Wait);
    gateway.stop().await;
    sandbox.stop().await;
}

/// A vendor that answers when it is told to.
pub async fn slow_vendor() -> (Arc<Notify>, String, tokio::task::JoinHandle<()>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let go = Arc::new(Notify::new());
    let waiting = Arc::clone(&go);
    let task = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut read = vec![0; 64 * 1024];
        let _ = connection.read(&mut read).await.unwrap();
        waiting.notified().await;
        let body = r#"{"UniqueId":"u1"}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.write_all(answer.as_bytes()).await.unwrap();
        let _ = connection.read(&mut read).await;
    });
    (go, url, task)
}

pub fn knovvu_at(url: &str) -> String {
    format!(
        "[vendors.knovvu]\nkind = \"knovvu\"\nbase_url = \"{url}\"\nproject = \"P\"\naccess_token = \"t\"\n\
         scenario_path = \"https://ivr.example.test/s\"\norchestrator_url = \"https://o.example.test\"\n\
         display_number = \"200\"\n\n[routes.default]\nvendors = [\"knovvu\"]\n"
    )
}

#[tokio::test]
async fn a_caller_that_leaves_changes_nothing() {
    let (go, url, vendor) = slow_vendor().await;
    let mut gateway = Gateway::start(&knovvu_at(&url)).await;
    let mut request = tonic::Request::new(CreateCallsRequest {
        request_id: "patient".into(),
        calls: vec![to("+919900000100")],
        ..Default::default()
    });
    request.set_timeout(Duration::from_millis(300));
    let status = gateway.client.create_calls(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let query = GetCallResultsRequest { request_id: "patient".into(), ..Default::default() };
    let under_way = gateway.results(query.clone()).await.unwrap();
    assert_eq!(under_way.calls[0].state(), CallState::Dispatching);
    go.notify_one();
    let accepted = loop {
        let results = gateway.results(query.clone()).await.unwrap();
        if results.calls[0].state() != CallState::Dispatching {
            break results;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(accepted.calls[0].state(), CallState::Accepted);
    assert_eq!(accepted.calls[0].vendor_call_id, "u1");
    gateway.stop().await;
    vendor.await.unwrap();
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way() {
    let (go, url, vendor) = slow_vendor().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.db");
    let text = format!("{}\n[ledger]\nurl = \"sqlite:{}\"\n", knovvu_at(&url), path.display());
    let gateway = Gateway::start(&text).await;
    let mut client = gateway.client.clone();
    let request = CreateCallsRequest {
        request_id: "last".into(),
        calls: vec![to("+919900000100")],
        ..Default::default()
    };
    let call = tokio::spawn(async move { client.create_calls(request).await });
    let mut asking = gateway.client.clone();
    let query = GetCallResultsRequest { request_id: "last".into(), ..Default::default() };
    while asking.get_call_results(query.clone()).await.unwrap().into_inner().calls.is_empty() {
        tokio::task::yield_now().await;
    }
    let stopping = tokio::spawn(gateway.stop());
    go.notify_one();
    let answered = call.await.unwrap().unwrap().into_inner();
    assert_eq!(answered.calls[0].state(), CallState::Accepted);
    drop(asking);
    stopping.await.unwrap();
    vendor.await.unwrap();
    // And it is all there after the next start.
    let mut again = Gateway::start(&text).await;
    assert_eq!(again.results(query).await.unwrap().calls, answered.calls);
    again.stop().await;
}

#[tokio::test]
async fn the_ledger_outlives_the_gateway() {
    let (sandbox, gateway) = with_sandbox().await;
    gateway.stop().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("calls.db");
    let text = format!(
        "{}\n[ledger]\nurl = \"sqlite:{}\"\n",
        six_systems(&sandbox, "20s"),
        path.display()
    );
    let mut gateway = Gateway::start(&text).await;
    let call = gateway.call("knovvu", "+919900000101").await.unwrap();
    gateway.stop().await;
    let mut gateway = Gateway::start(&text).await;
    let results = gateway.fresh(&[&call]).await;
    assert_eq!(results.calls[0].state(), CallState::Busy);
    gateway.stop().await;
    sandbox.stop().await;
}

/// Why a gateway with this configuration does not start.
async fn refused(text: &str) -> String {
    let config = Config::parse(text, Path::new("."), &|_| None).unwrap();
    start(&config).await.expect_err("it must not start").to_string()
}

#[tokio::test]
async fn what_keeps_the_gateway_from_starting_is_named() {
    let stub = Stub::start(|_| Answer::json(200, "{}")).await;
    let vendors = knovvu_at(&stub.url());
    let taken = format!(
        "[server]\nlisten = \"{}\"\n[ledger]\nurl = \"sqlite::memory:\"\n{vendors}",
        stub.address
    );
    let error = refused(&taken).await;
    assert!(
        error.contains(&stub.address.to_string()) && error.contains("another program"),
        "{error}"
    );

    let directory = tempfile::tempdir().unwrap();
    let at = |path: &Path| {
        format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[ledger]\nurl = \"sqlite:{}\"\n{vendors}",
            path.display()
        )
    };
    let missing = directory.path().join("no/such/directory/calls.db");
    let error = refused(&at(&missing)).await;
    assert!(error.contains("calls.db"), "{error}");
    let error = refused(&at(directory.path())).await;
    assert!(error.contains(&directory.path().display().to_string()), "{error}");
    let foreign = directory.path().join("notes.txt");
    std::fs::write(&foreign, "these are notes, not calls".repeat(100)).unwrap();
    let error = refused(&at(&foreign)).await;
    assert!(error.contains("notes.txt"), "{error}");
    stub.stop().await;
}

#[tokio::test]
async fn a_unix_socket_serves_too_and_a_stale_one_is_replaced() {
    let (sandbox, gateway) = with_sandbox().await;
    gateway.stop().await;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("dialplane.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let text = format!(
        "[server]\nlisten = \"unix:{}\"\n[ledger]\nurl = \"sqlite::memory:\"\n{}",
        socket.display(),
        six_systems(&sandbox, "20s")
    );
    let config = Config::parse(&text, Path::new("."), &|_| None).unwrap();
    let running = start(&config).await.unwrap();
    let second = start(&config).await.expect_err("the socket is taken").to_string();
    assert!(second.contains("another program"), "{second}");
    let channel = tonic::transport::Endpoint::from_shared(format!("unix:{}", socket.display()))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut client = dialplane::proto::call_service_client::CallServiceClient::new(channel);
    let list = client.list_vendors(ListVendorsRequest {}).await.unwrap().into_inner();
    assert_eq!(list.vendors.len(), 6);
    drop(client);
    running.stop().await;
    assert!(!socket.exists());
    sandbox.stop().await;
}

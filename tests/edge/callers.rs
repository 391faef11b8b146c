//! Who calls: known by a token, a certificate, or both.

use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use dialplane::config::Config;

use crate::house::{Client, House, certificates, reason, text};

const TOKEN: &str = "0123456789abcdef";
const OTHER: &str = "fedcba9876543210";
const MUTUAL: &str =
    "tls = { certificate = \"server.pem\", key = \"server.key\", client_ca = \"clients.pem\" }";

async fn refused(caller: &mut Client) {
    let status = caller.routes().await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(reason(&status), ("dialplane".into(), "UNAUTHENTICATED".into()));
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    assert_eq!(caller.call("").await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_token_is_asked_for_by_everything_but_health() {
    let callers = format!("[callers.a]\ntoken = \"{TOKEN}\"\n[callers.b]\ntoken = \"{OTHER}\"");
    let house = House::with("", &callers).await;
    for token in [TOKEN, OTHER] {
        let mut caller = house.caller_with(token).await;
        assert!(caller.is_served().await);
        caller.call("").await.unwrap();
    }
    for token in ["", "0123456789abcdeg", "0123456789abcde", "0123456789abcdef0"] {
        refused(&mut house.caller_with(token).await).await;
    }
    assert_eq!(house.dialled(), 2);

    let ask = |services| async {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut reflection = ServerReflectionClient::new(services);
        let stream = reflection.server_reflection_info(tokio_stream::once(request)).await;
        match stream {
            Ok(stream) => stream.into_inner().message().await.map(drop),
            Err(status) => Err(status),
        }
    };
    let stranger = house.caller().await.services;
    assert_eq!(ask(stranger.clone()).await.unwrap_err().code(), Code::Unauthenticated);
    ask(house.caller_with(TOKEN).await.services).await.unwrap();
    let request = Request::new(HealthCheckRequest { service: String::new() });
    HealthClient::new(stranger).check(request).await.unwrap();
    house.end().await;
}

#[tokio::test]
async fn a_certificate_is_known_by_any_of_its_names() {
    for (name, file, other) in [
        ("billing.example.test", "billing", "reports"),
        ("spiffe://example.test/billing", "billing", "reports"),
        // Its only one.
        ("reports", "reports", "billing"),
    ] {
        let callers = format!("[callers.a]\ncertificate = \"{name}\"");
        let house = House::with(MUTUAL, &callers).await;
        let mut caller = house.caller_over_tls(Some(file), "").await.unwrap();
        assert!(caller.is_served().await, "{name}");
        refused(&mut house.caller_over_tls(Some(other), "").await.unwrap()).await;
        house.end().await;
    }
    // What authorities don't look at where they gave it other names is none.
    let house = House::with(MUTUAL, "[callers.a]\ncertificate = \"billing\"").await;
    refused(&mut house.caller_over_tls(Some("billing"), "").await.unwrap()).await;
    house.end().await;
}

#[tokio::test]
async fn who_is_asked_for_both_has_to_show_both() {
    let callers = format!(
        "[callers.both]\ntoken = \"{TOKEN}\"\ncertificate = \"billing.example.test\"\nroutes = [\"alpha\"]\n\
         [callers.reports]\ncertificate = \"reports\"\nroutes = [\"beta\"]\n\
         [callers.other]\ntoken = \"{OTHER}\"\nroutes = [\"default\"]"
    );
    let house = House::with(MUTUAL, &callers).await;
    for (file, token, route) in [
        ("billing", TOKEN, Some("alpha")),
        ("billing", "", None),
        ("reports", TOKEN, Some("beta")),
        ("reports", "", Some("beta")),
        // Who proves more is who it is.
        ("reports", OTHER, Some("default")),
        ("billing", OTHER, Some("default")),
    ] {
        let mut caller = house.caller_over_tls(Some(file), token).await.unwrap();
        let routes = caller.routes().await.map(|(routes, _)| routes);
        let expected = route.map(|route| vec![route.to_owned()]);
        assert_eq!(routes.ok(), expected, "{file}, {token}");
    }
    house.end().await;
}

#[tokio::test]
async fn nobody_is_let_in_where_it_listens_still_because_it_will_listen_elsewhere() {
    let mut house = House::with("", &format!("[callers.a]\ntoken = \"{TOKEN}\"")).await;
    let text = text("listen = \"unix:/nowhere/grpc.sock\"", "", "http://127.0.0.1:9");
    let config = Config::parse(&text, &certificates(), &|_| None).unwrap();
    let changes = house.running.reload(&config).await.unwrap();
    assert_eq!(changes.pending, ["server.listen", "callers"]);
    refused(&mut house.caller().await).await;
    assert!(house.caller_with(TOKEN).await.is_served().await);
    house.end().await;
}

#[tokio::test]
async fn what_there_is_not_is_refused_by_the_gateway_itself() {
    let callers = format!("[callers.a]\ntoken = \"{TOKEN}\"");
    let house = House::with("", &callers).await;
    let ask = |services, path: &'static str| async move {
        let mut client = tonic::client::Grpc::new(services);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<HealthCheckRequest, HealthCheckRequest>::default();
        let request = Request::new(HealthCheckRequest::default());
        client.unary(request, path.parse().unwrap(), codec).await.unwrap_err()
    };
    let (known, stranger) =
        (house.caller_with(TOKEN).await.services, house.caller().await.services);
    for path in [
        "/dialplane.v1.CallService/Nope",
        "/dialplane.v1.CallService/createCalls",
        "/dialplane.v1.SuppressionService/Nope",
        "/grpc.health.v1.Health/Nope",
        "/grpc.reflection.v1.ServerReflection/Nope",
        "/nope.Nope/Nope",
        "/nope",
    ] {
        let status = ask(known.clone(), path).await;
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
        assert_eq!(reason(&status), ("dialplane".into(), "METHOD_UNKNOWN".into()), "{path}");
        assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1", "{path}");
        // Strangers don't learn what there is.
        assert_eq!(ask(stranger.clone(), path).await.code(), Code::Unauthenticated, "{path}");
    }
    house.end().await;
}

//! A client of dialplane that places calls without ever dialling twice, and follows them to
//! their end.

use std::{env, error::Error, fs, time::Duration};

use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::StatusExt;

use api::{
    Call, CreateCallsRequest, CreateCallsResponse, WatchCallResultsRequest,
    call_service_client::CallServiceClient,
};

/// What the protos say.
pub mod api {
    #![allow(missing_docs)]
    tonic::include_proto!("dialplane.v1");
}

const ATTEMPTS: u32 = 6;
const DEADLINE: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A client of the gateway.
pub type Client = CallServiceClient<Connection>;

/// A connection that sends the token with each RPC, if there is one.
pub type Connection = InterceptedService<Channel, Token>;

/// Sends a bearer token with each RPC.
#[derive(Clone)]
pub struct Token(Option<MetadataValue<Ascii>>);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// A connection to `DIALPLANE_ADDRESS`, with TLS and a token if the environment says so. It is
/// made when it is needed, and made anew when it breaks.
pub fn connect() -> Result<Connection, Box<dyn Error>> {
    let address = env::var("DIALPLANE_ADDRESS").unwrap_or_else(|_| "127.0.0.1:50051".into());
    let endpoint = match env::var("DIALPLANE_CA") {
        Ok(authority) => {
            Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls(&authority)?)?
        }
        Err(_) => Endpoint::from_shared(format!("http://{address}"))?,
    };
    let token = match env::var("DIALPLANE_TOKEN") {
        Ok(token) => {
            let mut token = MetadataValue::try_from(format!("Bearer {token}"))?;
            token.set_sensitive(true);
            Some(token)
        }
        Err(_) => None,
    };
    let channel = endpoint
        .connect_timeout(Duration::from_secs(5))
        // Pings find out that a connection is dead on which a watch waits for news.
        .http2_keep_alive_interval(Duration::from_secs(30))
        .connect_lazy();
    Ok(InterceptedService::new(channel, Token(token)))
}

fn tls(authority: &str) -> Result<ClientTlsConfig, Box<dyn Error>> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(fs::read(authority)?));
    Ok(match (env::var("DIALPLANE_CERTIFICATE"), env::var("DIALPLANE_KEY")) {
        (Ok(certificate), Ok(key)) => {
            tls.identity(Identity::from_pem(fs::read(certificate)?, fs::read(key)?))
        }
        _ => tls,
    })
}

/// Places the calls of a request. It has to have a `request_id`: when an answer is lost, the very
/// same request is sent again, and the gateway gives the answer that it recorded instead of
/// dialling once more.
pub async fn place(
    client: &mut Client,
    calls: &CreateCallsRequest,
) -> Result<CreateCallsResponse, Status> {
    if calls.request_id.is_empty() {
        let why = "a request without a request_id can't be repeated safely";
        return Err(Status::invalid_argument(why));
    }
    for attempt in 1.. {
        let mut request = Request::new(calls.clone());
        request.set_timeout(DEADLINE);
        match client.create_calls(request).await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status) => wait(status, attempt).await?,
        }
    }
    unreachable!("the attempts are bounded")
}

/// Tells `changed` of every change of the request's calls, until all of them are over. A stream
/// that breaks is taken up again.
pub async fn follow(
    client: &mut Client,
    request_id: &str,
    mut changed: impl FnMut(Call),
) -> Result<(), Status> {
    let (mut cursor, mut attempt) = (String::new(), 1);
    loop {
        let selection = WatchCallResultsRequest {
            request_id: request_id.into(),
            cursor: cursor.clone(),
            // Proxies like to cut streams on which nothing moves.
            heartbeat_interval: Some(prost_types::Duration { seconds: 30, nanos: 0 }),
            ..Default::default()
        };
        let broken = match client.watch_call_results(selection).await {
            Err(status) => status,
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            // A heartbeat has none.
                            message.call.into_iter().for_each(&mut changed);
                            // Only now: the stream goes on after what was dealt with.
                            cursor = message.cursor;
                            attempt = 1;
                        }
                        Ok(None) => return Ok(()),
                        Err(status) => break status,
                    }
                }
            }
        };
        wait(broken, attempt).await?;
        attempt += 1;
    }
}

/// Waits until the same may be tried again. Gives the status back if that would be of no use.
async fn wait(status: Status, attempt: u32) -> Result<(), Status> {
    let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let pause = told.unwrap_or(Duration::from_millis(200) * 2_u32.saturating_pow(attempt));
    if attempt >= ATTEMPTS || !may_help(&status) || pause > LONGEST_WAIT {
        return Err(status);
    }
    tokio::time::sleep(pause.mul_f64(1.0 + fastrand::f64() / 4.0)).await;
    Ok(())
}

/// Whether the same again may come to something else.
fn may_help(status: &Status) -> bool {
    // These calls failed for good: the same request_id would only be told so again.
    if recorded(status).is_some() {
        return false;
    }
    // Without details it was not the gateway that spoke: a connection broke, or a proxy answered.
    status.get_details_error_info().is_none()
        || status.get_details_retry_info().is_some()
        || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}

/// The calls of a request that failed as a whole, each with its own id and error.
pub fn recorded(status: &Status) -> Option<CreateCallsResponse> {
    let details: tonic_types::pb::Status = prost::Message::decode(status.details()).ok()?;
    let packed =
        |any: &&prost_types::Any| any.type_url.ends_with("/dialplane.v1.CreateCallsResponse");
    let found = details.details.iter().find(packed)?;
    prost::Message::decode(found.value.as_slice()).ok()
}

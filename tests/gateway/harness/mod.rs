//! A gateway for one test, with vendors that do what the test says.

mod stub;

use std::{collections::HashMap, path::Path};

use dialplane::{
    cli::{Running, start},
    config::{Config, Listen},
    gateway::Changes,
    proto::{
        Call, CallSpec, CreateCallsRequest, CreateCallsResponse, GetCallResultsRequest,
        GetCallResultsResponse, call_service_client::CallServiceClient,
    },
    sandbox::{Options, Sandbox},
};
use prost::Message;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::pb;

pub use stub::{Answer, Received, Stub};

/// 64 alphanumeric characters, as Phonon wants them.
pub const SECURITY_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The six systems, by the name of their route.
pub const ROUTES: [&str; 6] =
    ["phonon-outbound", "phonon-dialer", "phonon-multicast", "phonon-bulk", "mobtexting", "knovvu"];

/// A gateway and a client of it.
pub struct Gateway {
    pub running: Running,
    pub client: CallServiceClient<Channel>,
    pub channel: Channel,
}

impl Gateway {
    /// A gateway with this configuration; `[server]` and, when there is none,
    /// `[ledger]` are added.
    pub async fn start(text: &str) -> Self {
        let config = configuration(text);
        let running = start(&config).await.unwrap();
        let Listen::Tcp(address) = running.address() else { panic!("not TCP") };
        let channel =
            Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let client =
            CallServiceClient::new(channel.clone()).max_decoding_message_size(4 * 1024 * 1024);
        Self { running, client, channel }
    }

    /// Puts another configuration in place.
    pub async fn reload(&mut self, text: &str) -> Changes {
        self.running.reload(&configuration(text)).await.unwrap()
    }

    /// Places calls through a route.
    pub async fn create(
        &mut self,
        route: &str,
        calls: Vec<CallSpec>,
    ) -> Result<CreateCallsResponse, Status> {
        self.send(CreateCallsRequest { route: route.into(), calls, ..Default::default() }).await
    }

    pub async fn send(
        &mut self,
        request: CreateCallsRequest,
    ) -> Result<CreateCallsResponse, Status> {
        self.client.create_calls(request).await.map(tonic::Response::into_inner)
    }

    /// Places one call.
    pub async fn call(&mut self, route: &str, number: &str) -> Result<Call, Status> {
        let response = self.create(route, vec![to(number)]).await?;
        assert_eq!(response.calls.len(), 1);
        Ok(response.calls.into_iter().next().unwrap())
    }

    /// Asks for calls, and their vendors before.
    pub async fn fresh(&mut self, ids: &[&Call]) -> GetCallResultsResponse {
        let request = GetCallResultsRequest {
            call_ids: ids.iter().map(|call| call.call_id.clone()).collect(),
            max_staleness: Some(prost_types::Duration::default()),
            ..Default::default()
        };
        self.results(request).await.unwrap()
    }

    pub async fn results(
        &mut self,
        request: GetCallResultsRequest,
    ) -> Result<GetCallResultsResponse, Status> {
        self.client.get_call_results(request).await.map(tonic::Response::into_inner)
    }

    pub async fn stop(self) {
        drop((self.client, self.channel));
        self.running.stop().await;
    }
}

fn configuration(text: &str) -> Config {
    let mut text = format!("[server]\nlisten = \"127.0.0.1:0\"\n\n{text}");
    if !text.contains("[ledger]") {
        text.push_str("\n[ledger]\nurl = \"sqlite::memory:\"\n");
    }
    Config::parse(&text, Path::new("."), &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A call to a number, and nothing else.
pub fn to(number: &str) -> CallSpec {
    CallSpec { to: vec![number.into()], ..Default::default() }
}

/// Simulated vendors and a gateway with a route to each of the six systems.
pub async fn with_sandbox() -> (Sandbox, Gateway) {
    with_sandbox_that_answers_within("20s").await
}

/// The same, with another time-out for each exchange.
pub async fn with_sandbox_that_answers_within(timeout: &str) -> (Sandbox, Gateway) {
    let sandbox = Sandbox::start(Options::default()).await.unwrap();
    let gateway = Gateway::start(&six_systems(&sandbox, timeout)).await;
    (sandbox, gateway)
}

/// A rate that limits nothing here.
pub const FAST: &str = "rate = { calls = 1000000, per = \"1s\" }";

/// The configuration of the six systems, which are as fast as one likes.
pub fn six_systems(sandbox: &Sandbox, timeout: &str) -> String {
    let urls = sandbox.urls();
    let mut text = String::new();
    for (name, keys) in [
        ("phonon-outbound", "product = \"outbound\""),
        ("phonon-dialer", "product = \"dialer\""),
        ("phonon-multicast", "product = \"multicast\"\nlane = \"realtime\""),
    ] {
        text.push_str(&format!(
            "[vendors.{name}]\nkind = \"phonon\"\n{keys}\nbase_url = \"{}\"\nsecurity_id = \"{SECURITY_ID}\"\n\
             flow_id = \"AbCd1234\"\nresults = {{ url = \"{}\", version = 2 }}\ntimeout = \"{timeout}\"\n{FAST}\n\n",
            urls.phonon, urls.phonon_results,
        ));
    }
    text.push_str(&format!(
        "[vendors.phonon-bulk]\nkind = \"phonon\"\nproduct = \"multicast\"\nlane = \"bulk\"\nbase_url = \"{}\"\n\
         security_id = \"{SECURITY_ID}\"\nflow_id = \"AbCd1234\"\ntimeout = \"{timeout}\"\n{FAST}\n\n",
        urls.phonon_bulk
    ));
    text.push_str(&format!(
        "[vendors.mobtexting]\nkind = \"mobtexting\"\nbase_url = \"{}\"\naccess_token = \"sandbox-token\"\n\
         bridge = \"918000000001\"\nflow_id = \"77\"\ntimeout = \"{timeout}\"\n{FAST}\n\n",
        urls.mobtexting
    ));
    text.push_str(&format!(
        "[vendors.knovvu]\nkind = \"knovvu\"\nbase_url = \"{}\"\nproject = \"DemoProject\"\ntenant = \"Default\"\n\
         access_token = \"sandbox-token\"\nscenario_path = \"https://ivr.example.test/scenario\"\n\
         orchestrator_url = \"https://orchestrator.example.test\"\ndisplay_number = \"200\"\ntimeout = \"{timeout}\"\n{FAST}\n\n",
        urls.knovvu
    ));
    for route in ROUTES {
        text.push_str(&format!("[routes.{route}]\nvendors = [\"{route}\"]\n\n"));
    }
    text.push_str("[routes.default]\nvendors = [\"phonon-multicast\", \"mobtexting\"]\n");
    text
}

/// An error's code, its ErrorInfo, and its other details by type.
#[derive(Debug)]
pub struct Explained {
    pub code: Code,
    pub message: String,
    pub info: pb::ErrorInfo,
    details: HashMap<String, Vec<u8>>,
    /// All details, encoded.
    pub size: usize,
}

impl Explained {
    pub fn of(status: &Status) -> Self {
        let decoded = pb::Status::decode(status.details()).unwrap();
        assert_eq!(decoded.code, status.code() as i32);
        assert_eq!(decoded.message, status.message());
        Self::read(&decoded)
    }

    /// The error of a call.
    pub fn of_call(call: &Call) -> Self {
        let error = call.error.as_ref().unwrap_or_else(|| panic!("no error in {call:?}"));
        Self::read(error)
    }

    pub fn read(status: &pb::Status) -> Self {
        let mut details = HashMap::new();
        for any in &status.details {
            let name = any.type_url.rsplit('/').next().unwrap().to_owned();
            assert!(details.insert(name, any.value.clone()).is_none(), "two of {}", any.type_url);
        }
        let info = details.remove("google.rpc.ErrorInfo").expect("an ErrorInfo");
        Self {
            code: Code::from_i32(status.code),
            message: status.message.clone(),
            info: pb::ErrorInfo::decode(info.as_slice()).unwrap(),
            details,
            size: status.encoded_len(),
        }
    }

    pub fn detail<M: Message + Default>(&self, name: &str) -> Option<M> {
        let bytes = self.details.get(name)?;
        Some(M::decode(bytes.as_slice()).unwrap())
    }

    /// Which fields are wrong.
    pub fn fields(&self) -> Vec<String> {
        let bad: pb::BadRequest = self.detail("google.rpc.BadRequest").unwrap_or_default();
        bad.field_violations.into_iter().map(|v| v.field).collect()
    }

    /// The packed answer of a request of which nothing came.
    pub fn packed(&self) -> CreateCallsResponse {
        self.detail("dialplane.v1.CreateCallsResponse").expect("a packed CreateCallsResponse")
    }

    pub fn meta(&self, key: &str) -> &str {
        self.info.metadata.get(key).map(String::as_str).unwrap_or_default()
    }
}

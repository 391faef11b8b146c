//! A gateway that listens as a test says, and its callers.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use dialplane::{
    cli::{Running, start},
    config::{Config, Listen},
    proto::{
        Call, CallSpec, CreateCallsRequest, ListVendorsRequest, WatchCallResultsRequest,
        WatchCallResultsResponse, call_service_client::CallServiceClient,
    },
};
use hyper_util::rt::TokioIo;
use prost::Message;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls};
use tonic::{
    Request, Status, Streaming,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};
use tonic_types::pb;

use crate::stub::{Answer, Stub};

/// Far beyond whatever is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What has to happen at some time, and does so long before this one gives up.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Where the certificates of tests are.
pub fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates")
}

/// Two vendors, and the routes `default` and `alpha` to the one, `beta` to the other.
pub fn vendors(url: &str) -> String {
    let vendor = |name: &str| {
        format!(
            "[vendors.{name}]\nkind = \"knovvu\"\nbase_url = \"{url}\"\nproject = \"p\"\n\
             access_token = \"a\"\nscenario_path = \"https://s.example.test\"\n\
             orchestrator_url = \"https://o.example.test\"\ndisplay_number = \"200\"\n"
        )
    };
    let route = |name: &str, vendor: &str| format!("[routes.{name}]\nvendors = [\"{vendor}\"]\n");
    [
        vendor("one"),
        vendor("two"),
        route("default", "one"),
        route("alpha", "one"),
        route("beta", "two"),
    ]
    .concat()
}

/// The configuration with these lines in `[server]`, and these sections.
pub fn text(server: &str, sections: &str, url: &str) -> String {
    format!("[server]\n{server}\n[ledger]\nurl = \"sqlite::memory:\"\n{sections}\n{}", vendors(url))
}

/// A gateway.
pub struct House {
    pub running: Running,
    pub address: SocketAddr,
    stub: Stub,
}

impl House {
    /// One with these lines in `[server]`.
    pub async fn open(server: &str) -> Self {
        Self::with(server, "").await
    }

    /// The same with more sections. Files lie where the certificates do.
    pub async fn with(server: &str, sections: &str) -> Self {
        let dialled = Arc::new(AtomicU32::new(0));
        let stub = Stub::start(move |_| {
            let id = dialled.fetch_add(1, Ordering::SeqCst);
            Answer::json(200, format!("{{\"UniqueId\":\"v-{id}\"}}"))
        })
        .await;
        let server = match server.contains("listen =") {
            true => server.to_owned(),
            false => format!("listen = \"127.0.0.1:0\"\n{server}"),
        };
        let running = start(&configured(&server, sections, &stub.url())).await.unwrap();
        let address = match running.address() {
            Listen::Tcp(address) => *address,
            Listen::Unix(_) => SocketAddr::from(([0; 4], 0)),
        };
        Self { running, address, stub }
    }

    /// Configures it anew, and gives the settings that changed and those that take a restart.
    pub async fn reload(&mut self, server: &str, sections: &str) -> [Vec<&'static str>; 2] {
        let server = format!("listen = \"127.0.0.1:0\"\n{server}");
        let config = configured(&server, sections, &self.stub.url());
        let changes = self.running.reload(&config).await.unwrap();
        [changes.settings, changes.pending]
    }

    /// How many calls its vendors got.
    pub fn dialled(&self) -> usize {
        self.stub.received().len()
    }

    /// A caller who says nothing of itself.
    pub async fn caller(&self) -> Client {
        self.caller_with("").await
    }

    /// A caller with a token.
    pub async fn caller_with(&self, token: &str) -> Client {
        let channel = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        client(channel.connect().await.unwrap(), token)
    }

    /// A caller that speaks TLS, and shows a certificate if it is given one.
    pub async fn caller_over_tls(
        &self,
        certificate: Option<&str>,
        token: &str,
    ) -> Result<Client, tonic::transport::Error> {
        let address = self.address;
        let certificate = certificate.map(str::to_owned);
        let connect = tower::service_fn(move |_| {
            let certificate = certificate.clone();
            async move {
                let stream = tls(address, certificate.as_deref(), b"h2").await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_static("http://localhost");
        Ok(client(endpoint.connect_with_connector(connect).await?, token))
    }

    pub async fn end(self) {
        self.running.stop().await;
        self.stub.stop().await;
    }
}

fn configured(server: &str, sections: &str, vendor: &str) -> Config {
    Config::parse(&text(server, sections, vendor), &certificates(), &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// TLS to the gateway, whose certificate is made sure of.
pub async fn tls(
    address: SocketAddr,
    certificate: Option<&str>,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let file = |name: &str| std::fs::read(certificates().join(name)).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&file("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = CertificateDer::from_pem_slice(&file(&format!("{name}.pem"))).unwrap();
            let key = PrivateKeyDer::from_pem_slice(&file(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Shows a token with each RPC, if there is one.
#[derive(Clone)]
pub struct Shows(Option<MetadataValue<tonic::metadata::Ascii>>);

impl Interceptor for Shows {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

pub type Services = InterceptedService<Channel, Shows>;

/// A caller.
pub struct Client {
    pub calls: CallServiceClient<Services>,
    pub services: Services,
}

pub fn client(channel: Channel, token: &str) -> Client {
    let shown = (!token.is_empty()).then(|| format!("Bearer {token}").parse().unwrap());
    let services = InterceptedService::new(channel, Shows(shown));
    Client { calls: CallServiceClient::new(services.clone()), services }
}

impl Client {
    /// The names of the routes and the vendors that there are for it.
    pub async fn routes(&mut self) -> Result<(Vec<String>, Vec<String>), Status> {
        let list = self.calls.list_vendors(ListVendorsRequest {}).await?.into_inner();
        Ok((
            list.routes.into_iter().map(|route| route.name).collect(),
            list.vendors.into_iter().map(|vendor| vendor.name).collect(),
        ))
    }

    /// Whether it is served.
    pub async fn is_served(&mut self) -> bool {
        soon("an answer", self.routes()).await.is_ok()
    }

    pub async fn create(
        &mut self,
        route: &str,
        request_id: &str,
        calls: Vec<CallSpec>,
    ) -> Result<Vec<Call>, Status> {
        let request = CreateCallsRequest {
            route: route.into(),
            request_id: request_id.into(),
            calls,
            ..Default::default()
        };
        Ok(soon("an answer", self.calls.create_calls(request)).await?.into_inner().calls)
    }

    /// Places a call through a route.
    pub async fn call(&mut self, route: &str) -> Result<Call, Status> {
        Ok(self.create(route, "", vec![to("+919900000100")]).await?.remove(0))
    }

    pub async fn watch(
        &mut self,
        request: WatchCallResultsRequest,
    ) -> Result<Streaming<WatchCallResultsResponse>, Status> {
        Ok(self.calls.watch_call_results(request).await?.into_inner())
    }
}

/// A call to a number.
pub fn to(number: &str) -> CallSpec {
    CallSpec { to: vec![number.into()], ..Default::default() }
}

/// The domain and the reason of an error.
pub fn reason(status: &Status) -> (String, String) {
    let details = pb::Status::decode(status.details()).unwrap().details;
    let info = details.iter().find(|any| any.type_url.ends_with("/google.rpc.ErrorInfo"));
    let info = pb::ErrorInfo::decode(info.expect("an ErrorInfo").value.as_slice()).unwrap();
    (info.domain, info.reason)
}

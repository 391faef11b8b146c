//! `dialplane dev`: the whole thing at work on one machine.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    time::{sleep, timeout},
    try_join,
};
use tonic::transport::{Channel, Endpoint};

use super::{asked_to_stop, fail, run::Running, say, start};
use crate::{
    config::{Config, Listen},
    proto::{
        Call, CallSpec, CallState, CancelCallsRequest, CreateCallsRequest, WatchCallResultsRequest,
        call_service_client::CallServiceClient,
    },
    sandbox::{
        MobTextingBody, MobTextingWebhook, Options, Pace, PhononWebhook, Sandbox, Urls, Webhooks,
    },
};

mod show;

use show::Show;

/// Simulated calls are over long before.
const PATIENCE: Duration = Duration::from_secs(30);

/// The routes and a number for each, whose last two digits choose the outcome.
const AT_ONCE: [(&str, &str); 6] = [
    ("phonon-outbound", "+919900000100"),
    ("phonon-dialer", "+919900000201"),
    ("phonon-multicast", "+919900000302"),
    ("phonon-bulk", "+919900000400"),
    ("mobtexting", "+919900000500"),
    ("knovvu", "+905300000603"),
];

/// A call that the gateway holds until its time: as short as it can be seen to wait.
const LATER: Sample =
    Sample { name: "in-4-seconds", route: "mobtexting", number: "+919900000700", wait: Some(4) };

/// One that would wait longer, and is taken back.
const TAKEN_BACK: Sample =
    Sample { name: "taken-back", route: "knovvu", number: "+905300000800", wait: Some(60) };

/// What the references of all these calls begin with.
const REFERENCE: &str = "dev-";

/// How long the call that is taken back is seen to wait.
const REGRET: Duration = Duration::from_secs(2);

/// A call of the demonstration.
#[derive(Clone, Copy)]
struct Sample {
    /// Shown, and in its client_reference.
    name: &'static str,
    route: &'static str,
    number: &'static str,
    /// Seconds until its start_time.
    wait: Option<i64>,
}

/// Phonon's accounts by the flow that each of them runs, as in `dev.toml`.
const PHONON_FLOWS: [(&str, &str); 4] = [
    ("phonon-outbound", "OutBnd01"),
    ("phonon-dialer", "Dialer01"),
    ("phonon-multicast", "MultiC01"),
    ("phonon-bulk", "MultiC02"),
];

pub(super) async fn run(listen: SocketAddr, sandbox: SocketAddr) -> ExitCode {
    let options = Options { listen: sandbox, pace: Pace::Lifelike, ..Options::default() };
    let sandbox = match Sandbox::start(options).await {
        Ok(sandbox) => sandbox,
        Err(error) => {
            return fail(format!("the simulated vendors can't listen on {sandbox}: {error}"), 1);
        }
    };
    let callbacks = match free_address().await {
        Ok(address) => address,
        Err(error) => return fail(format!("no port is free for callbacks: {error}"), 1),
    };
    // Nobody outside of this process has to know it.
    let password = uuid::Uuid::new_v4().simple().to_string();
    let config = match configuration(listen, callbacks, &password, &sandbox.urls()) {
        Ok(config) => config,
        Err(error) => return fail(error, 1),
    };
    let running = match start(&config).await {
        Ok(running) => running,
        Err(error) => {
            return fail(format!("{error} (--listen 127.0.0.1:0 takes any free port)"), 1);
        }
    };
    sandbox.set_webhooks(webhooks(callbacks, &password));
    say(format!(
        "gateway on {}, simulated vendors on http://{}, posting results to http://{callbacks}",
        running.address(),
        sandbox.address()
    ));
    let code = tokio::select! {
        shown = demonstrate(&running) => match shown {
            Ok(()) => {
                tell_what_next(&running, &sandbox.urls());
                asked_to_stop().await;
                ExitCode::SUCCESS
            }
            Err(error) => fail(format!("the demonstration failed: {error}"), 1),
        },
        () = asked_to_stop() => ExitCode::SUCCESS,
    };
    say("stopping");
    running.stop().await;
    sandbox.stop().await;
    code
}

/// Knovvu is told with each call where to post, so the address has to be known before the
/// gateway listens there.
async fn free_address() -> std::io::Result<SocketAddr> {
    tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()
}

/// The configuration of the demonstration, read as any other.
fn configuration(
    listen: SocketAddr,
    callbacks: SocketAddr,
    password: &str,
    urls: &Urls,
) -> Result<Config, String> {
    let text = include_str!("dev.toml")
        .replace("{listen}", &listen.to_string())
        .replace("{callbacks}", &callbacks.to_string())
        .replace("{push-password}", password)
        .replace("{phonon}", &urls.phonon)
        .replace("{phonon-bulk}", &urls.phonon_bulk)
        .replace("{phonon-results}", &urls.phonon_results)
        .replace("{mobtexting}", &urls.mobtexting)
        .replace("{knovvu}", &urls.knovvu);
    Config::parse(&text, Path::new("."), &|_| None).map_err(|problems| problems.to_string())
}

/// Where the simulated vendors post results: as set in each vendor's portal.
fn webhooks(callbacks: SocketAddr, password: &str) -> Webhooks {
    let flows = PHONON_FLOWS
        .into_iter()
        .map(|(vendor, flow)| (flow.to_owned(), format!("http://{callbacks}/callbacks/{vendor}")));
    let phonon = PhononWebhook {
        flows: flows.collect(),
        user: "phonon".to_owned(),
        password: password.to_owned(),
        ..PhononWebhook::default()
    };
    let mobtexting = MobTextingWebhook {
        url: format!("http://{callbacks}/callbacks/mobtexting"),
        secret: password.to_owned(),
        token: password.to_owned(),
        body: MobTextingBody::default(),
    };
    Webhooks { phonon: Some(phonon), mobtexting: Some(mobtexting), knovvu: true }
}

async fn demonstrate(running: &Running) -> Result<(), Box<dyn std::error::Error>> {
    let Listen::Tcp(address) = running.address() else { return Ok(()) };
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let mut client = CallServiceClient::new(channel);
    let mut show = Show::new();
    let mut call_ids = Vec::new();
    let at_once = AT_ONCE.map(|(route, number)| Sample { name: route, route, number, wait: None });
    for sample in at_once.into_iter().chain([LATER, TAKEN_BACK]) {
        let call = place(&mut client, sample).await?;
        show.update(&call);
        call_ids.push(call.call_id);
    }
    let taken_back = call_ids.last().cloned().into_iter().collect();
    let request = WatchCallResultsRequest { call_ids, ..WatchCallResultsRequest::default() };
    let mut changes = client.watch_call_results(request).await?.into_inner();
    let take_back = async {
        sleep(REGRET).await;
        let request = CancelCallsRequest { call_ids: taken_back, ..CancelCallsRequest::default() };
        client.cancel_calls(request).await
    };
    let watch = async {
        // It ends when all are over.
        while let Some(change) = changes.message().await? {
            change.call.iter().for_each(|call| show.update(call));
        }
        Ok::<(), tonic::Status>(())
    };
    if let Ok(shown) = timeout(PATIENCE, async { try_join!(watch, take_back) }).await {
        shown?;
    }
    Ok(())
}

async fn place(
    client: &mut CallServiceClient<Channel>,
    sample: Sample,
) -> Result<Call, Box<dyn std::error::Error>> {
    let Sample { name, route, number, wait } = sample;
    let start_time = wait.map(|seconds| Timestamp::now() + SignedDuration::from_secs(seconds));
    let spec = CallSpec {
        client_reference: format!("{REFERENCE}{name}"),
        to: vec![number.to_owned()],
        start_time: start_time.map(|at| prost_types::Timestamp {
            seconds: at.as_second(),
            nanos: at.subsec_nanosecond(),
        }),
        variables: [("name".to_owned(), "Asha".to_owned())].into(),
        ..CallSpec::default()
    };
    let request = CreateCallsRequest {
        route: route.to_owned(),
        calls: vec![spec],
        ..CreateCallsRequest::default()
    };
    let calls = client.create_calls(request).await?.into_inner().calls;
    calls.into_iter().next().ok_or_else(|| "the gateway answered without a call".into())
}

fn is_over(call: &Call) -> bool {
    !matches!(
        call.state(),
        CallState::Unspecified
            | CallState::Scheduled
            | CallState::Dispatching
            | CallState::Accepted
            | CallState::Unconfirmed
            | CallState::Ringing
            | CallState::InProgress
    )
}

fn tell_what_next(running: &Running, urls: &Urls) {
    let address = running.address();
    let grpcurl = |method: &str, json: &str| {
        format!("grpcurl -plaintext -d '{json}' {address} dialplane.v1.{method}")
    };
    say("");
    say("Each vendor posted these results by itself; Knovvu's post is a hint, and it was asked.");
    say(format!("What the simulated vendors dialled: curl {}/dialed", urls.sandbox));
    say("The last two digits of a number choose what happens to it: docs/sandbox.md.");
    say("Try next, from another terminal (Ctrl-C here stops):");
    say("");
    let busy = r#"{"route":"knovvu","calls":[{"to":["+905300000001"]}]}"#;
    say(grpcurl("CallService/CreateCalls", busy));
    say("");
    say("A call in an hour, and how it is taken back:");
    say("");
    let hour = Timestamp::now() + SignedDuration::from_hours(1);
    let later = format!(
        r#"{{"request_id":"later","route":"knovvu","calls":[{{"to":["+905300000000"],"start_time":"{}"}}]}}"#,
        hour.strftime("%FT%TZ")
    );
    say(grpcurl("CallService/CreateCalls", &later));
    say(grpcurl("CallService/CancelCalls", r#"{"request_id":"later"}"#));
    say("");
    say("A number that nobody calls any more; RemoveSuppressions takes it off the list:");
    say("");
    let suppressed = r#"{"numbers":["+905300000009"],"reason":"asked us to stop"}"#;
    say(grpcurl("SuppressionService/AddSuppressions", suppressed));
    say("");
    say("And every change of every call from now on:");
    say("");
    say(grpcurl("CallService/WatchCallResults", "{}"));
}

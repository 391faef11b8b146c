//! `dialplane dev`: the whole thing at work on one machine.

use std::{net::SocketAddr, path::Path, process::ExitCode, time::Duration};

use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};

use super::{asked_to_stop, fail, run::Running, say, start};
use crate::{
    config::{Config, Listen},
    proto::{
        Call, CallSpec, CallState, CreateCallsRequest, GetCallResultsRequest,
        call_service_client::CallServiceClient,
    },
    sandbox::{Options, Pace, Sandbox, Urls},
};

mod show;

use show::Show;

/// How often the calls are asked about.
const POLL: Duration = Duration::from_millis(200);
/// Simulated calls are over long before.
const PATIENCE: Duration = Duration::from_secs(30);

/// The routes and a number for each, whose last two digits choose the outcome.
const DEMONSTRATION: [(&str, &str); 6] = [
    ("phonon-outbound", "+919900000100"),
    ("phonon-dialer", "+919900000201"),
    ("phonon-multicast", "+919900000302"),
    ("phonon-bulk", "+919900000400"),
    ("mobtexting", "+919900000500"),
    ("knovvu", "+905300000603"),
];

pub(super) async fn run(listen: SocketAddr, sandbox: SocketAddr) -> ExitCode {
    let options = Options { listen: sandbox, pace: Pace::Lifelike, ..Options::default() };
    let sandbox = match Sandbox::start(options).await {
        Ok(sandbox) => sandbox,
        Err(error) => {
            return fail(format!("the simulated vendors can't listen on {sandbox}: {error}"), 1);
        }
    };
    let config = match configuration(listen, &sandbox.urls()) {
        Ok(config) => config,
        Err(error) => return fail(error, 1),
    };
    let running = match start(&config).await {
        Ok(running) => running,
        Err(error) => {
            return fail(format!("{error} (--listen 127.0.0.1:0 takes any free port)"), 1);
        }
    };
    say(format!(
        "gateway on {}, simulated vendors on http://{}",
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

/// The configuration of the demonstration, read as any other.
fn configuration(listen: SocketAddr, urls: &Urls) -> Result<Config, String> {
    let text = include_str!("dev.toml")
        .replace("{listen}", &listen.to_string())
        .replace("{phonon}", &urls.phonon)
        .replace("{phonon-bulk}", &urls.phonon_bulk)
        .replace("{phonon-results}", &urls.phonon_results)
        .replace("{mobtexting}", &urls.mobtexting)
        .replace("{knovvu}", &urls.knovvu);
    Config::parse(&text, Path::new("."), &|_| None).map_err(|problems| problems.to_string())
}

async fn demonstrate(running: &Running) -> Result<(), Box<dyn std::error::Error>> {
    let Listen::Tcp(address) = running.address() else { return Ok(()) };
    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let mut client = CallServiceClient::new(channel);
    let mut show = Show::new();
    let mut ids = Vec::new();
    for (route, number) in DEMONSTRATION {
        let call = place(&mut client, route, number).await?;
        show.update(&call);
        ids.push(call.call_id);
    }
    let started = Instant::now();
    loop {
        let request = GetCallResultsRequest {
            call_ids: ids.clone(),
            max_staleness: Some(prost_types::Duration::default()),
            ..GetCallResultsRequest::default()
        };
        let calls = client.get_call_results(request).await?.into_inner().calls;
        calls.iter().for_each(|call| show.update(call));
        if calls.iter().all(is_over) || started.elapsed() > PATIENCE {
            break;
        }
        sleep(POLL).await;
    }
    show.finish();
    Ok(())
}

async fn place(
    client: &mut CallServiceClient<Channel>,
    route: &str,
    number: &str,
) -> Result<Call, Box<dyn std::error::Error>> {
    let spec = CallSpec {
        client_reference: format!("dev-{route}"),
        to: vec![number.to_owned()],
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

/// Final, or as final as asking can make it: Phonon's bulk lane gives no id to ask by.
fn is_over(call: &Call) -> bool {
    match call.state() {
        CallState::Accepted => call.vendor_call_id.is_empty(),
        CallState::Unspecified
        | CallState::Scheduled
        | CallState::Dispatching
        | CallState::Unconfirmed
        | CallState::Ringing
        | CallState::InProgress => false,
        _ => true,
    }
}

fn tell_what_next(running: &Running, urls: &Urls) {
    say("");
    say("phonon-bulk stays ACCEPTED: its vendor can't be asked, it only posts results.");
    say(format!("What the simulated vendors dialled: curl {}/dialed", urls.sandbox));
    say("The last two digits of a number choose what happens to it: docs/sandbox.md.");
    say("Try next, from another terminal (Ctrl-C here stops):");
    say("");
    say(format!(
        "grpcurl -plaintext -d '{{\"route\":\"knovvu\",\"calls\":[{{\"to\":[\"+905300000001\"]}}]}}' {} dialplane.v1.CallService/CreateCalls",
        running.address()
    ));
}

//! Callers that place one request after the other.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use dialplane::proto::{
    Call, CallSpec, CallState, CreateCallsRequest, CreateCallsResponse,
    call_service_client::CallServiceClient,
};
use tokio::{
    task::JoinSet,
    time::{sleep_until, timeout},
};
use tonic::{Code, Response, transport::Channel};
use tonic_types::StatusExt;

use super::Process;

/// Connections that callers share.
const CONNECTIONS: usize = 8;

/// After which time callers come again who are not told when to.
const UNTOLD: Duration = Duration::from_secs(1);

/// How long after its end a load is given up on: nobody is to wait for ever.
const HANGS: Duration = Duration::from_secs(60);

/// Whatever has to be different each time.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// So many calls in a request, so many requests at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// `mobtexting` or `phonon`.
    pub route: &'static str,
    /// Calls in a request.
    pub batch: u64,
    /// Who each have one request under way.
    pub callers: usize,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.route, self.batch, self.callers)
    }
}

/// What callers do when the gateway has no room for their request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// That is a mistake of the bench.
    Never,
    /// They send it again at once.
    Again,
    /// They send it again after the time that `RetryInfo` says.
    Wait,
}

/// What was placed in some time.
#[derive(Debug, Default)]
pub struct Placed {
    /// How long each request took that was taken, from its first try on, shortest first.
    pub latencies: Vec<Duration>,
    /// Tries that were refused.
    pub refused: u64,
    /// From the first request to the last answer.
    pub took: Duration,
}

impl Load {
    /// Places calls for this long: each caller its next request once the last is answered.
    pub async fn place(&self, process: &Process, length: Duration) -> Placed {
        self.insist(process, length, Refused::Never).await
    }

    /// The same of callers who may be refused.
    pub async fn insist(&self, process: &Process, length: Duration, refused: Refused) -> Placed {
        timeout(length + HANGS, self.all(process, length, refused)).await.expect("an answer")
    }

    async fn all(&self, process: &Process, length: Duration, refused: Refused) -> Placed {
        let mut channels = Vec::new();
        for _ in 0..self.callers.min(CONNECTIONS) {
            channels.push(process.channel().await.unwrap());
        }
        let (begun, mut callers) = (Instant::now(), JoinSet::new());
        for caller in 0..self.callers {
            let client = CallServiceClient::new(channels[caller % channels.len()].clone());
            callers.spawn(call(client, *self, begun + length, refused));
        }
        let mut all = Placed::default();
        while let Some(placed) = callers.join_next().await {
            let (latencies, refused) = placed.unwrap();
            all.latencies.extend(latencies);
            all.refused += refused;
        }
        all.took = begun.elapsed();
        all.latencies.sort_unstable();
        all
    }
}

impl Placed {
    /// Requests a second that were taken.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// In milliseconds, the latency that so many of a thousand requests stay below.
    pub fn at(&self, thousandth: usize) -> f64 {
        self.latencies[self.latencies.len() * thousandth / 1_000].as_secs_f64() * 1e3
    }
}

/// One caller. Gives how long each of its requests took, and how often it was refused.
async fn call(
    mut client: CallServiceClient<Channel>,
    load: Load,
    until: Instant,
    refused: Refused,
) -> (Vec<Duration>, u64) {
    let (mut latencies, mut refusals) = (Vec::new(), 0);
    while latencies.is_empty() || Instant::now() < until {
        let request = request(load.route, load.batch);
        let sent = Instant::now();
        // Only what may be sent again is kept meanwhile.
        let answer = if refused == Refused::Never {
            Some(client.create_calls(request).await.unwrap())
        } else {
            again(&mut client, &request, until, refused, &mut refusals).await
        };
        let Some(answer) = answer else { break };
        latencies.push(sent.elapsed());
        check(&answer.into_inner(), &load);
    }
    (latencies, refusals)
}

/// Sends a request, with its id, until it is taken or the time is over.
async fn again(
    client: &mut CallServiceClient<Channel>,
    request: &CreateCallsRequest,
    until: Instant,
    refused: Refused,
    refusals: &mut u64,
) -> Option<Response<CreateCallsResponse>> {
    loop {
        let status = match client.create_calls(request.clone()).await {
            Ok(answer) => return Some(answer),
            Err(status) => status,
        };
        assert_eq!(status.code(), Code::ResourceExhausted, "{}", status.message());
        *refusals += 1;
        let mut next = Instant::now();
        if refused == Refused::Wait {
            let info = status.get_details_retry_info();
            next += info.and_then(|info| info.retry_delay).unwrap_or(UNTOLD);
        }
        if next >= until {
            return None;
        }
        sleep_until(next.into()).await;
    }
}

fn check(answer: &CreateCallsResponse, load: &Load) {
    let accepted =
        |call: &Call| call.state() == CallState::Accepted && !call.vendor_call_id.is_empty();
    assert_eq!(answer.calls.len() as u64, load.batch);
    assert!(answer.calls.iter().all(accepted), "{:?}", answer.calls.first());
}

/// A request that was not there before.
pub fn request(route: &str, batch: u64) -> CreateCallsRequest {
    let first = NEXT.fetch_add(batch, Relaxed);
    let calls = (first..first + batch).map(|n| CallSpec {
        to: vec![format!("+9199{:08}", n % 100_000_000)],
        client_reference: format!("order-{n}"),
        variables: [("name".to_owned(), "Asha".to_owned())].into(),
        ..Default::default()
    });
    CreateCallsRequest {
        request_id: format!("request-{first}"),
        route: route.to_owned(),
        calls: calls.collect(),
        ..Default::default()
    }
}

//! Callers that place one request after the other.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use dialplane::proto::{
    Call, CallSpec, CallState, CreateCallsRequest, call_service_client::CallServiceClient,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use super::Process;

/// Connections that callers share.
const CONNECTIONS: usize = 8;

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

/// What was placed in some time.
#[derive(Debug, Default)]
pub struct Placed {
    /// How long each request took, shortest first.
    pub latencies: Vec<Duration>,
    /// From the first request to the last answer.
    pub took: Duration,
}

impl Load {
    /// Places calls for this long: each caller its next request once the last is answered.
    pub async fn place(&self, process: &Process, length: Duration) -> Placed {
        let mut channels = Vec::new();
        for _ in 0..self.callers.min(CONNECTIONS) {
            channels.push(process.channel().await.unwrap());
        }
        let (begun, mut callers) = (Instant::now(), JoinSet::new());
        for caller in 0..self.callers {
            let client = CallServiceClient::new(channels[caller % channels.len()].clone());
            callers.spawn(call(client, *self, begun + length));
        }
        let mut latencies = Vec::new();
        while let Some(placed) = callers.join_next().await {
            latencies.extend(placed.unwrap());
        }
        let took = begun.elapsed();
        latencies.sort_unstable();
        Placed { latencies, took }
    }
}

impl Placed {
    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// In milliseconds, the latency that so many of a thousand requests stay below.
    pub fn at(&self, thousandth: usize) -> f64 {
        self.latencies[self.latencies.len() * thousandth / 1_000].as_secs_f64() * 1e3
    }
}

async fn call(mut client: CallServiceClient<Channel>, load: Load, until: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while latencies.is_empty() || Instant::now() < until {
        let request = request(load.route, load.batch);
        let sent = Instant::now();
        let answer = client.create_calls(request).await.unwrap().into_inner();
        latencies.push(sent.elapsed());
        let accepted =
            |call: &Call| call.state() == CallState::Accepted && !call.vendor_call_id.is_empty();
        assert_eq!(answer.calls.len() as u64, load.batch);
        assert!(answer.calls.iter().all(accepted), "{:?}", answer.calls.first());
    }
    latencies
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

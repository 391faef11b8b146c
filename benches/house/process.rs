//! Programs in processes of their own.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dialplane::proto::call_service_client::CallServiceClient;
use tokio::time::sleep;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{Setup, load};

/// A program with a gRPC server, that ends with the value: when a bench panics as well.
pub struct Process {
    child: Child,
    grpc: SocketAddr,
    begun: Instant,
    /// From its start until it says that it serves.
    pub serving: Duration,
    /// From its start until [`Process::first_call`] is answered.
    pub answered: Duration,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// A gateway ([`Setup`]) that has placed a call.
    pub async fn gateway(directory: &Path, name: &str, ledger: &str, vendors: SocketAddr) -> Self {
        let setup = Setup { ledger: ledger.to_owned(), ..Setup::in_memory() };
        let mut process = setup.start(directory, name, vendors).await;
        process.first_call().await;
        process
    }

    /// Starts a program that serves at the address, and waits until it says that it does.
    pub async fn start(mut command: Command, grpc: SocketAddr) -> Self {
        let begun = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut process =
            Self { child, grpc, begun, serving: Duration::ZERO, answered: Duration::ZERO };
        let mut health = None;
        while begun.elapsed() < Duration::from_secs(60) {
            if health.is_none() {
                health = process.channel().await.map(HealthClient::new);
            }
            if let Some(health) = &mut health
                && serves(health).await
            {
                process.serving = begun.elapsed();
                return process;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("nobody serves at {grpc}");
    }

    /// Places one.
    pub async fn first_call(&mut self) {
        let mut client = CallServiceClient::new(self.channel().await.unwrap());
        client.create_calls(load::request("mobtexting", 1)).await.unwrap();
        self.answered = self.begun.elapsed();
    }

    /// A connection of its own.
    pub async fn channel(&self) -> Option<Channel> {
        Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap().connect().await.ok()
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory at this moment, in bytes.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most there was resident since the start or [`Process::forget_peak`], in bytes.
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Has the peak begin anew.
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.id()), "5").unwrap();
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
    }

    /// Time on a processor so far, in steps of 10 ms.
    pub fn busy(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let fields: Vec<_> = stat[stat.rfind(')').unwrap()..].split_whitespace().collect();
        let ticks: u64 = fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap();
        // A hundred a second on every Linux there is.
        Duration::from_millis(ticks * 10)
    }
}

/// Whoever has no word for it serves as soon as it answers.
async fn serves(health: &mut HealthClient<Channel>) -> bool {
    match health.check(HealthCheckRequest::default()).await {
        Ok(answer) => answer.into_inner().status() == ServingStatus::Serving,
        Err(status) => status.code() == Code::Unimplemented,
    }
}

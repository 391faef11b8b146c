//! What benches of the whole gateway have in common: programs in processes of their own,
//! a vendor that answers at once, and callers.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dialplane::proto::call_service_client::CallServiceClient;
use tokio::{net::TcpListener, time::sleep};
use tonic::transport::{Channel, Endpoint};

pub mod bare;
pub mod load;
pub mod vendor;

pub use load::{Load, Placed};
pub use vendor::Vendor;

/// Phonon's, of the form it has to have.
const SECURITY_ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// How many exchanges with a vendor may be under way at the same time.
pub const IN_FLIGHT: usize = 512;

/// A program with a gRPC server, in a process of its own that ends with the value.
pub struct Process {
    child: Child,
    grpc: SocketAddr,
    /// From its start to the first answer.
    pub started: Duration,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// A gateway with two routes, `mobtexting` and `phonon`, whose vendors are both at one
    /// address. Its configuration is put into the directory.
    pub async fn gateway(directory: &Path, name: &str, ledger: &str, vendors: SocketAddr) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_dialplane"));
        Self::gateway_of(program, directory, name, ledger, vendors).await
    }

    /// The same of another binary.
    pub async fn gateway_of(
        program: &Path,
        directory: &Path,
        name: &str,
        ledger: &str,
        vendors: SocketAddr,
    ) -> Self {
        let grpc = free_address().await;
        let path = directory.join(format!("{name}.toml"));
        // Nobody asks about these calls, and no limit is met.
        let every = format!(
            "poll_interval = \"1d\"\nmax_in_flight = {IN_FLIGHT}\n\
             rate = {{ calls = 1000000, requests = 1000000, per = \"1s\" }}\n"
        );
        let text = format!(
            "[server]\nlisten = \"{grpc}\"\n[ledger]\nurl = \"{ledger}\"\n\
             [vendors.mobtexting]\nkind = \"mobtexting\"\nbase_url = \"http://{vendors}/\"\n\
             access_token = \"token\"\nbridge = \"918000000001\"\nflow_id = \"77\"\n{every}\
             [vendors.phonon]\nkind = \"phonon\"\nproduct = \"multicast\"\nlane = \"realtime\"\n\
             base_url = \"http://{vendors}\"\nsecurity_id = \"{SECURITY_ID}\"\nflow_id = \"AbCd1234\"\n{every}\
             [routes.mobtexting]\nvendors = [\"mobtexting\"]\n[routes.phonon]\nvendors = [\"phonon\"]\n",
        );
        fs::write(&path, text).unwrap();
        let mut command = Command::new(program);
        command.args(["serve", "--config"]).arg(&path);
        Self::start(command, grpc).await
    }

    /// Starts a program that serves at the address, and places a call as soon as it does.
    pub async fn start(mut command: Command, grpc: SocketAddr) -> Self {
        let begun = Instant::now();
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut process = Self { child, grpc, started: Duration::ZERO };
        while begun.elapsed() < Duration::from_secs(10) {
            if let Some(channel) = process.channel().await {
                let request = load::request("mobtexting", 1);
                CallServiceClient::new(channel).create_calls(request).await.unwrap();
                process.started = begun.elapsed();
                return process;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("nobody listens at {grpc}");
    }

    /// A connection of its own.
    pub async fn channel(&self) -> Option<Channel> {
        Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap().connect().await.ok()
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
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

/// An address that nobody has at this moment.
pub async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// The one in the middle, or the later of two.
pub fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

//! How a gateway is configured that is measured.

use std::{
    fmt::Write,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use super::{IN_FLIGHT, Process, SECURITY_ID, free_address};

/// A rate that limits nothing. The vendors' own would.
const NO_LIMIT: &str = "{ calls = 1000000, per = \"1s\" }";

/// A gateway with two routes, `mobtexting` and `phonon` (real time), whose vendors are both at
/// one address.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The binary.
    pub program: PathBuf,
    /// Its address, as the configuration has it.
    pub ledger: String,
    /// `rate` of each vendor, as TOML.
    pub rate: &'static str,
    /// Calls of different RPCs go out together, as they do by default.
    pub coalesces: bool,
    /// What is in its environment besides that of the bench.
    pub variables: Vec<(&'static str, String)>,
}

impl Setup {
    /// This gateway with a ledger in memory.
    pub fn in_memory() -> Self {
        Self {
            program: env!("CARGO_BIN_EXE_dialplane").into(),
            ledger: "sqlite::memory:".to_owned(),
            rate: NO_LIMIT,
            coalesces: true,
            variables: Vec::new(),
        }
    }

    /// This gateway with its ledger in a file.
    pub fn in_file(path: &Path) -> Self {
        Self { ledger: format!("sqlite:{}", path.display()), ..Self::in_memory() }
    }

    /// Starts it until it serves. Its configuration is put into the directory.
    pub async fn start(&self, directory: &Path, name: &str, vendors: SocketAddr) -> Process {
        let grpc = free_address().await;
        let path = directory.join(format!("{name}.toml"));
        fs::write(&path, self.text(grpc, vendors)).unwrap();
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config"]).arg(&path);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Process::start(command, grpc).await
    }

    fn text(&self, grpc: SocketAddr, vendors: SocketAddr) -> String {
        let Self { ledger, rate, .. } = self;
        // Nobody asks about these calls.
        let mut every =
            format!("poll_interval = \"1d\"\nmax_in_flight = {IN_FLIGHT}\nrate = {rate}\n");
        if !self.coalesces {
            // Left out otherwise: an older binary does not know it.
            every.write_str("batch = { max_delay = 0 }\n").unwrap();
        }
        format!(
            "[server]\nlisten = \"{grpc}\"\n[ledger]\nurl = \"{ledger}\"\n\
             [vendors.mobtexting]\nkind = \"mobtexting\"\nbase_url = \"http://{vendors}/\"\n\
             access_token = \"token\"\nbridge = \"918000000001\"\nflow_id = \"77\"\n{every}\
             [vendors.phonon]\nkind = \"phonon\"\nproduct = \"multicast\"\nlane = \"realtime\"\n\
             base_url = \"http://{vendors}\"\nsecurity_id = \"{SECURITY_ID}\"\nflow_id = \"AbCd1234\"\n{every}\
             [routes.mobtexting]\nvendors = [\"mobtexting\"]\n[routes.phonon]\nvendors = [\"phonon\"]\n",
        )
    }
}

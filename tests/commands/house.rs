//! A gateway, and the commands that are run against it.

use std::{
    net::SocketAddr,
    process::{Command, Output, Stdio},
};

use dialplane::{
    config::Listen,
    sandbox::{Options, Sandbox},
};
use serde_json::Value;

use crate::harness::{Gateway, six_systems};

/// Simulated vendors, and a gateway with a route to each.
pub struct House {
    pub sandbox: Sandbox,
    pub gateway: Gateway,
    pub address: SocketAddr,
}

impl House {
    pub async fn open() -> Self {
        Self::with(|text| text).await
    }

    /// The same, with another configuration.
    pub async fn with(change: impl FnOnce(String) -> String) -> Self {
        let sandbox = Sandbox::start(Options::default()).await.unwrap();
        // Asked soon: results are not what these tests wait for.
        let text = six_systems(&sandbox, "20s")
            .replace("timeout = \"20s\"", "timeout = \"20s\"\npoll_interval = \"100ms\"");
        let gateway = Gateway::start(&change(text)).await;
        let Listen::Tcp(address) = gateway.running.address().clone() else { panic!("not TCP") };
        Self { sandbox, gateway, address }
    }

    pub fn run(&self, line: &str) -> Ran {
        ran(&mut self.command(line))
    }

    pub fn command(&self, line: &str) -> Command {
        command(line, &format!("http://{}", self.address))
    }

    pub async fn close(self) {
        self.gateway.stop().await;
        self.sandbox.stop().await;
    }
}

/// A command with words that have no spaces.
pub fn command(line: &str, server: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dialplane"));
    command.args(line.split_whitespace()).env("DIALPLANE_SERVER", server).stdin(Stdio::null());
    command
}

/// What came of a command.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn ran(command: &mut Command) -> Ran {
    tokio::task::block_in_place(|| read(command.output().unwrap()))
}

pub fn read(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

impl Ran {
    /// Its lines of JSON, of a command that went well.
    pub fn json(&self) -> Vec<Value> {
        assert_eq!(self.code, 0, "{self:?}");
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Ends so, and says so.
    pub fn failed(&self, code: i32, said: &str) {
        assert!(self.code == code && self.err.contains(said), "{said}: {self:?}");
    }
}

//! The gateway as a process: started, killed, never left behind.

use std::{
    fs::{File, OpenOptions},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

/// The binary under test.
pub fn path() -> PathBuf {
    let given = std::env::var_os("DIALPLANE_BINARY").map(PathBuf::from);
    let path = given.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_dialplane")));
    assert!(path.is_file(), "DIALPLANE_BINARY: there is no {}", path.display());
    path.canonicalize().unwrap()
}

/// A running gateway; killed with the value, so also when the test panics.
#[derive(Debug)]
pub struct Binary(Child);

impl Binary {
    /// Runs `dialplane serve`. What it says is added to the log file.
    pub fn start(config: &Path, log: &Path) -> Self {
        let mut command = Command::new(path());
        command.args(["serve", "--config"]).arg(config);
        Self::run(command, log)
    }

    /// The same with SIGXFSZ ignored, so that a file that may not grow is an error of
    /// writing and not the end.
    pub fn start_where_files_may_be_limited(config: &Path, log: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
        command.arg(path()).args(["serve", "--config"]).arg(config);
        Self::run(command, log)
    }

    fn run(mut command: Command, log: &Path) -> Self {
        let log: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.env("RUST_LOG", "info").stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::from(log));
        Self(command.spawn().unwrap())
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended by itself, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// SIGKILL. It must still have been running.
    pub fn kill(&mut self) {
        assert!(self.ended().is_none(), "the gateway ended by itself: see its log");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A loopback address for a listener that comes and goes: from below the range in which
/// outgoing connections get their ports, since one of those could take it meanwhile.
pub fn address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = (std::process::id() % 500) as u16 * 40;
    loop {
        let port = 10_000 + (spread + NEXT.fetch_add(1, Relaxed)) % 22_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

//! The `dialplane` command.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use dialplane::cli::Cli;
use mimalloc::MiMalloc;

/// Calls are many small things that one thread makes and another drops.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// For what still runs on threads of its own at the end.
const LAST: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = Cli::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(cli.run());
            // All that counts is done; what is left may wait for a file that never ends.
            runtime.shutdown_timeout(LAST);
            code
        }
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "dialplane: no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

//! The `dialplane` command.

use std::process::ExitCode;

use clap::Parser;
use dialplane::cli::Cli;
use mimalloc::MiMalloc;

/// Calls are many small things that one thread makes and another drops.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "dialplane: no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

//! What other programs want to know: shells and `man` of the commands, tools for gRPC of the
//! API, editors of the configuration.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::CommandFactory;
use clap_complete::Shell;
use prost::Message;

use super::{Cli, WRONG_INPUT, fail};
use crate::api;

/// Completions for a shell.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dialplane", &mut text);
    print(&text)
}

/// The page of the whole, or of a command: its words, as they are typed.
pub(super) fn man(words: &[String]) -> ExitCode {
    let mut whole = Cli::command();
    whole.build();
    let found = words.iter().try_fold(&whole, |command, word| command.find_subcommand(word));
    let Some(command) = found else {
        return fail(format!("there is no command {:?}", words.join(" ")), WRONG_INPUT);
    };
    let mut text = Vec::new();
    match clap_mangen::Man::new(command.clone()).render(&mut text) {
        Ok(()) => print(&text),
        Err(error) => fail(error, 1),
    }
}

/// The very descriptors that reflection tells, as `protoc --descriptor_set_out` would write them.
pub(super) fn descriptors() -> ExitCode {
    match api::descriptors() {
        Ok(set) => print(&set.encode_to_vec()),
        Err(error) => fail(error, 1),
    }
}

/// What editors check and complete a configuration by.
pub(super) fn schema() -> ExitCode {
    print(include_bytes!("../../schema/dialplane.schema.json"))
}

fn print(text: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    // Whoever closed it does not want to read on.
    let _ = out.write_all(text).and_then(|()| out.flush());
    ExitCode::SUCCESS
}

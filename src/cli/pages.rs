//! What shells and `man` want to know of the commands.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, WRONG_INPUT, fail};

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

fn print(text: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    // Whoever closed it does not want to read on.
    let _ = out.write_all(text).and_then(|()| out.flush());
    ExitCode::SUCCESS
}

//! `dialplane suppress`: the numbers that must not be called.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    calls::to_the_second,
    client::{Failed, Server, Services, plain},
    fail,
    json::Json,
    say,
};
use crate::{
    api::{MAX_MESSAGE_BYTES, MAX_SUPPRESSED},
    call::{E164, MAX_SELECTED},
    proto::{
        AddSuppressionsRequest, ListSuppressionsRequest, RemoveSuppressionsRequest, Suppression,
        suppression_service_client::SuppressionServiceClient,
    },
};

/// Numbers on a page of the list.
const PAGE: i32 = 1_000;
/// Mistakes in a file that are shown.
const SHOWN: usize = 10;

/// What is done with the list.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Puts numbers on the list.
    Add {
        #[command(flatten)]
        numbers: Numbers,
        /// Why, for all of them: up to 128 characters.
        #[arg(long, default_value = "")]
        reason: String,
        /// Check the numbers, show what would become of them, and change nothing.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        how: How,
    },
    /// Takes numbers off the list.
    Remove {
        #[command(flatten)]
        numbers: Numbers,
        /// Check the numbers, show what would become of them, and change nothing.
        #[arg(long)]
        validate_only: bool,
        #[command(flatten)]
        how: How,
    },
    /// Shows the list, or those of the numbers that are on it.
    List {
        #[command(flatten)]
        numbers: Numbers,
        #[command(flatten)]
        how: How,
    },
}

/// Which numbers.
#[derive(Args)]
pub(super) struct Numbers {
    /// E.164 numbers, such as +919900000001.
    #[arg(value_name = "NUMBER")]
    numbers: Vec<String>,
    /// A file with a number on each line; "-" is the standard input. Blank lines, and what
    /// follows a #, are passed over.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl std::fmt::Debug for Numbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { numbers, file } = self;
        f.debug_struct("Numbers").field("numbers", &numbers.len()).field("file", file).finish()
    }
}

/// Where, and how it is shown.
#[derive(Debug, Args)]
pub(super) struct How {
    #[command(flatten)]
    server: Server,
    /// One JSON object on each line.
    #[arg(long)]
    json: bool,
}

/// A step that failed after so many numbers that are dealt with.
fn after(status: tonic::Status, done: usize) -> Failed {
    match done {
        0 => status.into(),
        done => Failed::from(status).and(format!("the first {done} numbers are dealt with")),
    }
}

type Client = SuppressionServiceClient<Services>;

pub(super) async fn run(action: Action) -> ExitCode {
    let done = match action {
        Action::Add { numbers, reason, validate_only, how } => {
            add(&numbers, &reason, validate_only, &how).await
        }
        Action::Remove { numbers, validate_only, how } => {
            remove(&numbers, validate_only, &how).await
        }
        Action::List { numbers, how } => list(&numbers, &how).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => fail(&failed, failed.code()),
    }
}

async fn add(
    numbers: &Numbers,
    reason: &str,
    validate_only: bool,
    how: &How,
) -> Result<(), Failed> {
    let numbers = numbers.some()?;
    let mut client = how.client().await?;
    let json = how.json.then(Json::new);
    let mut done = 0;
    for part in numbers.chunks(MAX_SUPPRESSED) {
        let (numbers, reason) = (part.to_vec(), reason.to_owned());
        let request = AddSuppressionsRequest { numbers, reason, validate_only };
        let added = how.server.ask(request, async |r| client.add_suppressions(r).await).await;
        let added = added.map_err(|status| after(status, done))?;
        if done == 0 {
            how.heading();
        }
        done += part.len();
        added.suppressions.iter().for_each(|suppression| show(suppression, json.as_ref()));
    }
    Ok(())
}

async fn remove(numbers: &Numbers, validate_only: bool, how: &How) -> Result<(), Failed> {
    let numbers = numbers.some()?;
    let mut client = how.client().await?;
    let mut done = 0;
    for part in numbers.chunks(MAX_SUPPRESSED) {
        let request = RemoveSuppressionsRequest { numbers: part.to_vec(), validate_only };
        let answer = how.server.ask(request, async |r| client.remove_suppressions(r).await).await;
        let answer = answer.map_err(|status| after(status, done))?;
        done += part.len();
        let removed = answer.removed.iter().map(|number| (number, true));
        for (number, removed) in removed.chain(answer.not_found.iter().map(|n| (n, false))) {
            if how.json {
                say(json!({ "number": number, "removed": removed }));
            } else {
                let what = match (removed, validate_only) {
                    (true, false) => "removed",
                    (true, true) => "would be removed",
                    (false, _) => "was not on the list",
                };
                say(format!("{number:<16}  {what}"));
            }
        }
    }
    Ok(())
}

async fn list(numbers: &Numbers, how: &How) -> Result<(), Failed> {
    let all = numbers.is_none();
    let numbers = numbers.read()?;
    if !all && numbers.is_empty() {
        return Err(Failed::input("there is no number in the file"));
    }
    let mut client = how.client().await?;
    how.heading();
    let json = how.json.then(Json::new);
    let parts = numbers.chunks(MAX_SELECTED).map(<[String]>::to_vec);
    let parts: Vec<_> = if all { vec![Vec::new()] } else { parts.collect() };
    for numbers in parts {
        let mut page_token = String::new();
        loop {
            let numbers = numbers.clone();
            let request = ListSuppressionsRequest { page_size: PAGE, page_token, numbers };
            let page = how.server.ask(request, async |r| client.list_suppressions(r).await).await?;
            page.suppressions.iter().for_each(|suppression| show(suppression, json.as_ref()));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

impl How {
    async fn client(&self) -> Result<Client, Failed> {
        Ok(Client::new(self.server.connect().await?).max_decoding_message_size(MAX_MESSAGE_BYTES))
    }

    fn heading(&self) {
        if !self.json {
            say(row("NUMBER", "SINCE", "REASON"));
        }
    }
}

// Its numbers are what this command is for; no log has them.
fn show(suppression: &Suppression, json: Option<&Json>) {
    let Suppression { number, reason, create_time } = suppression;
    match json {
        Some(json) => say(json.line(suppression)),
        None => {
            let since = create_time.as_ref().map(to_the_second).unwrap_or_default();
            say(row(number, &since, &plain(reason)));
        }
    }
}

/// Of one width, so that a list of any length can be shown as it comes.
fn row(number: &str, since: &str, reason: &str) -> String {
    format!("{number:<16}  {since:<20}  {reason}").trim_end().to_owned()
}

impl Numbers {
    fn is_none(&self) -> bool {
        self.numbers.is_empty() && self.file.is_none()
    }

    /// The numbers, at least one.
    fn some(&self) -> Result<Vec<String>, Failed> {
        let numbers = self.read()?;
        if numbers.is_empty() {
            let message = "no numbers are given; name some, or a file with --file";
            return Err(Failed::input(message));
        }
        Ok(numbers)
    }

    /// All of them, checked before anything is sent.
    fn read(&self) -> Result<Vec<String>, Failed> {
        let mut found = Found::default();
        for (i, text) in (1..).zip(&self.numbers) {
            found.take(text, || format!("number {i}"));
        }
        let unread = |error: io::Error, name: &str| Failed::input(format!("{name}: {error}"));
        match self.file.as_deref() {
            None => {}
            Some(path) if path == Path::new("-") => {
                let lines = io::stdin().lock();
                found.lines(lines, "standard input").map_err(|e| unread(e, "standard input"))?;
            }
            Some(path) => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|error| unread(error, &name))?;
                found.lines(BufReader::new(file), &name).map_err(|error| unread(error, &name))?;
            }
        }
        found.all()
    }
}

/// Numbers as they were given, and what is wrong with others.
#[derive(Default)]
struct Found {
    numbers: Vec<String>,
    wrong: Vec<String>,
    more: usize,
}

impl Found {
    fn take(&mut self, text: &str, place: impl Fn() -> String) {
        match text.parse::<E164>() {
            Ok(number) => self.numbers.push(number.plus()),
            Err(error) if self.wrong.len() < SHOWN => {
                self.wrong.push(format!("{}: {error}", place()));
            }
            Err(_) => self.more += 1,
        }
    }

    fn lines(&mut self, lines: impl BufRead, name: &str) -> io::Result<()> {
        for (i, line) in (1..).zip(lines.lines()) {
            let line = line?;
            // What some editors begin a file with.
            let line = line.trim_start_matches('\u{feff}');
            let text = line.split('#').next().unwrap_or_default().trim();
            if !text.is_empty() {
                self.take(text, || format!("{name}, line {i}"));
            }
        }
        Ok(())
    }

    fn all(self) -> Result<Vec<String>, Failed> {
        if self.wrong.is_empty() {
            return Ok(self.numbers);
        }
        let mut message = self.wrong.join("\n");
        if self.more > 0 {
            message.push_str(&format!("\n(and {} more)", self.more));
        }
        Err(Failed::input(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let mut found = Found::default();
        found.lines(text.as_bytes(), "list.txt").unwrap();
        found.all().map_err(|failed| {
            assert_eq!(failed.code(), crate::cli::WRONG_INPUT);
            failed.to_string()
        })
    }

    #[test]
    fn a_file_has_a_number_on_each_line() {
        let text =
            "# those who asked\n+919900000001\r\n\n  919900000002  # twice\n#+919900000003\n";
        assert_eq!(read(text), Ok(vec!["+919900000001".into(), "+919900000002".into()]));
        assert_eq!(read("\n"), Ok(Vec::new()));
        assert_eq!(read("\u{feff}+919900000001\n"), Ok(vec!["+919900000001".into()]));
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_without_the_number() {
        let error = read("+919900000001\n0991234567\n\nname\n").unwrap_err();
        let lines: Vec<_> = error.lines().collect();
        assert!(lines[0].starts_with("list.txt, line 2: starts with 0"), "{error}");
        assert!(lines[1].starts_with("list.txt, line 4: has characters"), "{error}");
        assert_eq!(lines.len(), 2);
        assert!(!error.contains("1234567"), "{error}");
        assert!(read(&"x\n".repeat(13)).unwrap_err().ends_with("\n(and 3 more)"));
    }

    #[test]
    fn rows_stand_below_each_other() {
        assert_eq!(row("+919900000001", "", ""), "+919900000001");
        assert_eq!(row("+1", "t", "r").find('r'), Some(40));
    }
}

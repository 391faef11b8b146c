//! `dialplane call --csv`: a list of calls. All of it is checked before anything is sent. Its
//! requests have ids that the same list has in every run, so that a run that was cut off is
//! simply started again.

use std::path::PathBuf;

use clap::Args;
use futures_util::{StreamExt, stream};
use tonic_types::StatusExt;

use super::{Arguments, Failed, place};
use crate::{
    api,
    cli::{
        calls::{Client, Part, results::Asked},
        client::{SOME_FAILED, wait_of},
    },
    proto::{Call, CallSpec, CreateCallsRequest},
};

mod batches;
mod outcome;
mod sheet;

use batches::{Batch, Batches};
use outcome::Outcome;
use sheet::{Row, Sheet, Source};

/// Mistakes that are shown.
const SHOWN: usize = 20;
/// The label that ties the calls of a named job to what its list said.
const LABEL: &str = "dialplane.list";

/// A list of calls.
#[derive(Debug, Args)]
#[command(next_help_heading = "A list")]
pub(super) struct List {
    /// A file of calls, "-" for the standard input: a first line with the columns to (several
    /// numbers of a person separated by ";"), reference, caller_id, flow, audio, var.NAME,
    /// label.NAME, at, expire, locale, name, email.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["numbers", "alternates", "references",
          "request_id", "watch", "all_or_nothing"])]
    pub csv: Option<PathBuf>,
    /// By which the list is known: started again under the same name it calls nobody twice.
    /// Without it, the list is known by what it says.
    #[arg(long, value_name = "NAME", requires = "csv")]
    job: Option<String>,
    /// Calls in each request.
    #[arg(long, value_name = "CALLS", default_value_t = 500, requires = "csv",
          value_parser = clap::value_parser!(u32).range(1..=5_000))]
    batch: u32,
    /// Requests under way at the same time.
    #[arg(long, value_name = "REQUESTS", default_value_t = 4, requires = "csv",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    concurrency: u32,
    /// A file in CSV for what became of each row. It is written anew in each run.
    #[arg(long, value_name = "FILE", requires = "csv")]
    out: Option<PathBuf>,
}

impl List {
    /// Whoever names a job means it to count.
    pub(super) fn without_csv(&self) -> Result<(), Failed> {
        match (&self.job, &self.out) {
            (None, None) => Ok(()),
            _ => Err(Failed::input("--job and --out are for lists: name one with --csv")),
        }
    }
}

/// What the first reading of a list gave.
struct Checked {
    /// Of all that it says.
    digest: [u8; 32],
    /// After each batch, of all that was said so far.
    marks: Vec<[u8; 32]>,
    rows: usize,
}

pub(super) async fn run(arguments: &Arguments, path: &std::path::Path) -> Result<u8, Failed> {
    let list = &arguments.list;
    let source = Source::open(path)?;
    let template = arguments.given.template()?;
    let size = usize::try_from(list.batch).unwrap_or(1);
    let checked = check(&source, template.clone(), size)?;
    let ids = Ids::new(list.job.as_deref(), &checked.digest)?;
    let mut outcome = Outcome::new(list.out.as_deref(), &arguments.how, checked.rows)?;
    let client = arguments.how.client().await?;
    let sheet = open(&source, template)?;
    let mut batches = Batches::new(sheet, size).zip(checked.marks).enumerate();
    let send = |(number, (batch, mark)): (usize, (Batch, [u8; 32]))| {
        let (mut client, ids) = (client.clone(), &ids);
        async move {
            // Another list than the one that was checked, and that has these ids.
            if batch.mark != mark {
                return Err(Failed::input("the list was changed while it was read"));
            }
            sent(arguments, &mut client, ids, number, batch.rows).await
        }
    };
    // The first one goes alone: where it has its id from a list that was cut otherwise, or had
    // other settings, it is refused, and nothing else is sent.
    let Some(first) = batches.next() else { return Err(Failed::input("the list is empty")) };
    outcome.take(send(first).await?)?;
    let concurrency = usize::try_from(list.concurrency).unwrap_or(1);
    let mut rest = Box::pin(stream::iter(batches).map(send).buffered(concurrency));
    while let Some(done) = rest.next().await {
        let told = done.and_then(|done| outcome.take(done));
        told.map_err(|failed| outcome.stopped(failed))?;
    }
    drop(rest);
    if !outcome.is_whole() {
        return Err(Failed::input("the list became shorter while it was read"));
    }
    let all_well = outcome.end();
    Ok(if all_well { 0 } else { SOME_FAILED })
}

fn open(source: &Source, template: CallSpec) -> Result<Sheet, Failed> {
    let reader = source.read().map_err(|error| Failed::input(error.to_string()))?;
    Sheet::new(reader, template).map_err(|wrong| Failed::input(wrong.join("\n")))
}

/// Reads all of a list, for its mistakes: as the gateway would tell them, and at once.
fn check(source: &Source, template: CallSpec, size: usize) -> Result<Checked, Failed> {
    let mut checked = Checked { digest: [0; 32], marks: Vec::new(), rows: 0 };
    let (mut wrong, mut more) = (Vec::new(), 0);
    for batch in Batches::new(open(source, template)?, size) {
        checked.rows += batch.rows.len();
        checked.marks.push(batch.mark);
        checked.digest = batch.mark;
        let mistakes = api::mistakes(batch.rows.iter().map(|row| row.call.clone()).collect());
        for (row, mistakes) in batch.rows.iter().zip(mistakes) {
            // What can't be read says nothing more.
            let mistakes = mistakes.iter().map(|one| format!("{}: {}", one.field, one.description));
            let told: Vec<_> = match row.wrong.is_empty() {
                true => mistakes.collect(),
                false => row.wrong.clone(),
            };
            for mistake in told {
                match wrong.len() < SHOWN {
                    true => wrong.push(format!("line {}: {mistake}", row.line)),
                    false => more += 1,
                }
            }
        }
    }
    if more > 0 {
        wrong.push(format!("(and {more} more)"));
    }
    match (wrong.is_empty(), checked.rows) {
        (false, _) => Err(Failed::input(wrong.join("\n")).and("nothing was sent")),
        (true, 0) => Err(Failed::input("the list is empty")),
        (true, _) => Ok(checked),
    }
}

/// The ids of a list's requests.
struct Ids {
    stem: String,
    /// What the list said, for each call of a named job: another list under its name is another
    /// payload, which the gateway refuses.
    label: Option<String>,
}

impl Ids {
    fn new(job: Option<&str>, digest: &[u8; 32]) -> Result<Self, Failed> {
        let mut hex = String::new();
        for byte in digest.iter().take(16) {
            hex.push_str(&format!("{byte:02x}"));
        }
        let ids = match job {
            Some(name) => Self { stem: name.to_owned(), label: Some(hex) },
            None => Self { stem: format!("list-{hex}"), label: None },
        };
        let longest = ids.of(usize::MAX);
        match longest.parse::<crate::call::RequestId>() {
            Ok(_) if !ids.stem.is_empty() => Ok(ids),
            _ => Err(Failed::input(
                "--job: expected up to 100 printable ASCII characters without spaces",
            )),
        }
    }

    fn of(&self, number: usize) -> String {
        format!("{}/{number}", self.stem)
    }
}

/// A batch that was dealt with.
pub(super) struct Done {
    rows: Vec<Row>,
    calls: Vec<Call>,
    replayed: bool,
}

async fn sent(
    arguments: &Arguments,
    client: &mut Client,
    ids: &Ids,
    number: usize,
    rows: Vec<Row>,
) -> Result<Done, Failed> {
    let mut calls: Vec<_> = rows.iter().map(|row| row.call.clone()).collect();
    if let Some(label) = &ids.label {
        for call in &mut calls {
            call.labels.insert(LABEL.to_owned(), label.clone());
        }
    }
    let validate_only = arguments.validate_only;
    let request = CreateCallsRequest {
        request_id: if validate_only { String::new() } else { ids.of(number) },
        route: arguments.route.clone(),
        calls,
        all_or_nothing: false,
        validate_only,
    };
    let request_id = request.request_id.clone();
    let answer = loop {
        match place(&arguments.how, client, request.clone()).await {
            // No turn before the deadline, and nothing recorded: a list has the time.
            Err(status) if status.code() == tonic::Code::ResourceExhausted => {
                match wait_of(&status) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => break Err(status),
                }
            }
            answer => break answer,
        }
    };
    let status = match answer {
        Ok(answer) if !answer.replayed => {
            return Ok(Done { rows, calls: answer.calls, replayed: false });
        }
        Ok(_) => None,
        Err(status) => Some(status),
    };
    if let Some(status) = status {
        let reason = status.get_details_error_info().map(|info| info.reason);
        if reason.as_deref() == Some("REQUEST_ID_REUSED") {
            return Err(Failed::from(status).and(
                "this list was sent before, or another one under the name of its job, with other \
                 options or another --batch: repeat it as it was, or give it a --job of its own",
            ));
        }
        if wait_of(&status).is_some() || validate_only {
            return Err(status.into());
        }
        // All of its calls may have failed, which is recorded: then the list goes on.
        let mut calls = Vec::new();
        let known = known(arguments, client, &request_id, &mut calls).await;
        return match known {
            Ok(()) if calls.len() == rows.len() => Ok(Done { rows, calls, replayed: false }),
            _ => Err(status.into()),
        };
    }
    // The recorded answer is of the time when they were placed.
    let mut calls = Vec::new();
    known(arguments, client, &request_id, &mut calls).await?;
    Ok(Done { rows, calls, replayed: true })
}

async fn known(
    arguments: &Arguments,
    client: &mut Client,
    request_id: &str,
    calls: &mut Vec<Call>,
) -> Result<(), Failed> {
    let part = Part { request_id: request_id.to_owned(), ..Part::default() };
    Asked { part, max_staleness: None }.quietly(&arguments.how, client, calls).await
}

//! `dialplane call --csv`: a list of calls. All of it is checked before anything is sent. Its
//! requests have ids that the same list has in every run, so that a run that was cut off is
//! simply started again.

use std::path::PathBuf;

use clap::Args;
use futures_util::{StreamExt, stream};
use tonic_types::StatusExt;

use super::{Arguments, Failed, place};
use crate::{
    cli::{
        asked_to_stop,
        calls::{Client, Part, code, results::Asked, watch::ANY_AGE},
        client::{NOT_REACHED, wait_of},
    },
    proto::{Call, CallSpec, CreateCallsRequest},
};

mod batches;
mod check;
mod follow;
mod outcome;
mod sheet;
mod source;
mod told;

use batches::{Batch, Batches};
use check::{Rules, check};
use outcome::Outcome;
use sheet::{Row, Sheet};
use source::Source;
use told::Told;

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
          "request_id", "all_or_nothing"])]
    pub csv: Option<PathBuf>,
    /// By which the list is known: started again under the same name it calls nobody twice.
    /// Without it, the list is known by what it says.
    #[arg(long, value_name = "NAME", requires = "csv")]
    job: Option<String>,
    /// Calls in each request, at most.
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
    /// A number may be in several rows, and is called once for each.
    #[arg(long, requires = "csv")]
    allow_duplicates: bool,
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

pub(super) async fn run(arguments: &Arguments, path: &std::path::Path) -> Result<u8, Failed> {
    let list = &arguments.list;
    let source = Source::open(path)?;
    let template = arguments.given.template()?;
    let size = usize::try_from(list.batch).unwrap_or(1);
    let rules = Rules { size, is_job: list.job.is_some(), may_repeat: list.allow_duplicates };
    let checked = check(&source, template.clone(), &rules)?;
    let ids = Ids::new(list.job.as_deref(), &checked.digest)?;
    let told = list.out.as_deref().map(|path| Told::open(path, &source)).transpose()?;
    let mut outcome = Outcome::new(told, &arguments.how, checked.rows, arguments.watch);
    let client = arguments.how.client().await?;
    let run = Run { arguments, source, template, ids, marks: checked.marks, size, client };
    let ended = tokio::select! {
        ended = run.to_its_end(&mut outcome) => ended,
        () = asked_to_stop() => Err(Failed::new("stopped", NOT_REACHED)),
    };
    ended.map_err(|failed| outcome.stopped(failed))?;
    Ok(code(outcome.end()))
}

fn open(source: &Source, template: CallSpec) -> Result<Sheet, Failed> {
    let name = source.name();
    let reader = source.read().map_err(|error| Failed::input(format!("{name}: {error}")))?;
    Sheet::new(reader, template)
        .map_err(|wrong| Failed::input(format!("{name}: {}", wrong.join("\n"))))
}

/// A list that was checked.
struct Run<'a> {
    arguments: &'a Arguments,
    source: Source,
    template: CallSpec,
    ids: Ids,
    marks: Vec<[u8; 32]>,
    size: usize,
    client: Client,
}

impl Run<'_> {
    async fn to_its_end(&self, outcome: &mut Outcome) -> Result<(), Failed> {
        if !self.arguments.watch {
            return self.place(outcome).await;
        }
        // What changes while others are placed still is told of afterwards.
        let since = follow::begin(self.arguments, &self.client).await?;
        self.place(outcome).await?;
        follow::until_all_are_over(self.arguments, &self.client, since, outcome).await?;
        self.conclude(outcome).await
    }

    async fn place(&self, outcome: &mut Outcome) -> Result<(), Failed> {
        let send = |(number, batch)| async move {
            let rows = self.as_checked(number, batch)?;
            sent(self.arguments, &mut self.client.clone(), &self.ids, number, rows).await
        };
        let mut batches = self.batches()?;
        // The first one goes alone: where it has its id from a list that was cut otherwise, or had
        // other settings, it is refused, and nothing else is sent.
        if let Some(first) = batches.next() {
            outcome.take(send(first).await?)?;
        }
        let concurrency = usize::try_from(self.arguments.list.concurrency).unwrap_or(1);
        let mut rest = std::pin::pin!(stream::iter(batches).map(send).buffered(concurrency));
        while let Some(done) = rest.next().await {
            outcome.take(done?)?;
        }
        is_whole(outcome)
    }

    /// The states in which all of it ended.
    async fn conclude(&self, outcome: &mut Outcome) -> Result<(), Failed> {
        outcome.anew();
        for (number, batch) in self.batches()? {
            let rows = self.as_checked(number, batch)?;
            let mut calls = Vec::new();
            let mut client = self.client.clone();
            known(self.arguments, &mut client, &self.ids.of(number), &mut calls).await?;
            outcome.conclude(&rows, &calls)?;
        }
        is_whole(outcome)
    }

    fn batches(&self) -> Result<impl Iterator<Item = (usize, Batch)>, Failed> {
        let sheet = open(&self.source, self.template.clone())?;
        Ok(Batches::new(sheet, self.size).take(self.marks.len()).enumerate())
    }

    /// Another list than the one that was checked has the same ids.
    fn as_checked(&self, number: usize, batch: Batch) -> Result<Vec<Row>, Failed> {
        match self.marks.get(number) == Some(&batch.mark) {
            true => Ok(batch.rows),
            false => Err(Failed::input("the list was changed while it was read")),
        }
    }
}

fn is_whole(outcome: &Outcome) -> Result<(), Failed> {
    match outcome.is_whole() {
        true => Ok(()),
        false => Err(Failed::input("the list became shorter while it was read")),
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
        if reason.as_deref() == Some("PACE_EXHAUSTED") {
            return Err(Failed::from(status).and(
                "so many calls never have their turn within --timeout: give a longer one, or a \
                 smaller --batch",
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
    match calls.len() == rows.len() {
        true => Ok(Done { rows, calls, replayed: true }),
        false => Err(Failed::input(format!(
            "the request {request_id} has {} calls, and should have {}: it is not of this list",
            calls.len(),
            rows.len()
        ))),
    }
}

async fn known(
    arguments: &Arguments,
    client: &mut Client,
    request_id: &str,
    calls: &mut Vec<Call>,
) -> Result<(), Failed> {
    let part = Part { request_id: request_id.to_owned(), ..Part::default() };
    // The gateway asks the vendors by itself; thousands of questions more would take its calls' turns.
    Asked { part, max_staleness: Some(ANY_AGE) }.quietly(&arguments.how, client, calls).await
}

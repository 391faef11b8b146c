//! `dialplane call --csv`: a list of calls. All of it is checked before anything is sent. Its
//! requests have ids that the same list has in every run, so that a run that was cut off is
//! simply started again.

use std::{
    cell::{Cell, RefCell},
    path::PathBuf,
};

use clap::Args;
use futures_util::{StreamExt, stream};

use super::{Arguments, Failed};
use crate::{
    cli::{
        asked_to_stop,
        calls::{Client, Part, code, results::Asked, watch::ANY_AGE},
        client::NOT_REACHED,
    },
    proto::{Call, CallSpec},
};

mod batches;
mod check;
mod follow;
mod outcome;
mod sent;
mod sheet;
mod source;
mod told;

use batches::{Batch, Batches};
use check::{Rules, check};
use outcome::Outcome;
use sent::{Done, sent};
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
    if arguments.how.out().is_json() && told.as_ref().is_some_and(Told::is_output) {
        return Err(Failed::input("--out: is where --json prints; name another file"));
    }
    let mut outcome = Outcome::new(told, arguments, checked.rows);
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
        // What is wrong with the vendor's account is wrong for all that follow, and would be
        // recorded under their ids: what is under way is waited for, and nothing more is sent.
        let refusals = Refusals::default();
        // The first one goes alone: where it has its id from a list that was cut otherwise, or had
        // other settings, it is refused, and nothing else is sent.
        if let Some(first) = batches.next() {
            refusals.take(outcome, send(first).await?)?;
        }
        let concurrency = usize::try_from(self.arguments.list.concurrency).unwrap_or(1);
        let rest = batches.take_while(|_| refusals.are_none());
        let mut rest = std::pin::pin!(stream::iter(rest).map(send).buffered(concurrency));
        while let Some(done) = rest.next().await {
            refusals.take(outcome, done?)?;
        }
        refusals.end()?;
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

/// What a vendor's account refused of a list.
#[derive(Default)]
struct Refusals {
    rows: Cell<usize>,
    first: RefCell<Option<Failed>>,
}

impl Refusals {
    fn are_none(&self) -> bool {
        self.rows.get() == 0
    }

    fn take(&self, outcome: &mut Outcome, mut done: Done) -> Result<(), Failed> {
        if let Some(refused) = done.refused.take() {
            self.rows.set(self.rows.get() + done.rows.len());
            self.first.borrow_mut().get_or_insert(refused);
        }
        outcome.take(done)
    }

    fn end(&self) -> Result<(), Failed> {
        let Some(first) = self.first.take() else { return Ok(()) };
        Err(first.and(format!(
            "{} rows were refused for this, and stay so under the ids of this list: FAILED in \
             --out, nobody of them was dialled. Make them rows of a list of their own, once it \
             is mended",
            self.rows.get()
        )))
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

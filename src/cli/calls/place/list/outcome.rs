//! What becomes of a list: how far it is, a file of it, and a summary.

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, IsTerminal, Write},
    time::Instant,
};

use uuid::Uuid;

use super::{Arguments, Done, Failed, Row, told::Told};
use crate::{
    cli::{
        calls::{Out, is_over, note, place::is_refused, short},
        client::{NOT_REACHED, words},
    },
    proto::{Call, WatchCallResultsResponse},
};

/// Errors of rows that are told in full; the file has all.
const SHOWN: usize = 10;

/// What is known so far.
pub(super) struct Outcome {
    told: Option<Told>,
    out: Out,
    is_terminal: bool,
    begun: Instant,
    rows: usize,
    is_check: bool,
    done: usize,
    replayed: usize,
    refused: usize,
    states: BTreeMap<&'static str, usize>,
    /// Those that are not over, where they are followed to their ends.
    open: Option<HashSet<Uuid>>,
}

impl Outcome {
    /// Of a list of so many rows.
    pub(super) fn new(told: Option<Told>, arguments: &Arguments, rows: usize) -> Self {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            told,
            out: arguments.how.out(),
            is_terminal: io::stderr().is_terminal() && !is_dumb,
            begun: Instant::now(),
            rows,
            is_check: arguments.validate_only,
            done: 0,
            replayed: 0,
            refused: 0,
            states: BTreeMap::new(),
            open: arguments.watch.then(HashSet::new),
        }
    }

    /// One batch more.
    ///
    /// # Errors
    /// When the file can't be written; the batch counts all the same.
    pub(super) fn take(&mut self, done: Done) -> Result<(), Failed> {
        let Done { rows, calls, replayed, .. } = done;
        self.count(&rows, &calls);
        self.replayed += if replayed { rows.len() } else { 0 };
        for call in &calls {
            if let (Some(open), false, Ok(id)) =
                (&mut self.open, is_over(call), call.call_id.parse())
            {
                open.insert(id);
            }
            if self.out.is_json() {
                let _ = self.out.call(call);
            }
        }
        // What is followed is told of a stream once, at its end.
        if self.open.is_none() || !self.told.as_ref().is_some_and(Told::is_stream) {
            self.file(&rows, &calls)?;
        }
        self.progress("placed", self.done);
        Ok(())
    }

    /// One batch more of the last words about all of them.
    ///
    /// # Errors
    /// When the file can't be written.
    pub(super) fn conclude(&mut self, rows: &[Row], calls: &[Call]) -> Result<(), Failed> {
        self.count(rows, calls);
        self.file(rows, calls)
    }

    fn count(&mut self, rows: &[Row], calls: &[Call]) {
        self.done += rows.len();
        for (row, call) in rows.iter().zip(calls) {
            *self.states.entry(short(call.state())).or_default() += 1;
            if is_refused(call) {
                self.refused += 1;
                self.tell(row, call);
            }
        }
    }

    fn file(&mut self, rows: &[Row], calls: &[Call]) -> Result<(), Failed> {
        self.told.as_mut().map_or(Ok(()), |told| told.rows(rows.iter().zip(calls)))
    }

    /// A change of a call, after all were placed.
    pub(super) fn change(&mut self, change: &WatchCallResultsResponse) {
        let (Some(call), Some(open)) = (&change.call, &mut self.open) else { return };
        let Ok(id) = call.call_id.parse() else { return };
        if !open.contains(&id) {
            return;
        }
        if is_over(call) {
            open.remove(&id);
        }
        let over = self.rows.saturating_sub(open.len());
        if self.out.is_json() {
            let _ = self.out.call(call);
        }
        self.progress("over", over);
    }

    /// How many calls are followed still.
    pub(super) fn open(&self) -> usize {
        self.open.as_ref().map_or(0, HashSet::len)
    }

    /// What counts from now on are the states in which all of it ended.
    pub(super) fn anew(&mut self) {
        (self.done, self.refused) = (0, 0);
        self.states.clear();
        if let Some(told) = &mut self.told {
            told.anew();
        }
    }

    fn tell(&self, row: &Row, call: &Call) {
        if let (true, Some(error)) = (self.refused <= SHOWN, &call.error) {
            self.clear();
            note(format!("line {}: {}", row.line, words(error)));
        }
    }

    /// Where somebody looks on: on one line, however narrow the terminal is.
    fn progress(&self, what: &str, done: usize) {
        if self.is_terminal {
            let line = progress(what, done, self.rows, self.begun.elapsed().as_secs_f64());
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[2K\x1b[?7l{line}\x1b[?7h").and_then(|()| err.flush());
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }

    /// Why it did not come to its end, and what the same command does then.
    pub(super) fn stopped(&self, failed: Failed) -> Failed {
        self.clear();
        let Self { done, rows, .. } = self;
        match (failed.code(), done) {
            (NOT_REACHED, _) => failed.and(format!(
                "{done} of {rows} rows are dealt with; the same command again goes on, and calls \
                 nobody twice"
            )),
            (_, 0) => failed,
            _ => failed.and(format!(
                "{done} of {rows} rows are dealt with; once that is mended, the same command again \
                 goes on, and calls nobody twice"
            )),
        }
    }

    /// Whether every row was dealt with.
    pub(super) fn is_whole(&self) -> bool {
        self.done == self.rows
    }

    /// The summary. Whether all went well.
    pub(super) fn end(&self) -> bool {
        self.clear();
        let states = self.states.iter().map(|(state, count)| format!("{count} {state}"));
        let what = if self.is_check { "calls checked, and nobody called" } else { "calls" };
        let states = states.collect::<Vec<_>>().join(", ");
        let mut line = format!("{} {what}: {states}", self.done);
        if self.replayed > 0 {
            line.push_str(&format!("; {} of them were placed by an earlier run", self.replayed));
        }
        match self.out.is_json() || self.told.as_ref().is_some_and(Told::is_output) {
            true => note(line),
            false => crate::cli::say(line),
        }
        self.refused == 0
    }
}

fn progress(what: &str, done: usize, rows: usize, seconds: f64) -> String {
    let rate = done as f64 / seconds.max(0.001);
    let left = (rows.saturating_sub(done)) as f64 / rate.max(0.001);
    format!("{} {done} of {rows} {what}, {rate:.0}/s, {} left", bar(done, rows), clock(left as u64))
}

/// So many of all, at a glance.
fn bar(done: usize, rows: usize) -> String {
    const CELLS: usize = 20;
    let full = done.saturating_mul(CELLS).checked_div(rows).unwrap_or(0).min(CELLS);
    format!("[{}{}]", "#".repeat(full), ".".repeat(CELLS - full))
}

fn clock(seconds: u64) -> String {
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_how_far_it_is() {
        assert_eq!(
            progress("placed", 1_000, 4_000, 10.0),
            "[#####...............] 1000 of 4000 placed, 100/s, 30 s left"
        );
        assert_eq!(
            progress("over", 1, 10_000, 1.0),
            "[....................] 1 of 10000 over, 1/s, 2 h 46 min left"
        );
        assert_eq!(
            progress("over", 0, 10, 0.0),
            "[....................] 0 of 10 over, 0/s, 2 h 46 min left"
        );
        assert_eq!(bar(7, 7), "[####################]");
        assert_eq!(bar(0, 0), "[....................]");
    }
}

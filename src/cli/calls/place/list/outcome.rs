//! What becomes of a list: how far it is, a file of it, and a summary.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, IsTerminal, Write},
    path::Path,
    time::Instant,
};

use tonic_types::RpcStatusExt;

use super::{Done, Failed, Row};
use crate::{
    cli::{
        calls::{How, Out, note, place::is_refused, short},
        client::words,
    },
    proto::Call,
};

/// Errors of rows that are told in full; the file has all.
const SHOWN: usize = 10;

/// The columns of the file.
const COLUMNS: [&str; 10] = [
    "line",
    "reference",
    "to",
    "call_id",
    "vendor",
    "state",
    "code",
    "reason",
    "dialed",
    "message",
];

/// What is known so far.
pub(super) struct Outcome {
    file: Option<csv::Writer<File>>,
    out: Out,
    is_terminal: bool,
    begun: Instant,
    rows: usize,
    done: usize,
    replayed: usize,
    refused: usize,
    states: BTreeMap<&'static str, usize>,
}

impl Outcome {
    /// # Errors
    /// When the file can't be written.
    pub(super) fn new(file: Option<&Path>, how: &How, rows: usize) -> Result<Self, Failed> {
        let file = match file {
            None => None,
            Some(path) => {
                let file = File::create(path);
                let file = file
                    .map_err(|error| Failed::input(format!("--out {}: {error}", path.display())))?;
                let mut writer = csv::Writer::from_writer(file);
                writer.write_record(COLUMNS).map_err(unwritten)?;
                Some(writer)
            }
        };
        Ok(Self {
            file,
            out: how.out(),
            is_terminal: io::stderr().is_terminal(),
            begun: Instant::now(),
            rows,
            done: 0,
            replayed: 0,
            refused: 0,
            states: BTreeMap::new(),
        })
    }

    /// One batch more.
    pub(super) fn take(&mut self, done: Done) -> Result<(), Failed> {
        let Done { rows, calls, replayed } = done;
        for (row, call) in rows.iter().zip(&calls) {
            *self.states.entry(short(call.state())).or_default() += 1;
            if is_refused(call) {
                self.refused += 1;
                self.tell(row, call);
            }
            if self.out.is_json() {
                let _ = self.out.call(call);
            }
            if let Some(file) = &mut self.file {
                file.write_record(cells(row, call)).map_err(unwritten)?;
            }
        }
        if let Some(file) = &mut self.file {
            file.flush().map_err(|error| Failed::new(format!("--out: {error}"), 1))?;
        }
        self.done += rows.len();
        self.replayed += if replayed { rows.len() } else { 0 };
        self.progress();
        Ok(())
    }

    fn tell(&self, row: &Row, call: &Call) {
        if let (true, Some(error)) = (self.refused <= SHOWN, &call.error) {
            self.clear();
            note(format!("line {}: {}", row.line, words(error)));
        }
    }

    /// Where somebody looks on.
    fn progress(&self) {
        if self.is_terminal {
            let line = progress(self.done, self.rows, self.begun.elapsed().as_secs_f64());
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[2K{line}").and_then(|()| err.flush());
        }
    }

    fn clear(&self) {
        if self.is_terminal {
            let _ = write!(io::stderr().lock(), "\r\x1b[2K");
        }
    }

    /// Why it did not come to its end.
    pub(super) fn stopped(&self, failed: Failed) -> Failed {
        self.clear();
        failed.and(format!(
            "{} of {} rows are dealt with; the same command again goes on, and calls nobody twice",
            self.done, self.rows
        ))
    }

    /// Whether every row was dealt with.
    pub(super) fn is_whole(&self) -> bool {
        self.done == self.rows
    }

    /// The summary. Whether all went well.
    pub(super) fn end(&self) -> bool {
        self.clear();
        let states = self.states.iter().map(|(state, count)| format!("{count} {state}"));
        let mut line = format!("{} calls: {}", self.done, states.collect::<Vec<_>>().join(", "));
        if self.replayed > 0 {
            line.push_str(&format!("; {} of them were placed by an earlier run", self.replayed));
        }
        match self.out.is_json() {
            true => note(line),
            false => crate::cli::say(line),
        }
        self.refused == 0
    }
}

fn unwritten(error: csv::Error) -> Failed {
    Failed::new(format!("--out: {error}"), 1)
}

fn cells(row: &Row, call: &Call) -> [String; 10] {
    let error = call.error.clone().unwrap_or_default();
    let (reason, dialed) = match error.get_details_error_info() {
        Some(info) => (info.reason, info.metadata.get("dialed").cloned().unwrap_or_default()),
        None => Default::default(),
    };
    let code = match error.code {
        0 => String::new(),
        code => code.to_string(),
    };
    [
        row.line.to_string(),
        row.call.client_reference.clone(),
        row.call.to.join(";"),
        call.call_id.clone(),
        call.vendor.clone(),
        short(call.state()).to_owned(),
        code,
        reason,
        dialed,
        error.message,
    ]
}

fn progress(done: usize, rows: usize, seconds: f64) -> String {
    let rate = done as f64 / seconds.max(0.001);
    let left = (rows.saturating_sub(done)) as f64 / rate.max(0.001);
    format!("{done} of {rows}, {rate:.0}/s, {} left", clock(left as u64))
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
        assert_eq!(progress(1_000, 4_000, 10.0), "1000 of 4000, 100/s, 30 s left");
        assert_eq!(progress(1, 10_000, 1.0), "1 of 10000, 1/s, 2 h 46 min left");
        assert_eq!(progress(0, 10, 0.0), "0 of 10, 0/s, 2 h 46 min left");
    }
}

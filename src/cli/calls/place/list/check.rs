//! The first reading of a list, for its mistakes: as the gateway would tell them, and at once.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use super::{Batches, Failed, LABEL, Row, Source, open};
use crate::{api, proto::CallSpec};

/// Mistakes that are shown.
const SHOWN: usize = 20;

/// What the first reading of a list gave.
pub(super) struct Checked {
    /// Of all that it says.
    pub digest: [u8; 32],
    /// After each batch, of all that was said so far.
    pub marks: Vec<[u8; 32]>,
    pub rows: usize,
}

/// What a list may have.
pub(super) struct Rules {
    /// Calls in each request, at most.
    pub size: usize,
    /// Each of its calls gets one label more when it is sent.
    pub is_job: bool,
    /// A number may be in several rows.
    pub may_repeat: bool,
}

/// Reads all of a list.
///
/// # Errors
/// With all of its mistakes, as far as they are shown.
pub(super) fn check(source: &Source, template: CallSpec, rules: &Rules) -> Result<Checked, Failed> {
    let mut checked = Checked { digest: [0; 32], marks: Vec::new(), rows: 0 };
    let (mut wrong, mut more) = (Vec::new(), 0);
    let mut seen = Seen::default();
    for batch in Batches::new(open(source, template)?, rules.size) {
        checked.rows += batch.rows.len();
        checked.marks.push(batch.mark);
        checked.digest = batch.mark;
        let specs = batch.rows.iter().map(|row| labelled(row, rules.is_job)).collect();
        for (row, mistakes) in batch.rows.iter().zip(api::mistakes(specs)) {
            let repeated = seen.take(row, rules.may_repeat);
            let mistakes = mistakes.iter().map(|one| format!("{}: {}", one.field, one.description));
            let mut told: Vec<_> = match row.wrong.is_empty() {
                true => mistakes.collect(),
                // What can't be read says nothing more.
                false => row.wrong.clone(),
            };
            told.extend(repeated.filter(|_| told.is_empty()));
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
        (true, 0) => Err(Failed::input(format!("{}: the list is empty", source.name()))),
        (true, _) => Ok(checked),
    }
}

fn labelled(row: &Row, is_job: bool) -> CallSpec {
    let mut call = row.call.clone();
    if is_job {
        call.labels.insert(LABEL.to_owned(), String::new());
    }
    call
}

/// What rows before had, eight bytes of each: lists are long.
#[derive(Default)]
struct Seen {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl Seen {
    /// A row more. What it has that must be in one row alone, and was in an earlier one.
    fn take(&mut self, row: &Row, may_repeat: bool) -> Option<String> {
        let CallSpec { to, client_reference, .. } = &row.call;
        let mut wrong = None;
        if !client_reference.is_empty() && !self.is_new("reference", client_reference) {
            wrong = Some("reference: is that of an earlier line".to_owned());
        }
        if may_repeat {
            return wrong;
        }
        for number in to {
            if !self.is_new("to", number.trim_start_matches('+')) {
                wrong = Some(
                    "to: is in an earlier line, too; --allow-duplicates calls it once for each"
                        .to_owned(),
                );
            }
        }
        wrong
    }

    fn is_new(&mut self, what: &str, text: &str) -> bool {
        self.hashes.insert(self.hasher.hash_one((what, text)))
    }
}

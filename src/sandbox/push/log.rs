//! What was pushed.

use std::{collections::VecDeque, fmt};

use jiff::Timestamp;

use crate::sandbox::System;

/// Addresses and bodies kept, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// A push that was done. Holds numbers as they were sent: it is for tests.
#[derive(Clone, PartialEq, Eq)]
pub struct Posted {
    /// Who pushed.
    pub system: System,
    /// Where to, without credentials and query.
    pub url: String,
    /// As sent.
    pub body: String,
    /// The answer's HTTP status. None when none came.
    pub status: Option<u16>,
    /// When the answer, or none, had come.
    pub time: Timestamp,
}

impl fmt::Debug for Posted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posted")
            .field("system", &self.system)
            .field("status", &self.status)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// The pushes done.
#[derive(Debug, Default)]
pub(super) struct Log {
    posted: VecDeque<Posted>,
    bytes: usize,
}

impl Log {
    /// Adds one; the oldest go beyond `keep` of them.
    pub(super) fn add(&mut self, posted: Posted, keep: usize) {
        self.bytes += size(&posted);
        self.posted.push_back(posted);
        while self.posted.len() > keep || self.bytes > MAX_BYTES {
            let Some(oldest) = self.posted.pop_front() else { break };
            self.bytes -= size(&oldest);
        }
    }

    /// Oldest first.
    pub(super) fn all(&self) -> Vec<Posted> {
        self.posted.iter().cloned().collect()
    }
}

fn size(posted: &Posted) -> usize {
    posted.url.len() + posted.body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_in_number_and_in_bytes() {
        let posted = |size: usize| Posted {
            system: System::Knovvu,
            url: String::new(),
            body: "x".repeat(size),
            status: None,
            time: Timestamp::UNIX_EPOCH,
        };
        let sizes = |log: &Log| log.all().iter().map(|p| p.body.len()).collect::<Vec<_>>();
        let mut log = Log::default();
        for size in [1, 2, 3] {
            log.add(posted(size), 2);
        }
        assert_eq!(sizes(&log), [2, 3]);
        log.add(posted(MAX_BYTES - 3), 9);
        assert_eq!(sizes(&log), [3, MAX_BYTES - 3]);
    }
}

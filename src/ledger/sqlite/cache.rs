//! What the writer wrote last. News mostly comes soon after what it is of, and then nothing
//! needs to be read and parsed again. Everything in here is as it is on disk, or not in here:
//! it is emptied whenever a transaction is rolled back, and whenever somebody else has
//! written.

use std::collections::{HashMap, VecDeque};

use rusqlite::Connection;

use super::meter::Tally;
use crate::call::{Call, CallId, CallState};

/// Calls in it, at most.
const MAX_CALLS: usize = 16_384;

/// Their bytes, about.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// What a call takes, beside what its documents have.
const OF_A_CALL: usize = 2 * 1024;

/// A call as the writer knows it.
#[derive(Debug, Clone)]
pub struct Known {
    /// The key of its row.
    pub key: i64,
    /// The outbox entry it is in.
    pub outbox: Option<i64>,
    /// The number of its newest change.
    pub last: u64,
    /// How long its documents are, about.
    pub length: usize,
    /// The call.
    pub call: Call,
}

impl Known {
    fn bytes(&self) -> usize {
        OF_A_CALL.saturating_add(self.length)
    }
}

/// Calls by their ids; the oldest makes room.
#[derive(Debug, Default)]
pub struct Cache {
    calls: HashMap<CallId, (u64, Known)>,
    // Some of them are gone, or were put in again since: then the number differs.
    order: VecDeque<(u64, CallId)>,
    puts: u64,
    bytes: usize,
    seen: Option<Seen>,
    /// How the calls of the transaction under way move.
    pub tally: Tally,
}

/// What changes when anybody writes: this connection, or another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    own: u64,
    others: i64,
}

impl Seen {
    fn look(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let mut others = connection.prepare_cached("PRAGMA data_version")?;
        let others = others.query_row((), |row| row.get(0))?;
        Ok(Self { own: connection.total_changes(), others })
    }
}

impl Cache {
    /// An empty one, of a writer that counts like this.
    pub fn counted(tally: Tally) -> Self {
        Self { tally, ..Self::default() }
    }

    /// Empties it if somebody has written since the last transaction. Within a new one.
    pub fn check(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let seen = Seen::look(connection)?;
        if self.seen != Some(seen) {
            self.clear();
            self.seen = Some(seen);
        }
        Ok(())
    }

    /// A transaction was committed that made what is in here.
    pub fn committed(&mut self, connection: &Connection) {
        self.tally.committed();
        if let Some(seen) = &mut self.seen {
            seen.own = connection.total_changes();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self { tally: std::mem::take(&mut self.tally), ..Self::default() };
    }

    /// What is known of a call, which is forgotten here: whoever changes it puts it back.
    pub fn take(&mut self, id: CallId) -> Option<Known> {
        let (_, known) = self.calls.remove(&id)?;
        self.bytes = self.bytes.saturating_sub(known.bytes());
        Some(known)
    }

    /// Whether news of a call is to be expected soon.
    pub fn is_worth(call: &Call) -> bool {
        match call.state {
            CallState::Scheduled => call.held_until.is_none(),
            state => !state.is_final(),
        }
    }

    /// Keeps a call as it is in the database now.
    pub fn put(&mut self, known: Known) {
        let id = known.call.id;
        self.take(id);
        self.puts = self.puts.wrapping_add(1);
        self.bytes = self.bytes.saturating_add(known.bytes());
        self.order.push_back((self.puts, id));
        self.calls.insert(id, (self.puts, known));
        while self.calls.len() > MAX_CALLS
            || self.bytes > MAX_BYTES
            || self.order.len() > 2 * MAX_CALLS
        {
            let Some((put, id)) = self.order.pop_front() else { break };
            if self.calls.get(&id).is_some_and(|(last, _)| *last == put) {
                self.take(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::testing::call;

    fn known(length: usize) -> Known {
        Known { key: 1, outbox: None, last: 1, length, call: call(CallState::Dispatching) }
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut cache = Cache::default();
        let all: Vec<_> = (0..MAX_CALLS + 1).map(|_| known(0)).collect();
        let ids: Vec<_> = all.iter().map(|known| known.call.id).collect();
        // Put in twice, it is as young as the second time.
        cache.put(all[0].clone());
        all.into_iter().for_each(|known| cache.put(known));
        assert_eq!(cache.calls.len(), MAX_CALLS);
        assert!(cache.take(ids[0]).is_none() && cache.take(ids[1]).is_some());
        assert!(cache.take(ids[1]).is_none());
        for _ in 0..10 * MAX_CALLS {
            cache.put(known(0));
            let (_, id) = *cache.order.back().unwrap();
            cache.take(id);
        }
        assert!(cache.order.len() <= 2 * MAX_CALLS);
    }

    #[test]
    fn bytes_are_bounded() {
        let mut cache = Cache::default();
        for _ in 0..40 {
            cache.put(known(MAX_BYTES / 10));
        }
        assert_eq!(cache.calls.len(), 9);
        cache.put(known(MAX_BYTES));
        assert_eq!((cache.calls.len(), cache.bytes), (0, 0));
    }
}

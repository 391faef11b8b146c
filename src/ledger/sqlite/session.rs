//! One transaction of the writer: the statements it runs again and again, what it gives
//! numbers and keys to, and what it knows without reading.

use rusqlite::{CachedStatement, Connection};

use super::{
    cache::{Cache, Known},
    row::{self, Trouble, integer, unsigned},
    sql,
    state::code,
};
use crate::call::{Call, CallId, CallState};

/// A transaction.
pub struct Session<'c> {
    /// Where it is made.
    pub connection: &'c Connection,
    /// Kept for the transaction: finding one again takes a good part of what it does.
    pub statements: Statements<'c>,
    /// For documents, each over the one before.
    pub buffer: Vec<u8>,
    cache: &'c mut Cache,
    given: Given,
    /// What was given by earlier transactions.
    before: Given,
    firsts: Option<Firsts>,
    /// A call that was recorded in this transaction is another one by now.
    moved_on: bool,
}

/// What was given so far; none of it is given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given {
    newest: u64,
    last_call: i64,
}

/// The first changes of calls recorded one after the other, which become one row.
#[derive(Debug, Clone)]
struct Firsts {
    number: u64,
    count: i64,
    call: i64,
    route: String,
    vendor: String,
    state: i64,
}

/// What a session comes back to when a change of it is refused.
pub struct Mark {
    given: Given,
    firsts: Option<Firsts>,
    changes: u64,
    moves: usize,
}

impl<'c> Session<'c> {
    /// Begins to make changes in a transaction that was begun.
    pub fn begin(connection: &'c Connection, cache: &'c mut Cache) -> Result<Self, Trouble> {
        cache.check(connection)?;
        cache.tally.begin();
        let mut statement = connection.prepare_cached(sql::GIVEN)?;
        let given = statement
            .query_row((), |row| Ok(Given { newest: unsigned(row, 0)?, last_call: row.get(1)? }))?;
        Ok(Self {
            connection,
            statements: Statements::default(),
            buffer: Vec::new(),
            cache,
            given,
            before: given,
            firsts: None,
            moved_on: false,
        })
    }

    /// Writes what was gathered. Gives whether calls are still as they were recorded.
    pub fn finish(mut self) -> Result<bool, Trouble> {
        self.write_firsts()?;
        if self.given != self.before {
            let given = (integer(self.given.newest), self.given.last_call);
            self.connection.prepare_cached(sql::SET_GIVEN)?.execute(given)?;
        }
        Ok(!self.moved_on)
    }

    /// Where a change begins.
    pub fn mark(&self, with_firsts: bool) -> Mark {
        let firsts = self.firsts.clone().filter(|_| with_firsts);
        let (changes, moves) = (self.connection.total_changes(), self.cache.tally.mark());
        Mark { given: self.given, firsts, changes, moves }
    }

    /// Whether nothing was written since.
    pub fn is_at(&self, mark: &Mark) -> bool {
        self.given == mark.given && self.connection.total_changes() == mark.changes
    }

    /// The database was rolled back to there.
    pub fn back_to(&mut self, mark: Mark) {
        (self.given, self.firsts) = (mark.given, mark.firsts);
        self.cache.clear();
        self.cache.tally.back_to(mark.moves);
    }

    /// A key for a new call: one more than the one before.
    pub fn next_call(&mut self) -> i64 {
        self.given.last_call = self.given.last_call.saturating_add(1);
        self.given.last_call
    }

    /// The key that comes next.
    pub fn coming_call(&self) -> i64 {
        self.given.last_call.saturating_add(1)
    }

    /// Writes down how a call was recorded. Gives the number of the change.
    pub fn note_first(&mut self, key: i64, call: &Call) -> Result<u64, Trouble> {
        self.cache.tally.recorded(call);
        self.given.newest += 1;
        let (number, state) = (self.given.newest, code(call.state));
        let fits = |firsts: &&mut Firsts| {
            firsts.call.saturating_add(firsts.count) == key
                && firsts.state == state
                && firsts.route == call.route
                && firsts.vendor == call.vendor
        };
        if let Some(firsts) = self.firsts.as_mut().filter(fits) {
            (firsts.number, firsts.count) = (number, firsts.count + 1);
            return Ok(number);
        }
        self.write_firsts()?;
        let (route, vendor) = (call.route.clone(), call.vendor.clone());
        self.firsts = Some(Firsts { number, count: 1, call: key, route, vendor, state });
        Ok(number)
    }

    /// Writes down a later revision of a call, whose document is in the buffer. Gives its
    /// number.
    pub fn note(&mut self, key: i64, before: u64, call: &Call) -> Result<u64, Trouble> {
        self.write_firsts()?;
        self.given.newest += 1;
        let document = std::str::from_utf8(&self.buffer).map_err(rusqlite::Error::from)?;
        self.statements.insert_change.of(self.connection, sql::INSERT_CHANGE)?.execute((
            integer(self.given.newest),
            1_i64,
            key,
            integer(before),
            &call.route,
            None::<&str>,
            code(call.state),
            document,
        ))?;
        Ok(self.given.newest)
    }

    /// First changes that were only gathered so far are rows from here on.
    pub fn write_firsts(&mut self) -> Result<(), Trouble> {
        let Some(firsts) = self.firsts.take() else { return Ok(()) };
        self.statements.insert_change.of(self.connection, sql::INSERT_CHANGE)?.execute((
            integer(firsts.number),
            firsts.count,
            firsts.call,
            0_i64,
            firsts.route,
            firsts.vendor,
            firsts.state,
            None::<&str>,
        ))?;
        Ok(())
    }

    /// A call: what was written last of it, or what is read.
    pub fn call(&mut self, id: CallId) -> Result<Option<Known>, Trouble> {
        if let Some(known) = self.cache.take(id) {
            return Ok(Some(known));
        }
        let statement = self.statements.call.of(self.connection, sql::CALL)?;
        let mut rows = statement.query([id.as_bytes()])?;
        rows.next()?.map(row::known).transpose()
    }

    /// Keeps a call that was written, or read, if it will be needed soon. Gives it back.
    pub fn keep(&mut self, known: Known) -> Call {
        if Cache::is_worth(&known.call) {
            self.cache.put(known.clone());
        }
        known.call
    }

    /// A call that was at this vendor in this state is counted where it is now.
    pub fn moved(&mut self, vendor: &str, state: CallState, call: &Call) {
        self.cache.tally.moved(vendor, state, call);
    }

    /// A call was changed past the session.
    pub fn forget(&mut self, id: CallId) {
        self.cache.take(id);
    }

    /// Calls were changed past the session.
    pub fn forget_all(&mut self) {
        self.cache.clear();
        self.moved_on = true;
    }

    /// A call with this key is written anew.
    pub fn changes(&mut self, key: i64) {
        self.moved_on |= key > self.before.last_call;
    }
}

/// Those that are run for each call.
#[derive(Default)]
pub struct Statements<'c> {
    /// Records a request.
    pub insert_request: Kept<'c>,
    /// Records a call.
    pub insert_call: Kept<'c>,
    /// Writes a call anew.
    pub update_call: Kept<'c>,
    /// The same, with what its vendor calls it.
    pub update_placed_call: Kept<'c>,
    /// Writes down a change.
    insert_change: Kept<'c>,
    /// Reads a call.
    call: Kept<'c>,
}

/// A statement that is found once.
#[derive(Default)]
pub struct Kept<'c>(Option<CachedStatement<'c>>);

impl<'c> Kept<'c> {
    /// The statement.
    pub fn of(
        &mut self,
        connection: &'c Connection,
        sql: &str,
    ) -> Result<&mut CachedStatement<'c>, rusqlite::Error> {
        match &mut self.0 {
            Some(statement) => Ok(statement),
            none => Ok(none.insert(connection.prepare_cached(sql)?)),
        }
    }
}

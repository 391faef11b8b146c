//! Opening the file: whose it is, how it is written, and which schema it has.

use std::{
    fs, io,
    path::{Path, absolute},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, TransactionBehavior, config::DbConfig};

use crate::ledger::LedgerError;

/// "Dial": in the file's header, so that another program's file is told apart.
const APPLICATION_ID: i32 = 0x4469_616C;

/// The schema, step by step; the number of steps done is in `user_version`. A step
/// that was released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_calls.sql"),
    include_str!("migrations/0002_changes.sql"),
    include_str!("migrations/0003_outbox_and_age.sql"),
    include_str!("migrations/0004_waiting.sql"),
    include_str!("migrations/0005_suppressions.sql"),
    include_str!("migrations/0006_dials.sql"),
    include_str!("migrations/0007_lean.sql"),
];

/// For how long another process may keep the file from us: a copy being made, a
/// person looking into it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the connection that writes, makes the file if there is none, and brings its
/// schema up to date.
pub fn file(path: &Path) -> Result<Connection, LedgerError> {
    let open = |reason: String| LedgerError::Open { path: path.display().to_string(), reason };
    create(path).map_err(open)?;
    let mut connection = connect(path).map_err(|error| open(explain(&error)))?;
    match connection.is_readonly(MAIN_DB) {
        Ok(false) => {}
        Ok(true) => return Err(open("it can only be read".to_owned())),
        Err(error) => return Err(open(explain(&error))),
    }
    prepare(&mut connection, |connection| {
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        Ok((mode != "wal").then(|| {
            "its file system can't hold a write-ahead log; a local disk is needed".to_owned()
        }))
    })
    .map_err(|unfit| unfit.at(path))?;
    Ok(connection)
}

/// Opens a ledger that is nowhere but in memory.
pub fn memory() -> Result<Connection, LedgerError> {
    let path = Path::new(":memory:");
    let mut connection = Connection::open_in_memory().map_err(|error| LedgerError::Open {
        path: path.display().to_string(),
        reason: explain(&error),
    })?;
    prepare(&mut connection, |_| Ok(None)).map_err(|unfit| unfit.at(path))?;
    Ok(connection)
}

/// Opens one more connection to a file that [`file()`] made ready, for reading only.
pub fn reader(path: &Path) -> Result<Connection, LedgerError> {
    let open = || -> Result<Connection, rusqlite::Error> {
        let connection = connect(path)?;
        settle(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    open().map_err(|error| Unfit::Sqlite(error).at(path))
}

/// Opens a connection for whoever looks at a ledger while another process may use it. Its schema
/// stays as it is.
pub fn looker(path: &Path) -> Result<Connection, LedgerError> {
    let open = || -> Result<Connection, Unfit> {
        let connection = connect(path)?;
        identify(&connection)?;
        Ok(connection)
    };
    open().map_err(|unfit| unfit.at(path))
}

/// The schema this version writes.
pub fn known_schema() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Makes an empty file if there is none.
// It holds people's numbers: nobody but its owner reads it. SQLite gives the log beside it
// the same mode.
pub fn create(path: &Path) -> Result<(), String> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.is_dir() {
                Err("it is a directory".to_owned())
            } else {
                Ok(())
            }
        }
        Err(error) => match path.parent() {
            Some(parent) if error.kind() == io::ErrorKind::NotFound => {
                Err(format!("there is no directory {}", parent.display()))
            }
            _ => Err(format!("it can't be created: {error}")),
        },
    }
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    // An absolute path is never taken for a "file:" address or a special name.
    let path = absolute(path).map_err(|_| rusqlite::Error::InvalidPath(path.to_owned()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Why a database is not, and can't be made, our ledger.
enum Unfit {
    Sqlite(rusqlite::Error),
    Because(String),
    Newer(u32),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Unfit {
    fn at(self, path: &Path) -> LedgerError {
        let reason = match self {
            Self::Newer(found) => return LedgerError::Newer { found, known: known_schema() },
            Self::Sqlite(error) => explain(&error),
            Self::Because(reason) => reason,
        };
        LedgerError::Open { path: path.display().to_string(), reason }
    }
}

/// Makes a ledger of an empty database, or brings an older one up to date. `journal`
/// runs once it is known to be ours, and may object.
fn prepare(
    connection: &mut Connection,
    journal: impl FnOnce(&Connection) -> Result<Option<String>, rusqlite::Error>,
) -> Result<(), Unfit> {
    identify(connection)?;
    if let Some(objection) = journal(connection)? {
        return Err(Unfit::Because(objection));
    }
    settle(connection)?;
    migrate(connection)
}

fn integer(connection: &Connection, pragma: &str) -> Result<i64, rusqlite::Error> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

/// How many steps of the schema are done in a database that is ours or empty.
fn identify(connection: &Connection) -> Result<usize, Unfit> {
    let version = integer(connection, "user_version")?;
    match integer(connection, "application_id")? {
        id if id == i64::from(APPLICATION_ID) => {}
        0 if version == 0 && is_empty(connection)? => {}
        _ => return Err(Unfit::Because("it is another program's database".to_owned())),
    }
    let done = usize::try_from(version)
        .map_err(|_| Unfit::Because(format!("its schema can't be {version}")))?;
    if done > MIGRATIONS.len() {
        return Err(Unfit::Newer(u32::try_from(done).unwrap_or(u32::MAX)));
    }
    Ok(done)
}

fn is_empty(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", (), |row| row.get(0))
}

/// What holds for every connection, and is not kept in the file.
fn settle(connection: &Connection) -> Result<(), rusqlite::Error> {
    // NORMAL syncs the log only when it is moved into the database: a power loss then
    // takes back calls that a vendor was already told to dial. FULL syncs with every
    // commit: 0.1 to 4 ms on a virtual disk against 0.01 (benches/ledger.rs), shared by
    // all changes that wait.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Otherwise a lookup is planned anew for each value it is given, which is a fifth of
    // what the writer does: SQLite compares values with the conditions of our indexes.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Room for every statement there is.
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // In KiB, when negative.
    connection.pragma_update(None, "cache_size", -16_384)?;
    // Pages of 4 KiB: moved into the database every 16 MiB, and cut back to 64 MiB
    // after a peak.
    connection.pragma_update(None, "wal_autocheckpoint", 4_096)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)
}

/// In one transaction, and looked at again within it: another process may have been
/// faster.
fn migrate(connection: &mut Connection) -> Result<(), Unfit> {
    if identify(connection)? == MIGRATIONS.len() {
        return Ok(());
    }
    // A table that is replaced is nobody's parent for a while. Outside of the transaction, or
    // it would be passed over.
    connection.pragma_update(None, "foreign_keys", false)?;
    let steps = take_steps(connection);
    connection.pragma_update(None, "foreign_keys", true)?;
    steps
}

fn take_steps(connection: &mut Connection) -> Result<(), Unfit> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = identify(&transaction)?;
    for step in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", known_schema())?;
    transaction.commit()?;
    Ok(())
}

/// Why SQLite does not open or read a file, for people.
pub fn explain(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "it is not an SQLite database".to_owned(),
        Some(ErrorCode::CannotOpen) => {
            format!("it, or the log beside it, can't be opened: {error}")
        }
        Some(ErrorCode::ReadOnly) => "it can only be read".to_owned(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process keeps it locked".to_owned()
        }
        _ => error.to_string(),
    }
}

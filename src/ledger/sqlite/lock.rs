//! One gateway to a file: two would hand over the same waiting calls.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use super::{address::Address, open};
use crate::ledger::LedgerError;

/// The right to run a gateway on a ledger file, until it is given back or dropped, or the
/// process ends, however it ends.
#[derive(Debug)]
pub struct Tenancy {
    /// None of a ledger in memory.
    locks: Option<Locks>,
}

#[derive(Debug)]
struct Locks {
    /// Beside the ledger, by its name. Locked as long as it is open.
    _beside: File,
    /// The ledger itself, whatever its name.
    file: file::Lock,
}

/// Why a file is not ours.
enum Refusal {
    Taken,
    Because(String),
}

impl Tenancy {
    /// Takes the ledger at an address for this process, and makes the file if there is none.
    /// One in memory is nobody else's anyway.
    ///
    /// # Errors
    /// When another gateway has it, by this or another name, or it can't be locked.
    pub fn take(url: &str) -> Result<Self, LedgerError> {
        let Address::File(path) = Address::parse(url)? else { return Ok(Self { locks: None }) };
        let locks = Locks::take(&path).map_err(|refusal| LedgerError::Open {
            path: path.display().to_string(),
            reason: match refusal {
                Refusal::Because(reason) => reason,
                Refusal::Taken => "another gateway uses it; wait until that one has ended, or \
                                   give this one a ledger of its own"
                    .to_owned(),
            },
        })?;
        Ok(Self { locks: Some(locks) })
    }

    /// Gives it back. Only once every connection to the file is closed
    /// ([`crate::ledger::Ledger::close`]).
    pub fn end(self) {
        if let Some(locks) = self.locks {
            locks.file.close();
        }
    }
}

impl Locks {
    fn take(path: &Path) -> Result<Self, Refusal> {
        open::create(path).map_err(Refusal::Because)?;
        // A link to it is the same ledger.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let beside = beside(&real)?;
        let file = file::Lock::take(&real)?;
        Ok(Self { _beside: beside, file })
    }
}

/// Locks a file of its own, which any system can.
fn beside(path: &Path) -> Result<File, Refusal> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let because = |what: &str, error: std::io::Error| {
        Refusal::Because(format!("its lock {} can't be {what}: {error}", name.display()))
    };
    let file = options.open(&name).map_err(|error| because("opened", error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Refusal::Taken),
        Err(TryLockError::Error(error)) => Err(because("had", error)),
    }
}

/// A lock on the database itself: another path to the same file has another lock beside it.
///
/// On Linux it does not meet the locks by which SQLite keeps its own connections apart. But
/// when a process closes a file, by any descriptor, all locks of that other kind go that it
/// has on it (fcntl(2)), and SQLite would not know. So no descriptor is closed while a
/// connection may be open, and the file is not opened at all while this process has it.
#[cfg(target_os = "linux")]
mod file {
    use std::{
        collections::BTreeSet,
        fs::{File, TryLockError},
        io,
        os::unix::fs::MetadataExt,
        path::Path,
        sync::{Mutex, MutexGuard, PoisonError},
    };

    use super::Refusal;

    /// What tells files apart, whatever their names: device and inode.
    type Identity = (u64, u64);

    /// The files that this process has locked.
    static OURS: Mutex<BTreeSet<Identity>> = Mutex::new(BTreeSet::new());

    fn ours() -> MutexGuard<'static, BTreeSet<Identity>> {
        OURS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[derive(Debug)]
    pub struct Lock {
        file: Option<File>,
        identity: Identity,
    }

    impl Lock {
        pub fn take(path: &Path) -> Result<Self, Refusal> {
            let failed =
                |error: io::Error| Refusal::Because(format!("it can't be locked: {error}"));
            let metadata = path.metadata().map_err(failed)?;
            let identity = (metadata.dev(), metadata.ino());
            let mut ours = ours();
            if ours.contains(&identity) {
                return Err(Refusal::Taken);
            }
            let file = File::open(path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Refusal::Taken),
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            ours.insert(identity);
            Ok(Self { file: Some(file), identity })
        }

        /// Once no connection is open.
        pub fn close(mut self) {
            drop(self.file.take());
        }
    }

    impl Drop for Lock {
        fn drop(&mut self) {
            if let Some(file) = self.file.take() {
                let _ = file.unlock();
                // Connections may still be open, as after a start that failed half-way. Such
                // a process ends soon.
                std::mem::forget(file);
            }
            ours().remove(&self.identity);
        }
    }
}

/// Elsewhere the two kinds of locks may meet, and SQLite would be locked out.
#[cfg(not(target_os = "linux"))]
mod file {
    use std::path::Path;

    use super::Refusal;

    #[derive(Debug)]
    pub struct Lock;

    impl Lock {
        pub fn take(_: &Path) -> Result<Self, Refusal> {
            Ok(Self)
        }

        pub fn close(self) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sqlite::SqliteLedger;

    fn url(path: &Path) -> String {
        format!("sqlite:{}", path.display())
    }

    fn refused(path: &Path) {
        let error = Tenancy::take(&url(path)).unwrap_err().to_string();
        assert!(error.contains("another gateway uses it"), "{error}");
    }

    #[test]
    fn a_file_has_one_gateway_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.db");
        let first = Tenancy::take(&url(&path)).unwrap();
        refused(&path);
        first.end();
        // Dropped it is free as well, as after a start that failed.
        drop(Tenancy::take(&url(&path)).unwrap());
        Tenancy::take(&url(&path)).unwrap().end();
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn by_any_name() {
        use crate::ledger::Ledger;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.db");
        let first = Tenancy::take(&url(&path)).unwrap();
        let ledger = SqliteLedger::open(&url(&path)).unwrap();
        let other = directory.path().join("other");
        std::fs::create_dir(&other).unwrap();
        let (hard, soft) = (other.join("hard.db"), other.join("soft.db"));
        std::fs::hard_link(&path, &hard).unwrap();
        std::os::unix::fs::symlink(&path, &soft).unwrap();
        // And one that leads to another name of it.
        let both = other.join("both.db");
        std::os::unix::fs::symlink(&hard, &both).unwrap();
        for name in [&hard, &soft, &both] {
            refused(name);
        }
        ledger.close().await;
        first.end();
        Tenancy::take(&url(&hard)).unwrap().end();
    }

    /// Another process, which does not know what this one has.
    #[cfg(target_os = "linux")]
    #[test]
    fn in_another_process() {
        let directory = tempfile::tempdir().unwrap();
        let (path, hard) = (directory.path().join("calls.db"), directory.path().join("hard.db"));
        let first = Tenancy::take(&url(&path)).unwrap();
        std::fs::hard_link(&path, &hard).unwrap();
        let other = File::open(&hard).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        first.end();
        other.try_lock().unwrap();
        refused(&path);
        drop(other);
        // Dropped, it is unlocked though its descriptor stays.
        drop(Tenancy::take(&url(&path)).unwrap());
        File::open(&hard).unwrap().try_lock().unwrap();
    }

    /// SQLite's own locks, by which one who closes the file sees that others have it open.
    #[cfg(target_os = "linux")]
    fn locks_on(path: &Path) -> usize {
        use std::os::unix::fs::MetadataExt;

        let inode = format!(":{} ", path.metadata().unwrap().ino());
        let own = format!(" {} ", std::process::id());
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks
            .lines()
            .filter(|l| l.contains("POSIX") && l.contains(&inode) && l.contains(&own))
            .count()
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_locks_the_file_leaves_sqlites_locks_alone() {
        use crate::ledger::Ledger;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("calls.db");
        let tenancy = Tenancy::take(&url(&path)).unwrap();
        let ledger = SqliteLedger::open(&url(&path)).unwrap();
        let held = locks_on(&path);
        assert!(held > 0);
        let other = directory.path().join("other.db");
        std::fs::hard_link(&path, &other).unwrap();
        refused(&other);
        refused(&path);
        assert_eq!(locks_on(&path), held, "after another one was refused");
        drop(tenancy);
        assert_eq!(locks_on(&path), held, "after it was given up too early");
        ledger.close().await;
        assert_eq!(locks_on(&path), 0);
    }

    #[test]
    fn memory_and_missing_directories() {
        let _one = Tenancy::take("sqlite::memory:").unwrap();
        Tenancy::take("sqlite::memory:").unwrap();
        let error = Tenancy::take("sqlite:/no/such/directory/calls.db").unwrap_err().to_string();
        assert!(error.contains("calls.db"), "{error}");
    }
}

//! One gateway to a file: two would hand over the same waiting calls.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::PathBuf,
};

use super::address::Address;
use crate::ledger::LedgerError;

/// The right to run a gateway on a ledger file, until it is dropped or the process
/// ends, however it ends.
#[derive(Debug)]
pub struct Tenancy {
    // Locked as long as it is open.
    _file: Option<File>,
}

impl Tenancy {
    /// Takes the ledger at an address for this process. One in memory is nobody else's
    /// anyway.
    ///
    /// # Errors
    /// When another process has it, or the lock file beside it can't be written.
    pub fn take(url: &str) -> Result<Self, LedgerError> {
        let Address::File(path) = Address::parse(url)? else { return Ok(Self { _file: None }) };
        let failed =
            |reason: String| LedgerError::Open { path: path.display().to_string(), reason };
        // A link to it is the same ledger.
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        let mut name = real.into_os_string();
        name.push(".lock");
        let name = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&name).map_err(|error| {
            failed(format!("its lock {} can't be opened: {error}", name.display()))
        })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(failed(
                "another gateway uses it; wait until that one has ended, or give this one a ledger of its own"
                    .to_owned(),
            )),
            Err(TryLockError::Error(error)) => {
                Err(failed(format!("its lock {} can't be had: {error}", name.display())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_gateway_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("calls.db").display());
        let first = Tenancy::take(&url).unwrap();
        let error = Tenancy::take(&url).unwrap_err().to_string();
        assert!(error.contains("another gateway uses it"), "{error}");
        drop(first);
        Tenancy::take(&url).unwrap();
    }

    #[test]
    fn memory_and_missing_directories() {
        let _one = Tenancy::take("sqlite::memory:").unwrap();
        Tenancy::take("sqlite::memory:").unwrap();
        let error = Tenancy::take("sqlite:/no/such/directory/calls.db").unwrap_err().to_string();
        assert!(error.contains("calls.db"), "{error}");
    }
}

//! Where the ledger is, as the configuration names it.

use std::path::PathBuf;

use crate::ledger::LedgerError;

/// Where the ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Nowhere but in memory: gone with the process.
    Memory,
    /// In a file.
    File(PathBuf),
}

impl Address {
    /// Reads `sqlite:PATH` or `sqlite::memory:`.
    ///
    /// # Errors
    /// [`LedgerError::Address`]. That includes what other programs take for an address
    /// (`sqlite://…`, `…?mode=rwc`): as a path it would name a file nobody means.
    pub fn parse(url: &str) -> Result<Self, LedgerError> {
        match url.strip_prefix("sqlite:") {
            Some(":memory:") => Ok(Self::Memory),
            Some(path)
                if !path.is_empty()
                    && !path.starts_with("//")
                    && !path.starts_with(':')
                    && !path.contains(['?', '\0']) =>
            {
                Ok(Self::File(path.into()))
            }
            _ => Err(LedgerError::Address(url.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_and_memory() {
        assert_eq!(Address::parse("sqlite::memory:").unwrap(), Address::Memory);
        for path in ["dialplane.db", "/var/lib/dialplane/ledger.db", "./a b.db", "../ü.db"] {
            let address = Address::parse(&format!("sqlite:{path}")).unwrap();
            assert_eq!(address, Address::File(path.into()));
        }
    }

    #[test]
    fn refuses_what_would_name_a_file_nobody_means() {
        let wrong = [
            "",
            "sqlite",
            "sqlite:",
            "dialplane.db",
            "SQLITE:dialplane.db",
            "sqlite://dialplane.db",
            "sqlite:///var/lib/ledger.db",
            "sqlite:ledger.db?mode=rwc",
            "sqlite::Memory:",
            "sqlite:a\0b",
            "postgres://localhost/ledger",
        ];
        for url in wrong {
            let error = Address::parse(url).unwrap_err();
            assert!(matches!(&error, LedgerError::Address(given) if given == url), "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_an_error(text in "(sqlite:)?.{0,16}") {
            let _ = Address::parse(&text);
        }
    }
}

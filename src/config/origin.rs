//! What the file says itself, and where the secrets come from: for people who want to know.

use std::{cell::RefCell, collections::BTreeSet, path::PathBuf};

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In the configuration.
    Text,
    /// In the environment variable of this name.
    Environment(String),
    /// In this file.
    File(PathBuf),
}

/// What was there when a configuration was read. Holds names, and no values.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    given: BTreeSet<String>,
    secrets: Vec<(String, Origin)>,
}

impl Origins {
    /// Whether the file has this key, or any in it: `vendors.phonon-in.rate`. Otherwise its
    /// default holds.
    pub fn is_given(&self, key: &str) -> bool {
        self.given.contains(key)
    }

    /// Each secret's key, and where it is; in the order in which they were read.
    pub fn secrets(&self) -> &[(String, Origin)] {
        &self.secrets
    }
}

/// The same while the file is read.
#[derive(Debug, Default)]
pub(super) struct Noted(RefCell<Origins>);

impl Noted {
    pub(super) fn given(&self, key: String) {
        self.0.borrow_mut().given.insert(key);
    }

    pub(super) fn secret(&self, key: String, origin: Origin) {
        self.0.borrow_mut().secrets.push((key, origin));
    }

    pub(super) fn take(&self) -> Origins {
        self.0.take()
    }
}

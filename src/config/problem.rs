//! What is wrong with a configuration, as an operator reads it.

use std::{
    fmt::{self, Display},
    io,
    path::{Path, PathBuf},
};

/// One mistake in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// The key: `vendors.phonon-in.flow_id`. Empty for a mistake in the syntax.
    pub key: String,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl Problem {
    pub(super) const MISSING: &str = "is missing; expected ";

    /// Whether it says that something is not there.
    pub(super) fn is_missing(&self) -> bool {
        self.message.starts_with(Self::MISSING)
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "line {}: {}", self.line, self.message)
        } else {
            write!(f, "line {}: {}: {}", self.line, self.key, self.message)
        }
    }
}

/// Every mistake in a configuration file, in its order. Prints how many there are, then
/// each in a line of its own, with the file and its line in the form editors follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(list: Vec<Problem>) -> Self {
        Self { file: PathBuf::from("dialplane.toml"), list }
    }

    pub(super) fn of_file(mut self, file: &Path) -> Self {
        file.clone_into(&mut self.file);
        self
    }

    /// In the order of the file; never empty.
    pub fn list(&self) -> &[Problem] {
        &self.list
    }
}

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, file) = (self.list.len(), self.file.display());
        write!(f, "{count} mistake{} in {file}", if count == 1 { "" } else { "s" })?;
        for Problem { line, key, message } in &self.list {
            write!(f, "\n{file}:{line}: ")?;
            if !key.is_empty() {
                write!(f, "{key}: ")?;
            }
            f.write_str(message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("can't read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file says something wrong.
    #[error(transparent)]
    Wrong(#[from] Problems),
}

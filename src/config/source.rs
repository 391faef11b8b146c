//! The text of a configuration, and what was found wrong with it.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use super::{Problem, Secret};

/// The file that is read, and what was found wrong with it so far.
pub struct Source<'a> {
    text: &'a str,
    pub(super) directory: PathBuf,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    problems: RefCell<Vec<Problem>>,
    secrets: RefCell<Vec<Secret>>,
}

impl<'a> Source<'a> {
    /// `directory` is where relative paths start; `environment` looks up variables.
    pub fn new(
        text: &'a str,
        directory: &Path,
        environment: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            text,
            directory: directory.to_owned(),
            environment,
            problems: RefCell::new(Vec::new()),
            secrets: RefCell::new(Vec::new()),
        }
    }

    /// Notes a mistake at a place in the text.
    pub fn note(&self, at: usize, key: impl Into<String>, message: impl Into<String>) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let problem = Problem { line, key: key.into(), message: message.into() };
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Remembers a credential that was read.
    pub(super) fn keep(&self, secret: &Secret) {
        self.secrets.borrow_mut().push(secret.clone());
    }

    /// The credentials read since this was asked last.
    pub(super) fn take_secrets(&self) -> Vec<Secret> {
        self.secrets.take()
    }

    /// How many mistakes were noted so far.
    pub fn count(&self) -> usize {
        self.problems.borrow().len()
    }

    /// Every mistake so far, in the order of the file.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems
    }
}

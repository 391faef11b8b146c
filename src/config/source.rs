//! The text of a configuration, and what was found wrong with it.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
};

use super::{
    Problem, Secret,
    digest::{self, Digest},
    origin::Noted,
};

/// The file that is read, and what was found wrong with it so far.
pub struct Source<'a> {
    text: &'a str,
    pub(super) directory: PathBuf,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    problems: RefCell<Vec<Problem>>,
    secrets: RefCell<Vec<Secret>>,
    /// Of what was read since this was asked last.
    contents: RefCell<Vec<Digest>>,
    files: RefCell<Vec<PathBuf>>,
    pub(super) origins: Noted,
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
            secrets: RefCell::default(),
            contents: RefCell::default(),
            files: RefCell::default(),
            origins: Noted::default(),
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

    /// Remembers a file that is named, and what is in it if it can be read.
    pub(super) fn keep_file(&self, path: PathBuf, bytes: Option<&[u8]>) {
        self.contents.borrow_mut().extend(bytes.map(digest::of_bytes));
        let mut files = self.files.borrow_mut();
        if !files.contains(&path) {
            files.push(path);
        }
    }

    /// What was in the files that were read since this was asked last.
    pub(super) fn take_contents(&self) -> Vec<Digest> {
        self.contents.take()
    }

    /// Every file that was named, whether it could be read or not.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().clone()
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

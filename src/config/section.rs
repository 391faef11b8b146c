//! A table of the configuration file, read key by key. Whatever is wrong is noted
//! with its line, and reading goes on: an operator sees every mistake at once.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt::{self, Display},
    ops::{Range, RangeInclusive},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use url::Url;

use super::Secret;

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

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "line {}: {}", self.line, self.message)
        } else {
            write!(f, "line {}: {}: {}", self.line, self.key, self.message)
        }
    }
}

/// The file that is read, and what was found wrong with it so far.
pub struct Source<'a> {
    text: &'a str,
    directory: PathBuf,
    environment: &'a dyn Fn(&str) -> Option<String>,
    problems: RefCell<Vec<Problem>>,
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

    /// Every mistake so far, in the order of the file.
    pub fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort();
        problems
    }
}

/// A table of the file. Keys that nobody asked for are mistakes: [`Section::finish`].
pub struct Section<'a> {
    source: &'a Source<'a>,
    path: String,
    at: usize,
    table: &'a DeTable<'a>,
    known: BTreeSet<&'static str>,
}

impl<'a> Section<'a> {
    /// The table at `path`, which starts at offset `at` of the text.
    pub fn new(
        source: &'a Source<'a>,
        path: impl Into<String>,
        at: usize,
        table: &'a DeTable<'a>,
    ) -> Self {
        Self { source, path: path.into(), at, table, known: BTreeSet::new() }
    }

    /// Where it stands: `vendors.phonon-in`.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn get(&mut self, key: &'static str) -> Option<(&'a DeValue<'a>, Range<usize>)> {
        self.known.insert(key);
        self.table.get(key).map(|value| (value.get_ref(), value.span()))
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the key is there and holds a text: for keys that take more than one type.
    pub fn is_string(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::String(_)))
    }

    /// Notes a mistake at a key, or at the section when the key is not there.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        let at = self.table.get(key).map_or(self.at, |value| value.span().start);
        self.source.note(at, self.key(key), message);
    }

    /// Notes that a key is missing.
    pub fn missing(&self, key: &str, expected: &str) {
        self.source.note(self.at, self.key(key), format!("is missing; expected {expected}"));
    }

    fn mismatch<T>(&self, key: &str, value: &DeValue<'_>, at: usize, expected: &str) -> Option<T> {
        let found = value.type_str();
        self.source.note(
            at,
            self.key(key),
            format!("is {} {found}; expected {expected}", article(found)),
        );
        None
    }

    /// A text. An empty one is a mistake.
    pub fn string(&mut self, key: &'static str) -> Option<String> {
        let (value, span) = self.get(key)?;
        match value {
            DeValue::String(text) if text.is_empty() => {
                self.source.note(span.start, self.key(key), "is empty; leave the key out instead");
                None
            }
            DeValue::String(text) => Some(text.to_string()),
            other => self.mismatch(key, other, span.start, "a string"),
        }
    }

    /// A text that has to be there; `expected` says what it is.
    pub fn required_string(&mut self, key: &'static str, expected: &str) -> Option<String> {
        if !self.has(key) {
            self.known.insert(key);
            self.missing(key, expected);
        }
        self.string(key)
    }

    /// A text that becomes something else.
    pub fn parsed<T>(&mut self, key: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.string(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(key, format!("{text:?}: {error}"));
                None
            }
        }
    }

    /// A credential: a string, `{ env = "NAME" }` or `{ file = "path" }`. Its text
    /// never gets into a message.
    pub fn secret(&mut self, key: &'static str) -> Option<Secret> {
        const EXPECTED: &str = "a string, { env = \"NAME\" } or { file = \"path\" }";
        let (value, span) = self.get(key)?;
        match value {
            DeValue::String(text) if !text.is_empty() => Some(Secret::new(text.to_string())),
            DeValue::String(_) => {
                self.source.note(
                    span.start,
                    self.key(key),
                    format!("is empty; expected {EXPECTED}"),
                );
                None
            }
            DeValue::Table(table) => {
                let mut section = Section::new(self.source, self.key(key), span.start, table);
                let (env, file) = (section.string("env"), section.string("file"));
                section.finish();
                let text = match (env, file) {
                    (Some(name), None) => {
                        let text = (self.source.environment)(&name).filter(|text| !text.is_empty());
                        if text.is_none() {
                            self.problem(
                                key,
                                format!("the environment variable {name} is not set"),
                            );
                        }
                        text
                    }
                    (None, Some(path)) => self
                        .read(key, &path)
                        .and_then(|bytes| {
                            let text = String::from_utf8(bytes).ok();
                            if text.is_none() {
                                self.problem(key, format!("the file {path} is not UTF-8 text"));
                            }
                            text
                        })
                        .map(|text| text.trim_end_matches(['\r', '\n']).to_owned()),
                    _ => {
                        self.problem(key, format!("expected {EXPECTED}"));
                        None
                    }
                }?;
                if text.is_empty() {
                    self.problem(key, "the secret is empty");
                    return None;
                }
                Some(Secret::new(text))
            }
            other => self.mismatch(key, other, span.start, EXPECTED),
        }
    }

    /// A credential that has to be there.
    pub fn required_secret(&mut self, key: &'static str) -> Option<Secret> {
        if !self.has(key) {
            self.known.insert(key);
            self.missing(key, "a string, { env = \"NAME\" } or { file = \"path\" }");
        }
        self.secret(key)
    }

    fn read(&self, key: &str, path: &str) -> Option<Vec<u8>> {
        let full = self.source.directory.join(path);
        match std::fs::read(&full) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.problem(key, format!("can't read {}: {error}", full.display()));
                None
            }
        }
    }

    /// The content of a file that the key names.
    pub fn file(&mut self, key: &'static str) -> Option<Vec<u8>> {
        let path = self.string(key)?;
        self.read(key, &path)
    }

    /// An http or https address without credentials, query and fragment.
    pub fn url(&mut self, key: &'static str) -> Option<Url> {
        let text = self.string(key)?;
        match check_url(&text) {
            Ok(url) => Some(url),
            Err(reason) => {
                self.problem(
                    key,
                    format!("{reason}; expected an address such as https://api.example.com"),
                );
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string(key)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
            self.problem(key, format!("is {text:?}; expected one of {}", words.join(", ")));
        }
        found
    }

    /// A whole number within a range.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let (value, span) = self.get(key)?;
        let DeValue::Integer(integer) = value else {
            return self.mismatch(key, value, span.start, &expected);
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| range.contains(n));
        if number.is_none() {
            self.problem(key, format!("is {}; expected {expected}", integer.as_str()));
        }
        number
    }

    /// Whether the key holds a table, for keys that take a word or a table.
    pub fn is_table(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_table())
    }

    /// Yes or no.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let (value, span) = self.get(key)?;
        match value {
            DeValue::Boolean(yes) => Some(*yes),
            other => self.mismatch(key, other, span.start, "true or false"),
        }
    }

    /// A length of time with its unit, within a range: `"250ms"`, `"5s"`, `"1m"`, `"2h"`.
    pub fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let text = self.string(key)?;
        let found = parse_duration(&text).filter(|d| range.contains(d));
        if found.is_none() {
            self.problem(
                key,
                format!(
                    "is {text:?}; expected a time with its unit from {} to {}, such as \"500ms\", \"30s\", \"1m\" or \"2h\"",
                    show_duration(*range.start()),
                    show_duration(*range.end()),
                ),
            );
        }
        found
    }

    /// A list of texts.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        let (value, span) = self.get(key)?;
        let DeValue::Array(items) = value else {
            return self.mismatch(key, value, span.start, "a list of strings");
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item.get_ref() {
                DeValue::String(text) if !text.is_empty() => texts.push(text.to_string()),
                other => {
                    let found = other.type_str();
                    self.source.note(
                        item.span().start,
                        self.key(key),
                        format!(
                            "holds {} {found}; expected strings that are not empty",
                            article(found)
                        ),
                    );
                    return None;
                }
            }
        }
        Some(texts)
    }

    /// A table within.
    pub fn section(&mut self, key: &'static str) -> Option<Section<'a>> {
        let (value, span) = self.get(key)?;
        match value {
            DeValue::Table(table) => {
                Some(Section::new(self.source, self.key(key), span.start, table))
            }
            other => self.mismatch(key, other, span.start, "a table"),
        }
    }

    /// Every table within, by its name: for sections whose keys the operator chooses.
    pub fn sections(&self) -> Vec<(String, Section<'a>)> {
        let mut found = Vec::with_capacity(self.table.len());
        for (name, value) in self.table {
            let path = self.key(name.get_ref());
            let at = name.span().start;
            match value.get_ref() {
                DeValue::Table(table) => {
                    found.push((
                        name.get_ref().to_string(),
                        Section::new(self.source, path, at, table),
                    ));
                }
                other => {
                    let kind = other.type_str();
                    self.source.note(
                        at,
                        path,
                        format!("is {} {kind}; expected a table", article(kind)),
                    );
                }
            }
        }
        found
    }

    /// Notes every key that nobody asked for.
    pub fn finish(self) {
        for name in self.table.keys() {
            let text: &str = name.get_ref();
            if self.known.contains(text) {
                continue;
            }
            let hint = nearest(text, &self.known);
            let message = match hint {
                Some(near) => format!("is not a key here; did you mean {near}?"),
                None => {
                    let known: Vec<_> = self.known.iter().copied().collect();
                    format!("is not a key here; known are {}", known.join(", "))
                }
            };
            self.source.note(Spanned::span(name).start, self.key(text), message);
        }
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is not an address ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("{text:?} is not an http or https address"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address holds credentials, which belong into keys of their own".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{text:?} has a query or a fragment"));
    }
    Ok(url)
}

/// `"250ms"`, `"5s"`, `"1m"`, `"2h"`, `"1d"`: a whole number and one unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let number: u64 = number.parse().ok()?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => None,
    }
}

/// A length of time as the configuration writes it.
pub fn show_duration(duration: Duration) -> String {
    let (ms, s) = (duration.as_millis(), duration.as_secs());
    if ms == 0 {
        "0s".to_owned()
    } else if !ms.is_multiple_of(1_000) {
        format!("{ms}ms")
    } else if s.is_multiple_of(86_400) {
        format!("{}d", s / 86_400)
    } else if s.is_multiple_of(3_600) {
        format!("{}h", s / 3_600)
    } else if s.is_multiple_of(60) {
        format!("{}m", s / 60)
    } else {
        format!("{s}s")
    }
}

fn nearest<'k>(text: &str, known: &BTreeSet<&'k str>) -> Option<&'k str> {
    known
        .iter()
        .copied()
        .map(|key| (distance(text, key), key))
        .min()
        .filter(|(steps, key)| *steps <= 2.max(key.len() / 3))
        .map(|(_, key)| key)
}

/// How many letters have to be added, dropped or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for ((y, diagonal), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(x != *y)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

//! A table of the configuration file, read key by key. Whatever is wrong is noted
//! with its line, and reading goes on: an operator sees every mistake at once.

use std::{
    collections::BTreeSet,
    fmt::Display,
    ops::{Range, RangeInclusive},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use url::Url;

use super::{
    Digest, Digests, Problem, Secret, Source, digest,
    duration::{parse_duration, show_duration},
    file,
    nearest::{did_you_mean, duration_hint, nearest},
};

mod secrets;

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
        // Quoted keys may hold anything; a mistake stays in one line.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let is_plain = !key.is_empty() && key.bytes().all(plain);
        let key = if is_plain { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    fn get(&mut self, key: &'static str) -> Option<(&'a DeValue<'a>, Range<usize>)> {
        self.known.insert(key);
        let value = self.table.get(key)?;
        self.source.origins.given(self.key(key));
        Some((value.get_ref(), value.span()))
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether the key is there and holds a text: for keys that take more than one type.
    pub fn is_string(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::String(_)))
    }

    /// What it is made of, with these credentials and files.
    pub(super) fn digests(&self, secrets: &[Secret], files: &[Digest]) -> Digests {
        digest::digests(self.table, secrets, files)
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Notes a mistake of the section itself.
    pub fn problem_here(&self, message: impl Into<String>) {
        self.source.note(self.at, self.path.clone(), message);
    }

    /// Notes a mistake at a key, or at the section when the key is not there.
    pub fn problem(&self, key: &str, message: impl Into<String>) {
        let at = self.table.get(key).map_or(self.at, |value| value.span().start);
        self.source.note(at, self.key(key), message);
    }

    /// Notes a mistake of a key at a place that [`Section::strings_at`] gave.
    pub fn problem_at(&self, at: usize, key: &str, message: impl Into<String>) {
        self.source.note(at, self.key(key), message);
    }

    /// Notes that a key is missing.
    pub fn missing(&self, key: &str, expected: &str) {
        self.source.note(self.at, self.key(key), format!("{}{expected}", Problem::MISSING));
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
        self.text(key, "leave the key out instead")
    }

    /// A text; `advice` is what to do about an empty one.
    fn text(&mut self, key: &'static str, advice: &str) -> Option<String> {
        let (value, span) = self.get(key)?;
        match value {
            DeValue::String(text) if text.is_empty() => {
                self.source.note(span.start, self.key(key), format!("is empty; {advice}"));
                None
            }
            DeValue::String(text) => Some(text.to_string()),
            // What it is may be nothing to repeat: somebody's number.
            other @ (DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
                self.mismatch(key, other, span.start, "a string, in quotes")
            }
            other => self.mismatch(key, other, span.start, "a string"),
        }
    }

    /// A text that has to be there; `expected` says what it is.
    pub fn required_string(&mut self, key: &'static str, expected: &str) -> Option<String> {
        if !self.has(key) {
            self.known.insert(key);
            self.missing(key, expected);
        }
        self.text(key, &format!("expected {expected}"))
    }

    /// A text that becomes something else. What is wrong with it is told without the
    /// text itself, which may be somebody's number.
    pub fn parsed<T>(&mut self, key: &'static str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.string(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(key, error.to_string());
                None
            }
        }
    }

    fn read(&self, key: &str, path: &str) -> Option<Vec<u8>> {
        let full = self.source.directory.join(path);
        match file::read(&full, file::LARGEST) {
            Ok(bytes) => {
                self.source.keep_file(full, Some(&bytes));
                Some(bytes)
            }
            Err(error) => {
                self.source.keep_file(full.clone(), None);
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

    /// The whole path of a file that the key names.
    pub fn path_of(&mut self, key: &'static str) -> Option<PathBuf> {
        Some(self.source.directory.join(self.string(key)?))
    }

    /// An http or https address without credentials, query and fragment.
    pub fn url(&mut self, key: &'static str) -> Option<Url> {
        let url = self.url_with_query(key)?;
        if url.query().is_some() {
            self.problem(key, format!("has a query; {EXPECTED_URL}"));
            return None;
        }
        Some(url)
    }

    /// An http or https address without credentials and fragment: one that somebody gave
    /// in full, which may have a query.
    pub fn url_with_query(&mut self, key: &'static str) -> Option<Url> {
        let text = self.text(key, EXPECTED_URL)?;
        match check_url(&text) {
            Ok(url) => Some(url),
            Err(reason) => {
                self.problem(key, format!("{reason}; {EXPECTED_URL}"));
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let expected = format!("expected one of {}", words.join(", "));
        let text = self.text(key, &expected)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words = choices.iter().map(|(word, _)| *word).collect();
            let near = nearest(&text, &words).filter(|_| text.len() > 2);
            let meant = did_you_mean(near.map(|word| format!("{word:?}")));
            self.problem(key, format!("is {text:?}; {expected}{meant}"));
        }
        found
    }

    /// A whole number within a range.
    pub fn integer(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let (value, span) = self.get(key)?;
        let DeValue::Integer(integer) = value else {
            let text = value.as_str().map(|text| text.replace(['_', ','], ""));
            let meant = text.and_then(|text| text.parse().ok()).filter(|n| range.contains(n));
            let expected = format!("{expected}{}", did_you_mean(meant));
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

    /// Whether the key holds a list, for keys that take a word or a list.
    pub fn is_list(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_array())
    }

    /// Whether the key holds a table, for keys that take a word or a table.
    pub fn is_table(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().is_table())
    }

    /// Yes or no.
    pub fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.boolean_or(key, "true or false")
    }

    /// The same for keys that take something else, too; `expected` says what.
    pub fn boolean_or(&mut self, key: &'static str, expected: &str) -> Option<bool> {
        let (value, span) = self.get(key)?;
        match value {
            DeValue::Boolean(yes) => Some(*yes),
            other => {
                let meant = match other.as_str().map(str::to_ascii_lowercase).as_deref() {
                    Some("true" | "yes" | "on" | "1") => Some(true),
                    Some("false" | "no" | "off" | "0") => Some(false),
                    _ => None,
                };
                let expected = format!("{expected}{}", did_you_mean(meant));
                self.mismatch(key, other, span.start, &expected)
            }
        }
    }

    /// A length of time with its unit, within a range: `"250ms"`, `"5s"`, `"1m"`, `"2h"`.
    pub fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let expected = format!(
            "a time with its unit from {} to {}, such as \"500ms\", \"30s\", \"1m\" or \"2h\"",
            show_duration(*range.start()),
            show_duration(*range.end()),
        );
        let (value, span) = self.get(key)?;
        let DeValue::String(text) = value else {
            let number = value.as_integer().map_or("", |number| number.as_str());
            let meant = duration_hint(number, |d| range.contains(&d));
            return self.mismatch(key, value, span.start, &format!("{expected}{meant}"));
        };
        let found = parse_duration(text).filter(|d| range.contains(d));
        if found.is_none() {
            let meant = duration_hint(text, |d| range.contains(&d));
            self.problem(key, format!("is {text:?}; expected {expected}{meant}"));
        }
        found
    }

    /// A list of texts.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<String>> {
        let texts = self.strings_at(key)?;
        Some(texts.into_iter().map(|(text, _)| text).collect())
    }

    /// A list of texts, each with its place for [`Section::problem_at`].
    pub fn strings_at(&mut self, key: &'static str) -> Option<Vec<(String, usize)>> {
        let (value, span) = self.get(key)?;
        let DeValue::Array(items) = value else {
            let meant = did_you_mean(value.as_str().map(|text| format!("[{text:?}]")));
            let expected = format!("a list of strings{meant}");
            return self.mismatch(key, value, span.start, &expected);
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            let at = item.span().start;
            match item.get_ref() {
                DeValue::String(text) if !text.is_empty() => texts.push((text.to_string(), at)),
                DeValue::String(_) => {
                    self.problem_at(at, key, "holds an empty string; leave it out instead");
                }
                other => {
                    let found = other.type_str();
                    let message = format!("holds {} {found}; expected strings", article(found));
                    self.problem_at(at, key, message);
                }
            }
        }
        (texts.len() == items.len()).then_some(texts)
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

/// What to write for an address.
const EXPECTED_URL: &str = "expected an address such as https://api.example.com";

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

// The text may hold a password or a token, also where it can't be parsed: it is not
// repeated.
fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not an address ({error})"))?;
    // What is mended by reading it is sent to some vendors as it was written.
    let is_plain =
        text.contains("://") && !text.contains([' ', '\\']) && !text.contains(char::is_control);
    let is_http = matches!(url.scheme(), "http" | "https");
    if !is_plain || !is_http || url.host_str().is_none_or(str::is_empty) {
        return Err("is not an http or https address".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds credentials, which belong into keys of their own".to_owned());
    }
    if url.fragment().is_some() {
        return Err("has a fragment".to_owned());
    }
    Ok(url)
}

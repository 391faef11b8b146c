//! `dialplane check`: every mistake of a configuration, or what the gateway will do by it.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use serde_json::{Value, json};

use super::{WRONG_INPUT, fail, say};
use crate::config::{Config, ConfigError, Origins, Problem};

mod listeners;
mod routes;
#[cfg(test)]
mod tests;
mod vendors;
mod warnings;

pub(super) use warnings::callback_warnings;

/// Where lines end, in characters.
const WIDTH: usize = 108;

/// Something that is explained.
#[derive(Debug)]
struct Topic {
    /// The section that it is about: `vendors.phonon-in`.
    about: String,
    /// What the gateway will do; a sentence each, or a few.
    lines: Vec<String>,
}

impl Topic {
    fn new(about: impl Into<String>) -> Self {
        Self { about: about.into(), lines: Vec::new() }
    }

    fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }
}

/// Something that is allowed, and probably not meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Warning {
    /// The key that it is about: `vendors.phonon-in.give_up_after`.
    key: String,
    message: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

pub(super) fn run(path: &Path, as_json: bool) -> ExitCode {
    let (config, origins) = match Config::load_with_origins(path) {
        Ok(read) => read,
        Err(error) if as_json => {
            print(&mistakes(path, &error));
            return ExitCode::from(WRONG_INPUT);
        }
        Err(error) => return fail(error, WRONG_INPUT),
    };
    let topics = topics(&config, &origins);
    let warnings = warnings::warnings(&config, &origins, path);
    if as_json {
        let about = |topic: &Topic| json!({ "about": topic.about, "lines": topic.lines });
        let warning = |w: &Warning| json!({ "key": w.key, "message": w.message });
        print(&json!({
            "file": path.display().to_string(),
            "right": true,
            "mistakes": [],
            "warnings": warnings.iter().map(warning).collect::<Vec<_>>(),
            "explanation": topics.iter().map(about).collect::<Vec<_>>(),
        }));
        return ExitCode::SUCCESS;
    }
    say(format!("{} is right. With it the gateway does this:", path.display()));
    for topic in &topics {
        say(format!("\n[{}]", topic.about));
        topic.lines.iter().for_each(|line| say(wrapped(line, "  - ")));
    }
    if !warnings.is_empty() {
        let count = warnings.len();
        say(format!("\n{count} warning{}:", if count == 1 { "" } else { "s" }));
        warnings.iter().for_each(|warning| say(wrapped(&warning.to_string(), "warning: ")));
    }
    ExitCode::SUCCESS
}

fn topics(config: &Config, origins: &Origins) -> Vec<Topic> {
    let mut topics = listeners::topics(config, origins);
    topics.extend(vendors::topics(config, origins));
    topics.extend(routes::topics(config));
    topics
}

fn mistakes(path: &Path, error: &ConfigError) -> Value {
    let file = path.display().to_string();
    let told = match error {
        ConfigError::Unreadable { .. } => {
            vec![json!({ "line": 0, "key": "", "message": error.to_string() })]
        }
        ConfigError::Wrong(problems) => {
            let told = |Problem { line, key, message }: &Problem| json!({ "line": line, "key": key, "message": message });
            problems.list().iter().map(told).collect()
        }
    };
    json!({ "file": file, "right": false, "mistakes": told, "warnings": [], "explanation": [] })
}

fn print(value: &Value) {
    // Whoever closed it does not want to read on.
    let _ = writeln!(io::stdout().lock(), "{value:#}");
}

/// In lines of a bearable length, those after the first below the text.
fn wrapped(text: &str, before: &str) -> String {
    let indent = if before.starts_with(' ') { " ".repeat(before.len()) } else { "  ".to_owned() };
    let (mut out, mut length) = (before.to_owned(), before.chars().count());
    for (i, word) in text.split(' ').enumerate() {
        let word_length = word.chars().count();
        if i > 0 && length + 1 + word_length > WIDTH {
            out.push('\n');
            out.push_str(&indent);
            length = indent.len();
        } else if i > 0 {
            out.push(' ');
            length += 1;
        }
        out.push_str(word);
        length += word_length;
    }
    out
}

/// Words as a sentence lists them.
fn listed<T: AsRef<str>>(words: &[T]) -> String {
    match words {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [some @ .., last] => {
            let some: Vec<_> = some.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", some.join(", "), last.as_ref())
        }
    }
}

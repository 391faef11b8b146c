//! Comments as Markdown: paragraphs stay, names of the API become links, and words in capitals
//! code.

use std::{collections::HashMap, fmt::Write as _};

use super::shape::Api;

/// Where each name leads.
pub struct Names(HashMap<String, Option<String>>);

/// What a heading is called in an address, for a heading of one word.
pub fn anchor(name: &str) -> String {
    format!("#{}", name.to_lowercase())
}

impl Names {
    pub fn of(api: &Api) -> Self {
        let mut names = HashMap::new();
        for service in &api.services {
            names.insert(service.name.clone(), Some(anchor(&service.name)));
            for rpc in &service.rpcs {
                names.insert(rpc.name.clone(), Some(anchor(&rpc.name)));
            }
        }
        for kind in &api.types {
            names.insert(kind.name.clone(), Some(anchor(&kind.name)));
            for member in &kind.members {
                let full = format!("{}.{}", kind.name, member.name);
                names.insert(full, Some(anchor(&kind.name)));
                // A field's name alone may be that of several messages.
                let link = kind.is_enum.then(|| anchor(&kind.name));
                names.insert(member.name.clone(), link);
            }
        }
        Self(names)
    }

    /// A comment's paragraphs.
    pub fn paragraphs(&self, comment: &str) -> Vec<String> {
        let mut paragraphs = vec![String::new()];
        for line in comment.lines().map(str::trim) {
            match paragraphs.last_mut() {
                Some(last) if !line.is_empty() => {
                    if !last.is_empty() {
                        last.push(' ');
                    }
                    last.push_str(line);
                }
                _ => paragraphs.push(String::new()),
            }
        }
        paragraphs.retain(|paragraph| !paragraph.is_empty());
        paragraphs.iter().map(|paragraph| self.paragraph(paragraph)).collect()
    }

    /// Where it lists codes, each in a line of its own.
    fn paragraph(&self, text: &str) -> String {
        let Some(list) = text.strip_prefix("Codes: ").filter(|list| list.contains(" (")) else {
            return self.marked(text);
        };
        let (mut items, mut depth) = (vec![String::new()], 0);
        for part in list.trim_end_matches('.').split_inclusive(", ") {
            items.last_mut().unwrap().push_str(part);
            depth += part.matches('(').count();
            depth -= part.matches(')').count();
            if depth == 0 {
                items.push(String::new());
            }
        }
        let items = items.iter().map(|item| item.trim_end_matches([',', ' ']));
        let items = items.filter(|item| !item.is_empty());
        let items: Vec<_> = items.map(|item| format!("\n- {}", self.marked(item))).collect();
        format!("Codes:\n{}", items.concat())
    }

    /// With what is between backquotes left as it is.
    fn marked(&self, text: &str) -> String {
        let mut out = String::new();
        for (i, part) in text.split('`').enumerate() {
            if i % 2 == 1 {
                let _ = write!(out, "`{part}`");
                continue;
            }
            let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            let mut rest = part;
            while let Some(start) = rest.find(is_of_name) {
                let (before, from) = rest.split_at(start);
                let end = from.find(|c| !is_of_name(c)).unwrap_or(from.len());
                let (word, after) = from.split_at(end);
                let name = word.trim_end_matches('.');
                out.push_str(&escaped(before));
                out.push_str(&self.word(name));
                out.push_str(&word[name.len()..]);
                rest = after;
            }
            out.push_str(&escaped(rest));
        }
        out
    }

    fn word(&self, word: &str) -> String {
        // A code or a reason, and not an abbreviation.
        let is_capitals = word.len() >= 7
            && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit());
        // "Call" and "Limits" are words as well, and those at the beginning of a sentence.
        let humps = word.bytes().filter(u8::is_ascii_uppercase).count();
        let is_name = word.contains(['_', '.']) || humps > 1;
        match self.0.get(word) {
            Some(Some(link)) if is_name => format!("[`{word}`]({link})"),
            Some(None) if is_name => format!("`{word}`"),
            _ if is_capitals || (humps > 1 && is_detail(word)) => format!("`{word}`"),
            _ if word.contains('_') && word.len() > 1 => format!("`{word}`"),
            _ => word.to_owned(),
        }
    }
}

/// The details of errors, which are Google's.
fn is_detail(word: &str) -> bool {
    ["ErrorInfo", "BadRequest", "QuotaFailure", "RetryInfo", "PreconditionFailure", "RequestInfo"]
        .contains(&word)
        || word == "ResourceInfo"
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '<' | '|' | '\\' | '[' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[test]
fn names_become_links_and_words_stay_words() {
    let names = Names::of(&Api::read());
    for (text, expected) in [
        (" Calls of one.\n Call them.\n", "Calls of one. Call them."),
        (
            " Until CALL_STATE_BUSY; see CallSpec.retry.",
            "Until [`CALL_STATE_BUSY`](#callstate); see [`CallSpec.retry`](#callspec).",
        ),
        ("A request_id, of CreateCalls", "A `request_id`, of [`CreateCalls`](#createcalls)"),
        (
            "INVALID_ARGUMENT with an ErrorInfo: `x_y`",
            "`INVALID_ARGUMENT` with an `ErrorInfo`: `x_y`",
        ),
        ("at most <1> of \"_\" and *", "at most \\<1> of \"_\" and \\*"),
        ("Codes: UNKNOWN (a, B), NOT_FOUND", "Codes:\n\n- `UNKNOWN` (a, B)\n- `NOT_FOUND`"),
    ] {
        assert_eq!(names.paragraphs(text), [expected]);
    }
    assert_eq!(names.paragraphs(" One.\n\n Two,\n three."), ["One.", "Two, three."]);
}

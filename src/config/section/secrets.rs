//! Credentials in a section: their text, or where it is.

use toml::de::DeValue;

use super::Section;
use crate::config::{Origin, Secret};

const EXPECTED: &str = "a string, { env = \"NAME\" } or { file = \"path\" }";

impl Section<'_> {
    /// A credential: a string, `{ env = "NAME" }` or `{ file = "path" }`. Its text
    /// never gets into a message.
    pub fn secret(&mut self, key: &'static str) -> Option<Secret> {
        let secret = self.read_secret(key)?;
        // Whoever has to show it sends no such thing: what is compared with it never fits.
        if secret.expose().contains(|c: char| c.is_control() || c == '\u{feff}') {
            self.problem(key, "holds a line end or another character that can't be seen");
            return None;
        }
        self.source.keep(&secret);
        Some(secret)
    }

    fn read_secret(&mut self, key: &'static str) -> Option<Secret> {
        let (value, span) = self.get(key)?;
        match value {
            DeValue::String(text) if !text.is_empty() => {
                self.source.origins.secret(self.key(key), Origin::Text);
                Some(Secret::new(text.to_string()))
            }
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
                        self.source
                            .origins
                            .secret(self.key(key), Origin::Environment(name.clone()));
                        let text = (self.source.environment)(&name).filter(|text| !text.is_empty());
                        if text.is_none() {
                            self.problem(key, unset(&name));
                        }
                        text.map(without_line_end)
                    }
                    (None, Some(path)) => self
                        .read_from(key, &path)
                        .and_then(|bytes| {
                            let text = String::from_utf8(bytes).ok();
                            if text.is_none() {
                                self.problem(key, format!("the file {path} is not UTF-8 text"));
                            }
                            text
                        })
                        .map(without_line_end),
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

    fn read_from(&self, key: &str, path: &str) -> Option<Vec<u8>> {
        let full = self.source.directory.join(path);
        self.source.origins.secret(self.key(key), Origin::File(full));
        self.read(key, path)
    }

    /// A credential that has to be there.
    pub fn required_secret(&mut self, key: &'static str) -> Option<Secret> {
        if !self.has(key) {
            self.known.insert(key);
            self.missing(key, EXPECTED);
        }
        self.secret(key)
    }
}

/// Many a tool ends what it writes with one.
fn without_line_end(text: String) -> String {
    text.trim_end_matches(['\r', '\n']).to_owned()
}

/// Of a variable that is not there. What is no usual name of one may be the secret, written in
/// the wrong place: it is not repeated.
fn unset(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name.bytes().next().is_some_and(|byte| plain(byte) && !byte.is_ascii_digit());
    if begins && name.len() < 64 && name.bytes().all(plain) {
        return format!("the environment variable {name} is not set");
    }
    "the environment variable that env names is not set; expected a name such as VENDOR_TOKEN, and \
     the secret in that variable"
        .to_owned()
}

//! What Knovvu posts to its `ResultDestination` (knovvu.md 5b): neither the method's form
//! nor its fields are documented, only that the `UniqueId` is sent. So ids are all that is
//! read, wherever they are, and each is a hint to ask.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::{
    config::Secret,
    http::Delivery,
    vendors::{
        Callback, Malformed, Placed, Push, Pushed, Told,
        callback::{Posted, news, posted, posted_id},
    },
};

/// Ids in one delivery.
const MAX_IDS: usize = 100;

/// The shortest token, in characters: it is all that protects the address.
const MIN_TOKEN_CHARS: usize = 16;

/// The last part of an address of this gateway's, `/callbacks/<vendor>/<token>`: the only
/// proof that the vendor can be given.
#[derive(Debug)]
pub struct PathToken {
    token: Secret,
    /// The vendor's, as the address has it.
    name: String,
}

/// An address of this gateway's that anybody could guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "ends without a token that is hard to guess; expected a token of at least {MIN_TOKEN_CHARS} \
     characters after /callbacks/<vendor>/"
)]
pub struct NoToken;

impl PathToken {
    /// The token of an address; none when it is not one of this gateway's, where results
    /// are somebody else's.
    ///
    /// # Errors
    /// When it is one of this gateway's, without a token or with one that is too short.
    pub fn of(address: &Url) -> Result<Option<Self>, NoToken> {
        let parts: Vec<_> = address.path().split('/').skip(1).collect();
        match parts.as_slice() {
            [.., "callbacks", name, token] => {
                let token = percent_decode_str(token).decode_utf8().map_err(|_| NoToken)?;
                let is_long = token.chars().count() >= MIN_TOKEN_CHARS;
                let name = (*name).to_owned();
                is_long.then(|| Some(Self { token: Secret::new(token), name })).ok_or(NoToken)
            }
            [.., "callbacks", _] | [.., "callbacks", _, _, ""] => Err(NoToken),
            _ => Ok(None),
        }
    }
}

impl Callback for PathToken {
    fn read(&self, delivery: &Delivery) -> Result<Push, Malformed> {
        let mut ids = Ids::default();
        for (name, text) in &delivery.query {
            ids.field(name, &Value::from(text.as_str()))?;
        }
        match posted(delivery) {
            // As it is written: not every id of digits is the number it looks like.
            Posted::Json(Value::Number(_)) => ids.lines(&delivery.body)?,
            Posted::Json(value) => ids.body(&value)?,
            // A form may be called plain text.
            Posted::Form(_) | Posted::Other => ids.form_or_lines(&delivery.body)?,
            // The vendor only tries the address, unless the query has something.
            Posted::Nothing if ids.0.is_empty() => return Ok(Push::News(Vec::new())),
            Posted::Nothing => {}
        }
        let piece = |id: String| {
            let said = json!({ "UniqueId": id });
            Pushed { vendor_call_id: Some(id), call_id: None, said, keep: true }
        };
        news(ids.0.into_iter().map(piece).collect())
    }

    fn is_authentic(&self, delivery: &Delivery, _push: Option<&Push>) -> bool {
        delivery.token.as_deref().is_some_and(|token| self.token.is(token))
    }

    fn challenge(&self) -> Option<&'static str> {
        None
    }

    fn posts_to(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn told(&self, _said: &Value, _call: &Placed<'_>) -> Told {
        Told::Ask
    }
}

/// A name without case, "-" and "_".
fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

fn is_known(name: &str) -> bool {
    matches!(plain(name).as_str(), "uniqueid" | "uniqueids" | "callresults")
}

/// What was found, each once.
#[derive(Default)]
struct Ids(Vec<String>);

impl Ids {
    /// JSON that is the whole body: an object, several, or the id itself.
    fn body(&mut self, value: &Value) -> Result<(), Malformed> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.item(item)),
            value => self.item(value),
        }
    }

    fn item(&mut self, value: &Value) -> Result<(), Malformed> {
        match value {
            Value::Object(fields) => {
                fields.iter().try_for_each(|(name, value)| self.field(name, value))
            }
            value => self.id(value),
        }
    }

    fn field(&mut self, name: &str, value: &Value) -> Result<(), Malformed> {
        match plain(name).as_str() {
            "uniqueid" => self.id(value),
            "uniqueids" => match unfolded(value) {
                Value::Array(items) => items.iter().try_for_each(|item| self.id(item)),
                value => self.id(&value),
            },
            "callresults" => match unfolded(value) {
                Value::Array(rows) => rows.iter().try_for_each(|row| self.row(row)),
                row => self.row(&row),
            },
            _ => Ok(()),
        }
    }

    fn row(&mut self, row: &Value) -> Result<(), Malformed> {
        let fields = row.as_object().into_iter().flatten();
        let mut ids = fields.filter(|(name, _)| plain(name) == "uniqueid");
        ids.try_for_each(|(_, id)| self.id(id))
    }

    fn form_or_lines(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let mut fields = form_urlencoded::parse(body).filter(|(name, _)| is_known(name)).peekable();
        if fields.peek().is_none() {
            return self.lines(body);
        }
        fields.try_for_each(|(name, text)| self.field(&name, &Value::from(text)))
    }

    /// Plain text: an id in each line, and nothing else.
    fn lines(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let text = std::str::from_utf8(body).map_err(|_| Malformed("is no text"))?;
        let is_id = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if !line.chars().all(is_id) {
                return Err(Malformed("is no form that is known"));
            }
            self.add(line.to_owned())?;
        }
        Ok(())
    }

    /// A text or a number (knovvu.md 6.2); anything else is none.
    fn id(&mut self, value: &Value) -> Result<(), Malformed> {
        match value {
            Value::String(text) if !text.trim().is_empty() => self.add(text.trim().to_owned()),
            Value::Number(number) => self.add(number.to_string()),
            _ => Ok(()),
        }
    }

    fn add(&mut self, id: String) -> Result<(), Malformed> {
        let id = posted_id(id)?;
        if self.0.contains(&id) {
            return Ok(());
        }
        if self.0.len() >= MAX_IDS {
            return Err(Malformed("names more calls than one delivery may"));
        }
        self.0.push(id);
        Ok(())
    }
}

/// A list that came as its text, as in a form.
fn unfolded(value: &Value) -> Value {
    let text = value.as_str().map(str::trim_start).filter(|text| text.starts_with(['[', '{']));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| value.clone())
}

#[cfg(test)]
#[path = "callback/tests.rs"]
mod tests;

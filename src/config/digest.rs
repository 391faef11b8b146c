//! Whether a vendor is configured as it was before, credentials and files included.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::digest::{Context, SHA256};
use toml::de::{DeTable, DeValue};

use super::Secret;

/// Tells one configuration from another. Credentials go into it, so it is never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a vendor's section is made of, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// All of it.
    pub whole: Digest,
    /// Without its limits: what it is sent, how, and with which credentials.
    pub access: Digest,
    /// Where it is, as far as the section says so.
    pub address: Digest,
}

impl Digests {
    /// Of what no section is.
    pub(super) fn of_nothing() -> Self {
        let none = of_bytes(&[]);
        Self { whole: none, access: none, address: none }
    }
}

/// The keys of a section that say where its vendor is.
const ADDRESS: [&str; 6] = ["kind", "base_url", "path", "product", "lane", "project"];
/// Those that limit what it gets, and are nothing to what it gets.
const LIMITS: [&str; 6] =
    ["rate", "max_in_flight", "poll_interval", "give_up_after", "breaker", "batch"];

/// Of a section, with the credentials and the digests of the files that it names, each in the
/// order in which they were read.
pub(super) fn digests(table: &DeTable<'_>, secrets: &[Secret], files: &[Digest]) -> Digests {
    let of = |is_meant: &dyn Fn(&str) -> bool, all: bool| {
        let mut context = Context::new(&SHA256);
        add_table(&mut context, table, is_meant);
        if all {
            secrets.iter().for_each(|secret| add(&mut context, "secret", secret.expose()));
            files.iter().for_each(|file| context.update(&file.0));
        }
        finished(context)
    };
    Digests {
        whole: of(&|_| true, true),
        access: of(&|key| !LIMITS.contains(&key), true),
        address: of(&|key| ADDRESS.contains(&key), false),
    }
}

/// Of bytes.
pub(super) fn of_bytes(bytes: &[u8]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    finished(context)
}

fn finished(context: Context) -> Digest {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Digest(digest)
}

/// With its length, so that nothing runs into its neighbour.
fn add(context: &mut Context, what: &str, text: &str) {
    context.update(what.as_bytes());
    context.update(&text.len().to_le_bytes());
    context.update(text.as_bytes());
}

fn add_table(context: &mut Context, table: &DeTable<'_>, is_meant: &dyn Fn(&str) -> bool) {
    let sorted: BTreeMap<&str, &DeValue<'_>> =
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), value.get_ref())).collect();
    let meant: Vec<_> = sorted.into_iter().filter(|(key, _)| is_meant(key)).collect();
    add(context, "table", &meant.len().to_string());
    for (key, value) in meant {
        add(context, "key", key);
        add_value(context, value);
    }
}

fn add_value(context: &mut Context, value: &DeValue<'_>) {
    match value {
        DeValue::String(text) => add(context, "string", text),
        DeValue::Integer(number) => add(context, &number.radix().to_string(), number.as_str()),
        DeValue::Float(number) => add(context, "float", number.as_str()),
        DeValue::Boolean(yes) => add(context, "boolean", if *yes { "true" } else { "false" }),
        DeValue::Datetime(time) => add(context, "time", &time.to_string()),
        DeValue::Array(values) => {
            add(context, "array", &values.len().to_string());
            values.iter().for_each(|value| add_value(context, value.get_ref()));
        }
        DeValue::Table(table) => add_table(context, table, &|_| true),
    }
}

//! `[callers.NAME]`: who may use the API, and how they prove who they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use aws_lc_rs::digest::{SHA256, digest};

use super::{
    Section,
    nearest::{did_you_mean, nearest},
    parse::check_name,
};

/// The shortest token: shorter ones can be guessed.
const SHORTEST_TOKEN: usize = 16;
/// The longest: what fits into a header with room to spare.
const LONGEST_TOKEN: usize = 1_024;

/// Somebody who may use the API.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// 1 to 63 letters, digits, "-" and "_". It may be logged.
    pub name: String,
    /// The SHA-256 of the token that has to come with each RPC.
    pub token: Option<[u8; 32]>,
    /// A name that the client's verified certificate has to have.
    pub certificate: Option<String>,
    /// The routes that may be used; none means all.
    pub routes: Option<BTreeSet<String>>,
    /// Whether the do-not-call list may be used.
    pub suppressions: bool,
}

impl Caller {
    /// What a token is compared by.
    pub fn digest_of(token: &[u8]) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token).as_ref());
        bytes
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("name", &self.name)
            .field("token", &self.token.map(|_| "***"))
            .field("certificate", &self.certificate.as_ref().map(|_| "***"))
            .field("routes", &self.routes)
            .field("suppressions", &self.suppressions)
            .finish()
    }
}

/// Reads the sections; `routes` are those that there are, `knows_clients` whether clients have
/// to show a certificate.
pub(super) fn read(
    section: Option<Section<'_>>,
    routes: &BTreeSet<&str>,
    knows_clients: bool,
) -> BTreeMap<String, Caller> {
    let mut callers: BTreeMap<String, Caller> = BTreeMap::new();
    // It looks as if somebody were known, and anybody would be let in.
    if let Some(section) = section.as_ref().filter(|section| section.is_empty()) {
        section.problem_here("is empty; expected [callers.NAME] sections, or leave it out");
    }
    for (name, mut section) in section.iter().flat_map(Section::sections) {
        check_name(&section, &name);
        let caller = caller(&name, &mut section, routes, knows_clients);
        let twin = callers.values().find(|other| {
            (&other.token, &other.certificate) == (&caller.token, &caller.certificate)
        });
        let proves = caller.token.is_some() || caller.certificate.is_some();
        if let Some(twin) = twin.filter(|_| proves) {
            let key = if caller.token.is_some() { "token" } else { "certificate" };
            section.problem(
                key,
                format!("is that of callers.{} as well; expected one of its own", twin.name),
            );
        }
        section.finish();
        callers.insert(name, caller);
    }
    callers
}

fn caller(
    name: &str,
    section: &mut Section<'_>,
    known: &BTreeSet<&str>,
    knows_clients: bool,
) -> Caller {
    let token = section.secret("token").and_then(|secret| {
        let token = secret.expose();
        // As a header carries it, and without what is trimmed there.
        let plain = token.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || !(SHORTEST_TOKEN..=LONGEST_TOKEN).contains(&token.len()) {
            section.problem(
                "token",
                format!(
                    "is no token; expected {SHORTEST_TOKEN} to {LONGEST_TOKEN} printable ASCII \
                     characters without spaces, which nobody can guess"
                ),
            );
            return None;
        }
        Some(Caller::digest_of(token.as_bytes()))
    });
    let certificate = section.string("certificate");
    if certificate.is_some() && !knows_clients {
        section.problem(
            "certificate",
            "can't be made sure of; expected client_ca in server.tls, which verifies certificates",
        );
    }
    if !section.has("token") && !section.has("certificate") {
        section.missing("token", "token, certificate or both: how the caller proves who it is");
    }
    let routes = section.strings_at("routes").map(|routes| {
        if routes.is_empty() {
            section.problem("routes", "is empty; expected routes, or leave the key out for all");
        }
        let mut allowed = BTreeSet::new();
        for (route, at) in routes {
            if !known.contains(route.as_str()) {
                let meant = did_you_mean(nearest(&route, known).map(|near| format!("{near:?}")));
                section.problem_at(at, "routes", format!("there is no route {route:?}{meant}"));
            }
            allowed.insert(route);
        }
        allowed
    });
    let limited = section.has("routes");
    let suppressions = section.boolean("suppressions").unwrap_or(!limited);
    Caller { name: name.to_owned(), token, certificate, routes, suppressions }
}

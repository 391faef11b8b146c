//! The simulated vendors without a port: for a simulation that has its own time and
//! its own line to them.

use std::{fmt, io, net::IpAddr};

use axum::{body::Bytes, http::Method};
use jiff::Timestamp;

use super::{
    Dialed, Exchange, Options, System, knovvu, mobtexting, phonon,
    push::{Letter, Overtaking, letter},
    traffic::{Answer, Incoming, Reply},
    world::World,
};

/// The simulated vendors, asked directly. Nothing happens in them but what they are asked
/// for: the time is the caller's, and so is the posting of results.
pub struct Vendors {
    world: World,
}

/// A request on its way to them.
pub struct Arrival<'a> {
    /// When it comes.
    pub now: Timestamp,
    /// Where from.
    pub peer: IpAddr,
    /// `POST`, `GET`.
    pub method: &'a str,
    /// The path, beginning with the system's name: `/phonon/results/v2`.
    pub path: &'a str,
    /// What is behind the question mark; empty when there is none.
    pub query: &'a str,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// What becomes of a request.
#[derive(Clone, PartialEq, Eq)]
pub enum Reaction {
    /// An HTTP answer.
    Reply {
        /// Its status.
        status: u16,
        /// Names in lower case.
        headers: Vec<(&'static str, String)>,
        /// Its body.
        body: Vec<u8>,
    },
    /// None is ever sent: the connection stays open.
    Hold,
    /// None is sent: the connection is reset.
    Reset,
}

/// A result that a vendor wants to post now.
pub struct Post(Letter);

impl Vendors {
    /// Vendors without calls. The same seed makes the same ids.
    ///
    /// # Errors
    /// When the private key can't be read.
    pub fn new(options: Options, seed: u64) -> io::Result<Self> {
        let mut bytes = [0; 16];
        for (byte, seed) in bytes.iter_mut().zip(seed.to_be_bytes()) {
            *byte = seed;
        }
        Ok(Self { world: World::seeded(options, bytes)? })
    }

    /// Has the vendor a request is for deal with it: at once, whether or not anybody
    /// reads the answer.
    pub fn answer(&self, arrival: Arrival<'_>) -> Reaction {
        let incoming = Incoming {
            now: arrival.now,
            peer: arrival.peer,
            method: Method::from_bytes(arrival.method.as_bytes()).unwrap_or_default(),
            path: arrival.path.to_owned(),
            query: arrival.query.to_owned(),
            headers: arrival.headers,
            body: Some(Bytes::from(arrival.body)),
            overtaking: Overtaking::default(),
        };
        match attend(&self.world, &incoming).1 {
            Answer::Reply(Reply { status, headers, body }) => {
                Reaction::Reply { status, headers, body }
            }
            Answer::Hold => Reaction::Hold,
            Answer::Reset => Reaction::Reset,
        }
    }

    /// The calls taken, oldest first.
    pub fn dialed(&self) -> Vec<Dialed> {
        self.world.dialed()
    }

    /// When the next result is to be posted. Past if that was before.
    pub fn next_post(&self) -> Option<Timestamp> {
        self.world.pushes.next_due()
    }

    /// A result that is to be posted by now, each once: posting it, also again, is the
    /// caller's business.
    pub fn take_post(&self, now: Timestamp) -> Option<Post> {
        let (webhooks, _) = self.world.pushes.settings();
        std::iter::from_fn(|| self.world.pushes.take(now))
            .find_map(|job| letter(&webhooks, &job))
            .map(Post)
    }

    /// Makes every token that Knovvu's identity server issued worthless.
    pub fn revoke_tokens(&self) {
        self.world.revoke_tokens();
    }
}

impl Post {
    /// Who posts it.
    pub fn system(&self) -> System {
        self.0.system
    }

    /// Where to.
    pub fn url(&self) -> &str {
        self.0.url.as_str()
    }

    /// The `Authorization` header.
    pub fn authorization(&self) -> Option<&str> {
        self.0.authorization.as_deref()
    }

    /// The media type of the body.
    pub fn content_type(&self) -> &'static str {
        self.0.content_type
    }

    /// The body.
    pub fn body(&self) -> &str {
        &self.0.body
    }

    /// Whether the vendor posts it again after this HTTP status; none when nobody was
    /// there.
    pub fn is_repeated_after(&self, status: Option<u16>) -> bool {
        self.0.is_repeated_after(status.into())
    }
}

/// Notes a request, lets the system it is for answer, and gives the number of the note.
pub(super) fn attend(world: &World, incoming: &Incoming) -> (u64, Answer) {
    let (first, rest) = split(&incoming.path);
    let system = system_named(first);
    let number = world.note(exchange(incoming, system));
    let answer = match system {
        System::Phonon => phonon::answer(world, incoming, rest),
        System::PhononBulk => phonon::answer_bulk(world, incoming, rest),
        System::MobTexting => mobtexting::answer(world, incoming, rest),
        System::Knovvu => knovvu::answer(world, incoming, rest),
        System::KnovvuIdentity => knovvu::answer_identity(world, incoming, rest).into(),
        System::Nowhere => Reply::text(404, "no simulated vendor is here").into(),
    };
    (number, answer)
}

/// `/phonon/results/v2` is `phonon` and `/results/v2`.
pub(super) fn split(path: &str) -> (&str, &str) {
    let path = path.trim_start_matches('/');
    path.find('/').and_then(|slash| path.split_at_checked(slash)).unwrap_or((path, ""))
}

fn system_named(name: &str) -> System {
    let systems = [
        System::Phonon,
        System::PhononBulk,
        System::MobTexting,
        System::Knovvu,
        System::KnovvuIdentity,
    ];
    systems.into_iter().find(|system| system.name() == name).unwrap_or(System::Nowhere)
}

fn exchange(incoming: &Incoming, system: System) -> Exchange {
    let mut path = incoming.path.clone();
    if !incoming.query.is_empty() {
        path.push('?');
        path.push_str(&incoming.query);
    }
    let body = incoming.body.as_deref().unwrap_or_default();
    Exchange {
        time: incoming.now,
        system,
        method: incoming.method.to_string(),
        path,
        headers: incoming.headers.clone(),
        body: String::from_utf8_lossy(body).into_owned(),
        status: None,
    }
}

// Both hold numbers and credentials as they are sent.
impl fmt::Debug for Arrival<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").field("now", &self.now).finish_non_exhaustive()
    }
}

impl fmt::Debug for Reaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply { status, .. } => write!(f, "Reply({status})"),
            Self::Hold => f.write_str("Hold"),
            Self::Reset => f.write_str("Reset"),
        }
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").field("system", &self.system()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Vendors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vendors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_of_the_path_names_the_system() {
        assert_eq!(split("/phonon/results/v2"), ("phonon", "/results/v2"));
        assert_eq!(split("/phonon-bulk"), ("phonon-bulk", ""));
        assert_eq!(split("/"), ("", ""));
        assert_eq!(system_named("phonon-bulk"), System::PhononBulk);
        assert_eq!(system_named(""), System::Nowhere);
        assert_eq!(system_named("nowhere"), System::Nowhere);
    }

    #[test]
    fn the_same_seed_makes_the_same_world() {
        let token = |seed| {
            let vendors = Vendors::new(Options::default(), seed).unwrap();
            let body = "grant_type=client_credentials&client_id=a&client_secret=b&scope=\
                        orchestrator_external";
            let form = "application/x-www-form-urlencoded";
            vendors.answer(Arrival {
                now: Timestamp::UNIX_EPOCH,
                peer: [127, 0, 0, 1].into(),
                method: "POST",
                path: "/knovvu-identity/connect/token",
                query: "",
                headers: vec![("content-type".to_owned(), form.to_owned())],
                body: body.into(),
            })
        };
        assert!(matches!(token(1), Reaction::Reply { status: 200, .. }));
        assert!(token(1) == token(1) && token(1) != token(2));
    }
}

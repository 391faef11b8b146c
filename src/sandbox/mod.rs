//! Simulated vendors: Phonon, MobTexting and Knovvu on one loopback port, each with
//! its own wire format and its own rules. Nobody's phone rings.
//!
//! What happens to a call is chosen by the last two digits of its first number (see
//! `docs/sandbox.md`), and every call really taken is in the dial log, which is the
//! truth that "never dialled twice" is measured against.
//!
//! Nothing here comes from the adapters, the HTTP edge or the domain: the vendors'
//! facts were read twice, and the two readings check each other.
//!
//! A vendor's answer is a plain function of a request ([`traffic`]); only [`server`]
//! and [`push`] are asynchronous, and [`Vendors`] does without both. Every call begins in [`world::World::dial`] and knows
//! then when it will be over ([`life`]): results by push are started there.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::{sync::watch, task::JoinHandle};

mod control;
mod fate;
mod india;
mod journal;
mod knovvu;
mod life;
mod listener;
mod mobtexting;
mod phonon;
mod push;
mod server;
mod traffic;
mod vendors;
mod world;

use phonon::Key;
use world::World;

pub use push::{
    HandshakeError, MobTextingBody, MobTextingWebhook, PhononBody, PhononWebhook, Posted, Pushing,
    Webhooks,
};
pub use vendors::{Arrival, Post, Reaction, Vendors};

/// How the simulated vendors behave. The default takes any free loopback port, lets
/// calls end at once and puts up no limit that would depend on the time of day.
#[derive(Clone)]
pub struct Options {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// How long calls take.
    pub pace: Pace,
    /// Addresses Phonon takes requests from; none means any.
    pub phonon_whitelist: Option<Vec<IpAddr>>,
    /// Numbers, digits only, that Phonon flows in testing (`"api-version": "TEST"`)
    /// may call.
    pub phonon_test_numbers: Vec<String>,
    /// Phonon's real-time limit in calls a minute (500 in reality); none switches it
    /// off.
    pub rate_limit: Option<u32>,
    /// The private half of Phonon's encryption key, PKCS#8 in PEM. One of 2048 bits is
    /// made when first needed if there is none.
    pub phonon_private_key_pem: Option<String>,
    /// Which generation of answers MobTexting gives.
    pub mobtexting_answers: AnswerForm,
    /// MobTexting's limit of GET requests a minute.
    pub mobtexting_reads_per_minute: u32,
    /// How Knovvu spells a call's state.
    pub knovvu_states: Spelling,
    /// Where results are pushed to.
    pub webhooks: Webhooks,
    /// How results are pushed.
    pub pushing: Pushing,
    /// How many exchanges, calls and pushes are remembered, the oldest going first; and
    /// how many pushes may wait, the last ones going first.
    pub keep: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            pace: Pace::Instant,
            phonon_whitelist: None,
            phonon_test_numbers: vec!["919900000000".to_owned()],
            rate_limit: None,
            phonon_private_key_pem: None,
            mobtexting_answers: AnswerForm::Newest,
            mobtexting_reads_per_minute: 1000,
            knovvu_states: Spelling::Spaced,
            webhooks: Webhooks::default(),
            pushing: Pushing::default(),
            keep: 100_000,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("listen", &self.listen)
            .field("pace", &self.pace)
            .field("rate_limit", &self.rate_limit)
            .finish_non_exhaustive()
    }
}

/// How long a call takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pace {
    /// Over as soon as it is taken (or as its start time comes): the first question
    /// gets the result. Its times still tell of ringing and talking, so they lie up to
    /// a few seconds ahead.
    #[default]
    Instant,
    /// A few hundred milliseconds until it rings and one to four seconds until it is
    /// over, the same for the same number.
    Lifelike,
}

/// The generations of MobTexting's answers (`mobtexting.md 3` and `5a`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AnswerForm {
    /// From 10 July 2024.
    #[default]
    Newest,
    /// Until then: other field names, ids with a `:1` at the end.
    Older,
}

/// The spellings of Knovvu's states, both of which its page allows (`knovvu.md 5a`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Spelling {
    /// `Invalid Number`
    #[default]
    Spaced,
    /// `InvalidNumber`
    Joined,
}

/// A simulated system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum System {
    /// Phonon real time, its dialer, their encrypted forms, and its results.
    Phonon,
    /// Phonon's bulk host.
    PhononBulk,
    /// MobTexting.
    MobTexting,
    /// Knovvu's calls and results.
    Knovvu,
    /// Knovvu's identity server.
    KnovvuIdentity,
    /// An address where no system is.
    Nowhere,
}

impl System {
    /// Its name in the sandbox's own answers, and the first part of its paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phonon => "phonon",
            Self::PhononBulk => "phonon-bulk",
            Self::MobTexting => "mobtexting",
            Self::Knovvu => "knovvu",
            Self::KnovvuIdentity => "knovvu-identity",
            Self::Nowhere => "nowhere",
        }
    }
}

/// Where the systems are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Urls {
    /// Phonon's real-time host: `http://127.0.0.1:PORT/phonon`, to be followed by
    /// `/kairos-apis/...`.
    pub phonon: String,
    /// Phonon's bulk host, with the same path behind it.
    pub phonon_bulk: String,
    /// Phonon's results, version 1: no security id, no flow id.
    pub phonon_results_v1: String,
    /// Phonon's results, version 2.
    pub phonon_results: String,
    /// MobTexting's base URL, with the slash at its end.
    pub mobtexting: String,
    /// Knovvu's base URL, to be followed by `/v2/call`.
    pub knovvu: String,
    /// Knovvu's identity server, to be followed by `/connect/token`.
    pub knovvu_identity: String,
    /// The sandbox's own endpoints: `/dialed`, `/log` and so on behind it.
    pub sandbox: String,
}

impl Urls {
    fn of(address: SocketAddr) -> Self {
        let at = |path: &str| format!("http://{address}{path}");
        Self {
            phonon: at("/phonon"),
            phonon_bulk: at("/phonon-bulk"),
            phonon_results_v1: at("/phonon/results/v1"),
            phonon_results: at("/phonon/results/v2"),
            mobtexting: at("/mobtexting/api/v2/"),
            knovvu: at("/knovvu"),
            knovvu_identity: at("/knovvu-identity"),
            sandbox: at("/sandbox"),
        }
    }
}

/// A request as it came over the wire, and how it was answered. Holds credentials and
/// numbers as they were sent: it is for tests.
#[derive(Clone, PartialEq, Eq)]
pub struct Exchange {
    /// When it had been read.
    pub time: Timestamp,
    /// Whom it was for.
    pub system: System,
    /// `POST`, `GET`.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// In the order sent, names in lower case.
    pub headers: Vec<(String, String)>,
    /// As text; bytes that are no UTF-8 are replaced.
    pub body: String,
    /// The answer's HTTP status. None when none was sent, or not yet.
    pub status: Option<u16>,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("time", &self.time)
            .field("system", &self.system)
            .field("method", &self.method)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A call that a simulated vendor took: in reality a phone would have rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialed {
    /// Who took it.
    pub system: System,
    /// The vendor's id of it. Phonon's bulk host has one too, but tells nobody.
    pub vendor_call_id: String,
    /// The person's number and the alternates, as sent.
    pub numbers: Vec<String>,
    /// The caller's reference: Phonon's `client-identifier`, Knovvu's
    /// `ConversationId`. MobTexting has none.
    pub reference: Option<String>,
    /// When it was taken.
    pub time: Timestamp,
}

/// The simulated vendors, running. Dropping it stops them too, without waiting.
pub struct Sandbox {
    address: SocketAddr,
    world: Arc<World>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    pusher: JoinHandle<()>,
}

impl Sandbox {
    /// Listens and answers from now on.
    ///
    /// # Errors
    /// When the address can't be listened on, or the private key can't be read.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listen = options.listen;
        let world = Arc::new(World::new(options)?);
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let pusher = tokio::spawn(push::run(Arc::clone(&world), stopped.clone()));
        let server = tokio::spawn(server::run(listener, Arc::clone(&world), stopped));
        Ok(Self { address, world, stop, server, pusher })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where each system is.
    pub fn urls(&self) -> Urls {
        Urls::of(self.address)
    }

    /// The requests received, oldest first.
    pub fn log(&self) -> Vec<Exchange> {
        self.world.log()
    }

    /// The calls taken, oldest first.
    pub fn dialed(&self) -> Vec<Dialed> {
        self.world.dialed()
    }

    /// How many calls were taken in which `number`, with or without a plus sign, was
    /// the person's number or an alternate.
    pub fn dials_of(&self, number: &str) -> usize {
        self.world.dials_of(number)
    }

    /// Where results are pushed to from now on: also those of calls taken before, as far
    /// as their vendor had somewhere to push to then.
    pub fn set_webhooks(&self, webhooks: Webhooks) {
        self.world.pushes.set_webhooks(webhooks);
    }

    /// How results are pushed from now on. How late, how often and in which parts is
    /// settled when a call is taken.
    pub fn set_pushing(&self, pushing: Pushing) {
        self.world.pushes.set_pushing(pushing);
    }

    /// The pushes done, oldest first; one that was posted again is there again.
    pub fn pushes(&self) -> Vec<Posted> {
        self.world.pushes.posted()
    }

    /// Has MobTexting check its webhook, as it does when one is made. Gives the status
    /// that was answered, which is 200.
    ///
    /// # Errors
    /// When MobTexting would not take the webhook.
    pub async fn handshake(&self) -> Result<u16, HandshakeError> {
        push::handshake(&self.world).await
    }

    /// Starts afresh: no log, no calls, nothing to push, no duplicate check, no used-up
    /// limits. Issued tokens and the webhooks stay.
    pub fn forget(&self) {
        self.world.forget();
    }

    /// Makes every token that Knovvu's identity server issued worthless, as a restart
    /// of it would, so that a 401 and the renewal can be tested.
    pub fn revoke_tokens(&self) {
        self.world.revoke_tokens();
    }

    /// The public half of the key for Phonon's encrypted requests, in PEM. Empty when
    /// no key could be made.
    pub fn public_key_pem(&self) -> String {
        self.world.key().map(Key::public_pem).unwrap_or_default()
    }

    /// Stops, and waits until every connection is closed, held ones included. What was to
    /// be pushed is not any more.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        // A panic in there was reported already.
        let _ = self.server.await;
        let _ = self.pusher.await;
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("address", &self.address).finish_non_exhaustive()
    }
}

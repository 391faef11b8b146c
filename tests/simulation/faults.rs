//! What goes wrong in a world, and how often.

use std::time::Duration;

use crate::rng::Rng;

/// What becomes of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exchange {
    /// Answered, after so many milliseconds.
    Well(u64),
    /// No connection.
    Refused,
    /// Nothing arrives, and nobody knows.
    ResetBefore,
    /// It arrives, and the connection ends.
    ResetAfter,
    /// It arrives, and the answer never comes.
    Lost,
    /// It arrives so many milliseconds after nobody waits any more.
    Late(u64),
    /// It arrives, and the connection ends within the answer.
    Cut,
    /// It arrives, and the vendor answers with half of it.
    Half,
    /// Something else answers with this status; whether it arrives.
    Instead(u16, &'static str, bool),
}

/// The kinds of trouble of which a world has some.
const KINDS: [Exchange; 18] = [
    Exchange::Well(1_500),
    Exchange::Refused,
    Exchange::ResetBefore,
    Exchange::ResetAfter,
    Exchange::Lost,
    Exchange::Late(500),
    Exchange::Late(30_000),
    Exchange::Late(60_000),
    Exchange::Cut,
    Exchange::Half,
    Exchange::Instead(200, "<html>welcome</html>", false),
    Exchange::Instead(200, "<html>welcome</html>", true),
    Exchange::Instead(502, "<html>bad gateway</html>", false),
    Exchange::Instead(504, "<html>gateway time-out</html>", true),
    Exchange::Instead(503, "{\"message\":\"try later\"}", true),
    Exchange::Instead(500, "{\"message\":\"oops\"}", false),
    // Who says so did nothing.
    Exchange::Instead(429, "", false),
    Exchange::Instead(403, "<html>forbidden</html>", false),
];

/// What no gateway could make up for: whoever checks has to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// Whatever is sent arrives twice.
    Twice,
    /// What arrived is said not to have been sent.
    Denied,
    /// What a vendor never got is said to have been taken.
    MadeUp,
    /// The ledger says that it has what it does not write.
    Forgotten,
    /// The gateway's clock is half a minute ahead of what it shows.
    Hasty,
    /// The same, behind.
    Slow,
    /// What is put on the do-not-call list is not on it.
    Unlisted,
    /// Calls that wait are looked for a second late.
    Late,
    /// They are never found.
    Asleep,
}

#[derive(Debug)]
pub struct Faults {
    /// From then on all is well.
    pub end: Duration,
    /// In 1,000 exchanges.
    exchanges: u64,
    kinds: Vec<Exchange>,
    /// In 1,000 calls of the ledger: failures, and waits.
    ledger_fails: u64,
    ledger_waits: u64,
    /// Nothing can be written in this time.
    outage: (Duration, Duration),
    /// In 1,000 posts.
    posts: u64,
    /// The gateway dies after so many steps.
    die_after: Option<u64>,
    deaths_left: u64,
    rng: Rng,
}

impl Faults {
    pub fn new(rng: &mut Rng) -> Self {
        let end = Duration::from_secs(rng.range(20, 60));
        let begin = Duration::from_millis(rng.below(20_000));
        let lasts = Duration::from_millis(if rng.chance(300) { rng.below(40_000) } else { 0 });
        let mut faults = Self {
            end,
            exchanges: *rng.pick(&[0, 50, 200, 200, 500]),
            kinds: KINDS.into_iter().filter(|_| rng.chance(400)).collect(),
            ledger_fails: *rng.pick(&[0, 0, 10, 50, 200]),
            ledger_waits: *rng.pick(&[0, 0, 100, 500]),
            outage: (begin, begin + lasts),
            posts: *rng.pick(&[0, 100, 500]),
            die_after: None,
            deaths_left: rng.below(4),
            rng: Rng::new(rng.next()),
        };
        faults.choose_death();
        faults
    }

    /// Nothing goes wrong, but that vendors say no.
    pub fn calm(&mut self) {
        let now = Duration::ZERO;
        self.exchanges = 0;
        self.ledger_fails = 0;
        self.ledger_waits = 0;
        self.outage = (now, now);
        self.posts = 0;
        self.die_after = None;
        self.deaths_left = 0;
    }

    /// Whatever is to be kept is kept, sooner or later.
    pub fn is_ledger_well(&self) -> bool {
        self.ledger_fails == 0 && self.outage.0 == self.outage.1
    }

    /// Before each start, too: most of what a gateway does it does soon.
    fn choose_death(&mut self) {
        if self.deaths_left > 0 {
            self.deaths_left -= 1;
            let most = *self.rng.pick(&[12, 60, 200]);
            self.die_after = Some(self.rng.range(1, most));
        }
    }

    pub fn dies_here(&mut self, now: Duration) -> bool {
        let Some(left) = &mut self.die_after else { return false };
        // Begun before, that goes on to its end.
        if now >= self.end && *left > 3 {
            return false;
        }
        *left -= 1;
        if *left > 0 {
            return false;
        }
        self.die_after = None;
        self.choose_death();
        true
    }

    pub fn exchange(&mut self, now: Duration) -> Exchange {
        let well = Exchange::Well(self.rng.range(1, 60));
        if now >= self.end || self.kinds.is_empty() || !self.rng.chance(self.exchanges) {
            return well;
        }
        *self.rng.pick(&self.kinds)
    }

    /// How long the ledger takes in milliseconds, and whether it fails then.
    pub fn ledger(&mut self, now: Duration, writes: bool) -> (Option<u64>, bool) {
        if now >= self.end {
            return (None, false);
        }
        let wait = self.rng.chance(self.ledger_waits).then(|| self.rng.range(1, 300));
        let out = writes && (self.outage.0..self.outage.1).contains(&now);
        (wait, out || self.rng.chance(self.ledger_fails))
    }

    /// Whether what fails breaks off in the middle of a commit, and was kept. Where it was
    /// the process dies soon, unless it is to live on.
    pub fn breaks(&mut self, now: Duration, lives_on: bool) -> Option<bool> {
        if now >= self.end || !self.rng.chance(200) {
            return None;
        }
        let is_kept = self.rng.chance(500);
        if is_kept && !lives_on {
            self.die_after = Some(self.rng.range(1, 3));
        }
        Some(is_kept)
    }

    /// How many milliseconds late a vendor posts, and how often.
    pub fn posting(&mut self, now: Duration) -> (u64, u32) {
        let soon = self.rng.below(40);
        if now >= self.end || !self.rng.chance(self.posts) {
            return (soon, 1);
        }
        match self.rng.below(4) {
            0 => (soon, 0),
            1 => (self.rng.below(40_000), 1),
            2 => (soon, 3),
            _ => (self.rng.below(10_000), 2),
        }
    }
}

//! What the simulated vendors share: their memory, their limits, their ids.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{digest, rand};
use jiff::{SignedDuration, Timestamp};

use super::{
    Dialed, Exchange, Options, System,
    journal::{Call, Calls, Checksums, Log, Minute},
    life::Life,
    phonon::Key,
    push::{Fresh, Queue, Telling},
    traffic::Incoming,
};

/// A call about to be taken.
#[derive(Debug, Clone)]
pub(super) struct NewCall {
    pub(super) system: System,
    pub(super) id: String,
    pub(super) request_id: String,
    /// What a question must know beside the id.
    pub(super) owner: String,
    pub(super) numbers: Vec<String>,
    pub(super) reference: Option<String>,
    pub(super) caller: String,
    /// Not before.
    pub(super) start: Timestamp,
    /// What telling its result unasked needs to know.
    pub(super) telling: Telling,
}

/// Why Phonon's limits keep a request out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeptOut {
    /// These bytes were taken before.
    Repeated,
    /// Too many calls in the last minute; room again after so many seconds.
    TooFast(i64),
}

/// The shared memory of all simulated vendors.
pub(super) struct World {
    pub(super) options: Options,
    pub(super) pushes: Queue,
    memory: Mutex<Memory>,
    key: OnceLock<Option<Key>>,
    seed: [u8; 16],
    ids: AtomicU64,
}

#[derive(Debug, Default)]
struct Memory {
    log: Log,
    calls: Calls,
    checksums: Checksums,
    realtime: Minute,
    reads: Minute,
    /// Until when each issued token is good.
    tokens: HashMap<String, Timestamp>,
}

impl World {
    pub(super) fn new(options: Options) -> io::Result<Self> {
        let mut seed = [0; 16];
        rand::fill(&mut seed).map_err(|_| io::Error::other("no randomness"))?;
        Self::seeded(options, seed)
    }

    /// A world whose ids follow from the seed.
    pub(super) fn seeded(options: Options, seed: [u8; 16]) -> io::Result<Self> {
        let key = OnceLock::new();
        if let Some(pem) = &options.phonon_private_key_pem {
            let read = Key::from_pem(pem).ok_or_else(|| {
                let what = "phonon_private_key_pem is not an RSA key in PKCS#8 PEM";
                io::Error::new(io::ErrorKind::InvalidInput, what)
            })?;
            let _ = key.set(Some(read));
        }
        let memory = Mutex::default();
        let (webhooks, pushing) = (options.webhooks.clone(), options.pushing.clone());
        let pushes = Queue::new(webhooks, pushing, options.keep);
        Ok(Self { options, pushes, memory, key, seed, ids: AtomicU64::new(0) })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id never given before, in the form of a random UUID.
    pub(super) fn new_id(&self) -> String {
        let count = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&self.seed);
        hash.update(&count.to_be_bytes());
        let mut hex: String = String::with_capacity(32);
        for byte in hash.finish().as_ref().iter().take(16) {
            hex.push_str(&format!("{byte:02x}"));
        }
        let part = |from, to| hex.get(from..to).unwrap_or_default();
        format!(
            "{}-{}-4{}-8{}-{}",
            part(0, 8),
            part(8, 12),
            part(13, 16),
            part(17, 20),
            part(20, 32)
        )
    }

    /// Phonon's key pair; none when none could be made.
    pub(super) fn key(&self) -> Option<&Key> {
        self.key.get_or_init(Key::generate).as_ref()
    }

    /// Takes calls: from here on they are in the dial log. The one place where calls
    /// begin, and where telling their results unasked is started.
    pub(super) fn dial(&self, incoming: &Incoming, calls: Vec<NewCall>) {
        let now = incoming.now;
        let mut memory = self.memory();
        let mut taken = Vec::with_capacity(calls.len());
        for call in calls {
            let (telling, at_once) = (call.telling, call.start <= now);
            let life = Life::new(&call.numbers, call.start.max(now), self.options.pace);
            let call = Call {
                system: call.system,
                id: call.id,
                request_id: call.request_id,
                owner: call.owner,
                numbers: call.numbers,
                reference: call.reference,
                caller: call.caller,
                taken: now,
                life,
            };
            let call = memory.calls.add(call, self.options.keep);
            taken.push(Fresh { call, telling, at_once });
        }
        drop(memory);
        incoming.overtaking.add(self.pushes.add(taken, self.options.pace));
    }

    /// A call by its id.
    pub(super) fn call(&self, system: System, id: &str) -> Option<Arc<Call>> {
        self.memory().calls.get(system, id)
    }

    /// The calls of a number, oldest first.
    pub(super) fn calls_of(&self, system: System, number: &str) -> Vec<Arc<Call>> {
        let mut calls = self.memory().calls.of_number(number);
        calls.retain(|call| call.system == system);
        calls
    }

    /// These bytes were taken before.
    pub(super) fn is_repeated(&self, checksum: &[u8]) -> bool {
        self.memory().checksums.contains(checksum)
    }

    /// Lets a Phonon request in, once, and within the limit of calls a minute when it
    /// is a `realtime` one.
    pub(super) fn admit(
        &self,
        now: Timestamp,
        checksum: Vec<u8>,
        calls: usize,
        realtime: bool,
    ) -> Result<(), KeptOut> {
        let mut memory = self.memory();
        if memory.checksums.contains(&checksum) {
            return Err(KeptOut::Repeated);
        }
        if let Some(limit) = self.options.rate_limit.filter(|_| realtime) {
            memory.realtime.admit(now, calls as u64, limit).map_err(KeptOut::TooFast)?;
        }
        memory.checksums.add(checksum, self.options.keep);
        Ok(())
    }

    /// Lets one of MobTexting's GET requests in.
    ///
    /// # Errors
    /// When there were too many in the last minute: the seconds until there is room.
    pub(super) fn admit_read(&self, now: Timestamp) -> Result<(), i64> {
        self.memory().reads.admit(now, 1, self.options.mobtexting_reads_per_minute)
    }

    /// Remembers a token.
    pub(super) fn issue(&self, now: Timestamp, token: String, seconds: i64) {
        let mut memory = self.memory();
        memory.tokens.retain(|_, until| *until > now);
        let until = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
        if memory.tokens.len() < self.options.keep {
            memory.tokens.insert(token, until);
        }
    }

    /// The token was issued, and is still good.
    pub(super) fn is_issued(&self, now: Timestamp, token: &str) -> bool {
        self.memory().tokens.get(token).is_some_and(|until| *until > now)
    }

    pub(super) fn revoke_tokens(&self) {
        self.memory().tokens.clear();
    }

    pub(super) fn note(&self, exchange: Exchange) -> u64 {
        self.memory().log.add(exchange, self.options.keep)
    }

    pub(super) fn note_answer(&self, number: u64, status: u16) {
        self.memory().log.answered(number, status);
    }

    pub(super) fn log(&self) -> Vec<Exchange> {
        self.memory().log.exchanges()
    }

    pub(super) fn dialed(&self) -> Vec<Dialed> {
        self.memory().calls.dialed()
    }

    pub(super) fn dials_of(&self, number: &str) -> usize {
        self.memory().calls.of_number(number).len()
    }

    pub(super) fn forget(&self) {
        let mut memory = self.memory();
        memory.log.clear();
        memory.calls = Calls::default();
        memory.checksums = Checksums::default();
        memory.realtime = Minute::default();
        memory.reads = Minute::default();
        drop(memory);
        self.pushes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_like_random_uuids_and_never_repeat() {
        let world = World::new(Options::default()).unwrap();
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| world.new_id()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert!(uuid::Uuid::parse_str(&id).is_ok_and(|id| id.get_version_num() == 4), "{id}");
        }
    }

    #[test]
    fn tokens_end() {
        let world = World::new(Options::default()).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        world.issue(now, "t".to_owned(), 1);
        assert!(world.is_issued(now, "t"));
        assert!(!world.is_issued(Timestamp::from_second(1).unwrap(), "t"));
        world.revoke_tokens();
        assert!(!world.is_issued(now, "t"));
    }

    #[test]
    fn the_same_bytes_are_let_in_once_and_refused_ones_again() {
        let options = Options { rate_limit: Some(2), ..Options::default() };
        let world = World::new(options).unwrap();
        let admit = |byte, calls| world.admit(Timestamp::UNIX_EPOCH, vec![byte], calls, true);
        assert_eq!(admit(1, 2), Ok(()));
        assert_eq!(admit(1, 2), Err(KeptOut::Repeated));
        assert_eq!(admit(2, 1), Err(KeptOut::TooFast(60)));
        assert_eq!(admit(2, 1), Err(KeptOut::TooFast(60)));
        assert_eq!(world.admit(Timestamp::UNIX_EPOCH, vec![2], 500, false), Ok(()));
    }
}

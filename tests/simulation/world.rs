//! What outlives a gateway: the time, the vendors, the callers, and what is known of all.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dialplane::{
    config::Config,
    sandbox::{Arrival, Post, Reaction, Vendors},
};
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep},
};

use crate::{
    callers::Callers,
    checker::Checker,
    faults::{Faults, Mischief},
    house,
    reloads::Reloads,
    rng::Rng,
    waits::Waits,
    watcher::Watcher,
};

/// More steps than any world takes: one that takes more hangs.
const MOST_STEPS: u64 = 20_000;

/// What is noted is printed at once: so it is seen of a world without an end, too.
pub static ALOUD: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
pub struct World {
    pub state: Mutex<State>,
    /// Something was put on the agenda.
    pub changed: Notify,
    /// The process dies now.
    killed: Notify,
}

#[derive(Debug)]
pub struct State {
    pub seed: u64,
    pub rng: Rng,
    pub faults: Faults,
    pub mischief: Option<Mischief>,
    pub vendors: Vendors,
    pub checker: Checker,
    pub callers: Callers,
    pub watcher: Watcher,
    pub waits: Waits,
    /// Somebody watches.
    pub is_watched: bool,
    pub trace: Option<Vec<String>>,
    pub config: Arc<Config>,
    pub reloads: Reloads,
    agenda: BTreeMap<(Duration, u64), Event>,
    /// Since the world began, at the last start or death of a gateway.
    base: Duration,
    /// The start of the gateway that lives.
    alive_since: Option<Instant>,
    pub dead: bool,
    steps: u64,
    /// Exchanges under way.
    pub on_the_line: u32,
    pub exchanges: u64,
}

#[derive(Debug)]
pub enum Event {
    /// A request reaches its vendor.
    Arrives(Request),
    /// A vendor posts, for so many times before.
    Posts(Arc<Post>, u32),
    /// A caller sends one of its requests.
    Attempt(usize),
    /// A caller asks what became of one.
    Question(usize),
}

/// A request as it travels.
#[derive(Debug)]
pub struct Request {
    pub exchange: u64,
    pub method: &'static str,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// When it went out, by the gateway's clock.
    pub sent: Timestamp,
    pub answer: oneshot::Sender<Reaction>,
}

/// Notes what happens, when somebody wants to know.
macro_rules! note {
    ($state:expr, $($what:tt)*) => {
        if $state.trace.is_some() {
            let line = format!($($what)*);
            $state.note(line);
        }
    };
}
pub(crate) use note;

impl World {
    pub fn new(seed: u64, traced: bool) -> Arc<Self> {
        let mut rng = Rng::new(seed);
        let vendors = Vendors::new(house::options(&mut rng), seed).unwrap();
        let (config, base) = house::config(&mut rng);
        let mut faults = Faults::new(&mut rng);
        let mut callers = Callers::new(&mut rng);
        let is_watched = rng.chance(300);
        let waits = Waits::new(seed, &mut callers);
        if waits.is_calm {
            faults.calm();
        }
        let reloads = Reloads::new(seed, base, waits.is_calm);
        let config = reloads.first().map_or(config, Arc::new);
        let mut state = State {
            rng,
            faults,
            mischief: None,
            vendors,
            checker: Checker::default(),
            callers,
            watcher: Watcher::default(),
            waits,
            is_watched,
            seed,
            trace: traced.then(Vec::new),
            config,
            reloads,
            agenda: BTreeMap::new(),
            base: Duration::ZERO,
            alive_since: None,
            dead: true,
            steps: 0,
            on_the_line: 0,
            exchanges: 0,
        };
        state.plan_attempts();
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), killed: Notify::new() })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What the gateway's clock shows.
    pub fn time(&self) -> Timestamp {
        self.state().time()
    }

    /// What the gateway believes that its clock shows.
    pub fn believed(&self) -> Timestamp {
        let state = self.state();
        let amiss = match state.mischief {
            Some(Mischief::Hasty) => 30,
            Some(Mischief::Slow) => -30,
            _ => 0,
        };
        state.time() + SignedDuration::from_secs(amiss)
    }

    /// The process ends here, whatever it is at.
    pub fn kill(&self) {
        self.state().dead = true;
        self.killed.notify_one();
    }

    /// Lets a gateway begin to live, or ends it.
    pub fn set_alive(&self, alive: bool) {
        let mut state = self.state();
        if alive {
            state.alive_since = Some(Instant::now());
            state.dead = false;
            let (config, time) = (Arc::clone(&state.config), state.time());
            state.reloads.configured(&config, time);
        } else {
            state.base = state.now();
            state.alive_since = None;
            state.dead = true;
            state.on_the_line = 0;
            state.checker.timing.hung_up();
            state.reloads.hung_up();
        }
    }

    /// A place at which the process may die. Whatever comes to one in a dead process
    /// never gets any further.
    pub async fn point(&self, place: &str) {
        {
            let mut state = self.state();
            state.steps += 1;
            if state.steps > MOST_STEPS {
                state.checker.wrong(format!("no end after {MOST_STEPS} steps, at {place}"));
            }
            if !state.dead {
                let now = state.now();
                if !state.faults.dies_here(now) {
                    return;
                }
                note!(state, "KILLED at {place}");
                state.dead = true;
                self.killed.notify_one();
            }
        }
        std::future::pending::<()>().await;
    }

    /// Until the process dies.
    pub async fn death(&self) {
        while !self.state().dead {
            self.killed.notified().await;
        }
    }

    /// Waits from `low` to `high` milliseconds.
    pub async fn pause(&self, low: u64, high: u64) {
        let pause = self.state().rng.range(low, high);
        sleep(Duration::from_millis(pause)).await;
    }

    /// Puts something on the agenda, so many milliseconds from now.
    pub fn plan(&self, after: u64, event: Event) {
        self.state().plan(after, event);
        self.changed.notify_one();
    }
}

/// When a world begins: on a Sunday in March, 20 seconds before 9:31 in India. So hours that
/// go by the minute begin and end soon.
pub const BEGIN: i64 = 1_772_337_640;

/// The vendors' clocks are right.
pub fn time_of_day(since: Duration) -> Timestamp {
    Timestamp::from_second(BEGIN).unwrap() + since
}

impl State {
    /// Whether nothing is left to be done but by the gateway.
    pub fn is_quiet(&self) -> bool {
        self.agenda.is_empty()
            && self.vendors.next_post().is_none()
            && self.on_the_line == 0
            && self.callers.none_waits()
    }

    /// Since the world began.
    pub fn now(&self) -> Duration {
        self.base + self.alive_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// What the gateway's clock shows.
    pub fn time(&self) -> Timestamp {
        self.waits.shown(self.now())
    }

    /// The time passes while no gateway lives.
    pub fn skip_to(&mut self, time: Duration) {
        assert!(self.alive_since.is_none());
        self.base = self.base.max(time);
    }

    pub fn note(&mut self, line: String) {
        let now = self.now();
        if let Some(trace) = &mut self.trace {
            let line = format!("{:10.3} {line}", now.as_secs_f64());
            if ALOUD.load(Ordering::Relaxed) {
                println!("{line}");
            }
            trace.push(line);
        }
    }

    pub fn plan(&mut self, after: u64, event: Event) {
        let at = self.now() + Duration::from_millis(after);
        self.steps += 1;
        self.agenda.insert((at, self.steps), event);
    }

    fn plan_attempts(&mut self) {
        for index in 0..self.callers.requests.len() {
            let at = self.callers.requests[index].first_at;
            self.plan(at, Event::Attempt(index));
        }
    }

    /// When something is to be done next.
    pub fn next_time(&self) -> Option<Duration> {
        let posts = self.vendors.next_post().map(|due| {
            let begun = time_of_day(Duration::ZERO);
            Duration::try_from(due.max(begun).duration_since(begun)).unwrap()
        });
        let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
        [posts, planned].into_iter().flatten().min()
    }

    /// What is to be done now. What only concerns vendors is done at once.
    pub fn take_due(&mut self) -> Option<Event> {
        let now = self.now();
        self.collect_posts();
        loop {
            let (key, _) = self.agenda.first_key_value()?;
            if key.0 > now {
                return None;
            }
            match self.agenda.pop_first()?.1 {
                Event::Arrives(request) => self.arrives(request),
                event => return Some(event),
            }
        }
    }

    /// What a vendor makes of the answer to a post; none came when nobody was there.
    pub fn posted(&mut self, post: &Arc<Post>, times: u32, status: Option<u16>) {
        note!(self, "{} posted: {status:?}", post.system().name());
        if times < 3 && post.is_repeated_after(status) {
            self.plan(5_000, Event::Posts(Arc::clone(post), times + 1));
        }
    }

    fn arrives(&mut self, request: Request) {
        let now = time_of_day(self.now());
        let reaction = self.vendors.answer(Arrival {
            now,
            peer: [127, 0, 0, 1].into(),
            method: request.method,
            path: &request.path,
            query: &request.query,
            headers: request.headers,
            body: request.body,
        });
        note!(self, "exchange {} arrives: {reaction:?}", request.exchange);
        let dialed = self.vendors.dialed();
        for dial in dialed.iter().skip(self.checker.dials) {
            note!(self, "{} dials {}", dial.system.name(), dial.numbers.join(" "));
            self.checker.dialed(dial, request.sent);
        }
        self.checker.dials = dialed.len();
        let _ = request.answer.send(reaction);
        self.collect_posts();
    }

    /// Vendors post what they know: at once, late, twice or never.
    fn collect_posts(&mut self) {
        let now = time_of_day(self.now());
        while let Some(post) = self.vendors.take_post(now) {
            let post = Arc::new(post);
            let since = self.now();
            let (late, times) = self.faults.posting(since);
            note!(self, "{} will post {times} times", post.system().name());
            for time in 0..times {
                let after = late + u64::from(time) * self.rng.below(9_000);
                self.plan(after, Event::Posts(Arc::clone(&post), 0));
            }
        }
    }
}

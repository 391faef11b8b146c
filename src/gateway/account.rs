//! A configured vendor account: its adapter, its connection, its limits and how it
//! does.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::Instant,
};

use super::{
    agenda::Agenda,
    asking::Asking,
    breaker::{Breaker, BreakerState, Pass},
    lane::Lane,
    meter::Meter,
    pace::{Pace, Paced},
    pushes::{PushCounts, Pushes},
    token::TokenStore,
};
use crate::{
    call::CallError,
    config::{self, Digests, Rate, Secret, VendorConfig},
    http::Line,
    vendors::Vendor,
};

/// A configured vendor account, as it is from one reload to the next. What is in an `Arc` here
/// outlives that: all versions of an account share it.
#[derive(Debug)]
pub struct Account {
    name: String,
    adapter: Arc<dyn Vendor>,
    pub(super) line: Arc<dyn Line>,
    pub(super) tokens: Arc<TokenStore>,
    /// The calls it is being asked about.
    pub(super) asking: Arc<Asking>,
    /// When the next of its open calls is looked at.
    pub(super) agenda: Arc<Agenda>,
    /// When the next of its waiting calls is taken up.
    pub(super) waiting: Arc<Agenda>,
    pub(super) pushes: Arc<Pushes>,
    /// What is counted of it.
    pub(super) meter: Arc<Meter>,
    secrets: Vec<Secret>,
    digests: Digests,
    turns: Arc<Semaphore>,
    question_turns: Arc<Semaphore>,
    max_in_flight: u32,
    rate: Rate,
    /// Questions count as requests.
    pub(super) pace: Arc<Pace>,
    /// Where its calls wait for their turn.
    pub(super) lane: Arc<Lane>,
    max_batch: usize,
    max_delay: Duration,
    timeout: Duration,
    poll_interval: Duration,
    give_up_after: Duration,
    health: Arc<RwLock<Health>>,
    breaker: Option<Arc<Breaker>>,
    breaker_settings: Option<config::Breaker>,
}

/// The right to ask a vendor something now.
#[derive(Debug)]
pub(super) struct QuestionTurn<'a> {
    _turn: Option<OwnedSemaphorePermit>,
    _paced: Paced,
    _may_ask: Option<SemaphorePermit<'a>>,
}

fn half(turns: u32) -> usize {
    (turns / 2).max(1) as usize
}

fn resize(turns: &Arc<Semaphore>, before: usize, after: usize) {
    if after >= before {
        turns.add_permits(after - before);
        return;
    }
    let fewer = before - after;
    let owed = fewer.saturating_sub(turns.forget_permits(fewer));
    let owed = u32::try_from(owed).unwrap_or(u32::MAX);
    if owed > 0 {
        let turns = Arc::clone(turns);
        tokio::spawn(async move {
            if let Ok(given_back) = turns.acquire_many_owned(owed).await {
                given_back.forget();
            }
        });
    }
}

fn max_batch(config: &VendorConfig) -> usize {
    config.adapter.capabilities().max_batch.max(1)
}

/// How a vendor does.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// The last exchange that failed by the vendor's doing, and when.
    pub last_error: Option<(CallError, Timestamp)>,
    /// When an exchange last went well.
    pub last_success: Option<Timestamp>,
}

impl Account {
    /// One of which nothing is known yet.
    pub(super) fn new(config: &VendorConfig, line: Arc<dyn Line>) -> Arc<Self> {
        let account = Arc::new(Self {
            name: config.name.clone(),
            adapter: Arc::clone(&config.adapter),
            line,
            tokens: Arc::default(),
            asking: Arc::default(),
            agenda: Arc::default(),
            waiting: Arc::default(),
            pushes: Arc::default(),
            meter: Arc::default(),
            secrets: config.secrets.clone(),
            digests: config.digests,
            turns: Arc::new(Semaphore::new(config.max_in_flight as usize)),
            question_turns: Arc::new(Semaphore::new(half(config.max_in_flight))),
            max_in_flight: config.max_in_flight,
            rate: config.rate,
            pace: Arc::new(Pace::new(config.rate)),
            lane: Arc::default(),
            max_batch: max_batch(config),
            max_delay: config.max_delay,
            timeout: config.link.timeout,
            poll_interval: config.poll_interval,
            give_up_after: config.give_up_after,
            health: Arc::default(),
            breaker: config.breaker.map(|breaker| Arc::new(Breaker::new(&config.name, breaker))),
            breaker_settings: config.breaker,
        });
        account.lane.is_of(&account);
        account
    }

    /// The same account, as it is configured now. Nothing goes by it before
    /// [`super::Gateway::reload`] has put it in its place.
    pub(super) fn renewed(&self, config: &VendorConfig, line: Arc<dyn Line>) -> Arc<Self> {
        let is_there_still = self.digests.address == config.digests.address;
        let breaker = config.breaker.map(|settings| match &self.breaker {
            Some(breaker) if is_there_still => Arc::clone(breaker),
            _ => Arc::new(Breaker::new(&config.name, settings)),
        });
        let tokens = match self.has_access_of(config) {
            true => Arc::clone(&self.tokens),
            false => Arc::default(),
        };
        Arc::new(Self {
            name: config.name.clone(),
            adapter: Arc::clone(&config.adapter),
            line,
            tokens,
            asking: Arc::clone(&self.asking),
            agenda: Arc::clone(&self.agenda),
            waiting: Arc::clone(&self.waiting),
            pushes: Arc::clone(&self.pushes),
            meter: Arc::clone(&self.meter),
            secrets: config.secrets.clone(),
            digests: config.digests,
            turns: Arc::clone(&self.turns),
            question_turns: Arc::clone(&self.question_turns),
            max_in_flight: config.max_in_flight,
            rate: config.rate,
            pace: Arc::clone(&self.pace),
            lane: Arc::clone(&self.lane),
            max_batch: max_batch(config),
            max_delay: config.max_delay,
            timeout: config.link.timeout,
            poll_interval: config.poll_interval,
            give_up_after: config.give_up_after,
            health: Arc::clone(&self.health),
            breaker,
            breaker_settings: config.breaker,
        })
    }

    /// Its breaker, which the version before may share, goes by its settings from now on.
    pub(super) fn set_breaker(&self) {
        if let (Some(breaker), Some(settings)) = (&self.breaker, self.breaker_settings) {
            breaker.set(settings);
        }
    }

    /// Configured as it was.
    pub(super) fn is_as(&self, config: &VendorConfig) -> bool {
        self.digests == config.digests
    }

    /// It is sent the same in the same way as before, however much of it.
    pub(super) fn has_access_of(&self, config: &VendorConfig) -> bool {
        self.digests.access == config.digests.access
    }

    /// Takes as many exchanges at a time as it is configured for, where `before` were. What is
    /// under way beyond that goes on, and nothing new begins until it is over.
    pub(super) fn resize_turns(&self, before: u32) {
        resize(&self.turns, before as usize, self.max_in_flight as usize);
        resize(&self.question_turns, half(before), half(self.max_in_flight));
    }

    /// It is not configured any more: nothing is sent to it, and nobody asks it.
    pub(super) fn is_gone(&self) -> bool {
        self.lane.is_gone()
    }

    /// An exchange would be let through to it now: its breaker is not open.
    pub fn is_let_through(&self) -> bool {
        self.shut_for().is_none()
    }

    /// Its configured name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Speaks its language.
    pub fn adapter(&self) -> &dyn Vendor {
        self.adapter.as_ref()
    }

    /// Its configured credentials.
    pub(super) fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// A text of the vendor's, without the credentials the vendor was sent: some answer
    /// with the request they got.
    pub(super) fn without_secrets(&self, text: &str) -> String {
        let token = self.tokens.last();
        self.secrets.iter().chain(&token).fold(text.to_owned(), |text, secret| {
            match secret.expose() {
                "" => text,
                secret => text.replace(secret, "***"),
            }
        })
    }

    /// How many exchanges may be under way at the same time.
    pub fn max_in_flight(&self) -> u32 {
        self.max_in_flight
    }

    /// How many are, at this moment.
    pub fn in_flight(&self) -> u32 {
        let free = u32::try_from(self.turns.available_permits()).unwrap_or(u32::MAX);
        self.max_in_flight.saturating_sub(free)
    }

    /// How many calls may go now, as many in each request as it takes; none where nothing limits
    /// them.
    pub fn pace_left(&self) -> Option<u64> {
        let left = self.pace.left(Instant::now());
        let most = u64::try_from(self.max_batch).unwrap_or(u64::MAX);
        let in_requests = left.requests.map(|requests| requests.saturating_mul(most));
        let left_now = [left.calls, in_requests].into_iter().flatten().min();
        if left.rest.is_zero() { left_now } else { left_now.and(Some(0)) }
    }

    /// For how long it wants to be left alone; none if it does not.
    pub fn rest(&self) -> Option<Duration> {
        Some(self.pace.left(Instant::now()).rest).filter(|rest| !rest.is_zero())
    }

    /// How many calls wait for their turn.
    pub fn waiting_calls(&self) -> usize {
        self.lane.waiting(Instant::now()).0
    }

    /// The most calls of one exchange.
    pub(super) fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// How long calls wait at most for others that go with them; zero means that nothing goes
    /// together.
    pub(super) fn max_delay(&self) -> Duration {
        self.max_delay
    }

    /// What it takes in a window of time.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How long handing over takes at most, but for waits: a token may have to be fetched before,
    /// and all once more after a refusal.
    pub(super) fn longest_exchange(&self) -> Duration {
        self.timeout.saturating_mul(4)
    }

    /// How old an answer may be before the vendor is asked again.
    pub fn poll_interval(&self) -> Duration {
        self.poll_interval
    }

    /// When a call of which nothing is heard is given up on.
    pub fn give_up_after(&self) -> Duration {
        self.give_up_after
    }

    /// How it does.
    pub fn health(&self) -> Health {
        self.health.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether calls are let through to it; none when it has no breaker.
    pub fn breaker(&self) -> Option<BreakerState> {
        self.breaker.as_ref().map(|breaker| breaker.state(Instant::now().into_std()))
    }

    /// How often its breaker opened.
    pub(super) fn breaker_openings(&self) -> u64 {
        self.breaker.as_ref().map_or(0, |breaker| breaker.openings())
    }

    /// Lets one exchange through, or says for how long none will be. A vendor without a
    /// breaker needs no pass.
    pub(super) fn enter(&self) -> Result<Option<Pass<'_>>, Duration> {
        let now = Instant::now().into_std();
        self.breaker.as_ref().map(|breaker| breaker.enter(now)).transpose()
    }

    /// For how long no exchange will be let through; none if one would be now.
    pub(super) fn shut_for(&self) -> Option<Duration> {
        self.breaker.as_ref()?.wait(Instant::now().into_std())
    }

    /// What became of what it posted by itself.
    pub fn pushes(&self) -> PushCounts {
        self.pushes.counts()
    }

    /// A turn for one exchange, when one is free now.
    pub(super) fn try_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).try_acquire_owned().ok()
    }

    /// Whether a turn is free now.
    pub(super) fn has_free_turn(&self) -> bool {
        self.turns.available_permits() > 0
    }

    /// Waits for a turn, first come, first served. None when there are no turns any
    /// more.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// How many questions may be under way at the same time: half of the turns, so that
    /// calls find one.
    pub(super) fn max_questions(&self) -> usize {
        half(self.max_in_flight)
    }

    /// Waits for a turn to ask, within what the vendor takes. To be dropped after the answer.
    pub(super) async fn question_turn(&self) -> QuestionTurn<'_> {
        let may_ask = self.question_turns.acquire().await.ok();
        let mut paced = self.pace.question().await;
        let turn = self.turn().await;
        paced.sent = true;
        QuestionTurn { _turn: turn, _paced: paced, _may_ask: may_ask }
    }

    /// Waits for a turn to send so many calls once more: beside the questions, and within what
    /// the vendor takes of calls. To be dropped after the answer.
    pub(super) async fn repetition_turn(&self, calls: usize) -> QuestionTurn<'_> {
        let may_ask = self.question_turns.acquire().await.ok();
        let mut paced = self.pace.again(calls).await;
        let turn = self.turn().await;
        paced.sent = true;
        QuestionTurn { _turn: turn, _paced: paced, _may_ask: may_ask }
    }

    pub(super) fn went_well(&self, at: Timestamp) {
        let mut health = self.health.write().unwrap_or_else(PoisonError::into_inner);
        health.last_success = health.last_success.max(Some(at));
    }

    pub(super) fn went_wrong(&self, error: &CallError, at: Timestamp) {
        let mut health = self.health.write().unwrap_or_else(PoisonError::into_inner);
        health.last_error = Some((error.clone(), at));
    }
}

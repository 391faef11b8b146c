//! Worlds in which the configuration changes while the gateway lives: limits, routes, and
//! vendors that go and come back.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use dialplane::{config::Config, gateway::Gateway};
use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use crate::{
    house::{self, Base},
    line::Wire,
    rng::Rng,
    world::{World, note},
};

/// Tells such worlds from others without changing what happens in those.
const SALT: u64 = 0x4E10_AD5A;
/// By when what was let go under other limits is on its way.
const SETTLED: SignedDuration = SignedDuration::from_secs(90);

/// What is so in a world in which the configuration changes.
#[derive(Debug, Default)]
pub struct Reloads {
    /// It does.
    pub happen: bool,
    /// What all configurations have in common.
    base: Base,
    /// The requests of each vendor in `window`, where that is no matter of chance.
    limit: Option<u32>,
    vendors: BTreeMap<String, Watched>,
}

/// What is known of a vendor.
#[derive(Debug, Default)]
struct Watched {
    /// When orders were sent.
    sent: Vec<Timestamp>,
    under_way: u32,
    /// Since when it has how many turns.
    turns: Vec<(Timestamp, u32)>,
}

/// Of the limit that stays.
const WINDOW: SignedDuration = SignedDuration::from_secs(5);

impl Reloads {
    pub fn new(seed: u64, base: Base, is_calm: bool) -> Self {
        let mut rng = Rng::new(seed ^ SALT);
        let happen = !is_calm && rng.chance(400);
        let limit = (happen && rng.chance(500)).then(|| if rng.chance(500) { 2 } else { 5 });
        Self { happen, base, limit, vendors: BTreeMap::new() }
    }

    /// With the limit that stays, if there is one.
    pub fn first(&self) -> Option<Config> {
        let limit = self.limit?;
        Some(house::varied(self.base, self.base.turns, &rate(limit), &[], &[]))
    }

    fn next(&self, rng: &mut Rng) -> Config {
        let turns = *rng.pick(&[1, 2, 8]);
        let rate = match (self.limit, rng.below(4)) {
            (Some(limit), _) => rate(limit),
            (None, 0) => "rate = { calls = 3, per = \"2s\" }".to_owned(),
            (None, 1) => "rate = { requests = 2, per = \"10s\" }".to_owned(),
            (None, 2) => "rate = { requests = 1000, calls = 7, per = \"1s\" }".to_owned(),
            (None, _) => "rate = { requests = 1000, per = \"1s\" }".to_owned(),
        };
        let mut without = |all: &'static [&'static str], most: u64| -> Vec<&'static str> {
            let count = rng.below(most + 1);
            (0..count).map(|_| *rng.pick(all)).collect()
        };
        let (vendors, routes) = (without(&house::VENDORS, 3), without(&house::ROUTES, 2));
        house::varied(self.base, turns, &rate, &vendors, &routes)
    }

    /// How it is in the end.
    fn last(&self) -> Config {
        let rate = match self.limit {
            Some(limit) => rate(limit),
            None => house::RATE.to_owned(),
        };
        house::varied(self.base, self.base.turns, &rate, &[], &[])
    }

    /// It is so from now on.
    pub fn configured(&mut self, config: &Config, now: Timestamp) {
        for vendor in config.vendors.values() {
            let watched = self.vendors.entry(vendor.name.clone()).or_default();
            watched.turns.retain(|(since, _)| now.duration_since(*since) < SETTLED * 20);
            watched.turns.push((now, vendor.max_in_flight));
        }
    }

    /// An exchange begins, an order or something else; gives what is too much.
    pub fn begins(&mut self, vendor: &str, is_order: bool, now: Timestamp) -> Option<String> {
        let watched = self.vendors.entry(vendor.to_owned()).or_default();
        watched.under_way += 1;
        if is_order {
            watched.sent.push(now);
        }
        if !self.happen {
            return None;
        }
        // The one that was in force then counts as well.
        let from = watched.turns.iter().rposition(|(at, _)| now.duration_since(*at) >= SETTLED);
        let lately = &watched.turns[from.unwrap_or(0)..];
        let most = lately.iter().map(|(_, turns)| *turns).max().unwrap_or(u32::MAX);
        if watched.under_way > most {
            let under_way = watched.under_way;
            return Some(format!("(15) {vendor} has {under_way} exchanges, and takes {most}"));
        }
        let within = watched.sent.iter().filter(|at| now.duration_since(**at) < WINDOW).count();
        let limit = self.limit.filter(|limit| within > *limit as usize)?;
        Some(format!("(15) {vendor} is sent {within} orders in a window, and takes {limit}"))
    }

    /// An exchange is over.
    pub fn is_over(&mut self, vendor: &str) {
        let watched = self.vendors.entry(vendor.to_owned()).or_default();
        watched.under_way = watched.under_way.saturating_sub(1);
    }

    /// The process died. What its successor knows of what was sent is another matter.
    pub fn hung_up(&mut self) {
        self.vendors.clear();
    }
}

fn rate(limit: u32) -> String {
    format!("rate = {{ requests = {limit}, per = \"5s\" }}")
}

/// Reloads now and then, in some of the worlds, and once more when all is to be well.
pub async fn now_and_then(world: Arc<World>, gateway: Gateway) {
    let (seed, now, happen) = {
        let state = world.state();
        (state.seed, state.now(), state.reloads.happen)
    };
    if !happen {
        return;
    }
    // Another life of the gateway, other chances.
    let mut rng = Rng::new(seed ^ SALT ^ u64::try_from(now.as_millis()).unwrap());
    loop {
        let pause = Duration::from_millis(rng.range(1, 7_000));
        let left = {
            let state = world.state();
            state.faults.end.saturating_sub(state.now())
        };
        sleep(pause.min(left)).await;
        let (config, is_last) = {
            let mut state = world.state();
            if state.dead {
                return;
            }
            let is_last = state.now() >= state.faults.end;
            let config = if is_last { state.reloads.last() } else { state.reloads.next(&mut rng) };
            let config = Arc::new(config);
            state.config = Arc::clone(&config);
            let time = state.time();
            state.reloads.configured(&config, time);
            (config, is_last)
        };
        let changes = gateway
            .reload_with_lines(&config, |vendor| {
                let (world, vendor) = (Arc::clone(&world), vendor.name.clone());
                Ok::<_, Infallible>(Arc::new(Wire { world, vendor }))
            })
            .await;
        let Ok(changes) = changes;
        let mut state = world.state();
        note!(state, "RELOADED vendors {} routes {}", changes.vendors, changes.routes);
        if is_last {
            return;
        }
    }
}

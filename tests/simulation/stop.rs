//! Stops a gateway as it should be stopped, in the middle of whatever it does.

use std::{sync::Arc, time::Duration};

use dialplane::{call::CallState, gateway::Gateway, ledger::sqlite::SqliteLedger};
use tokio::time::{sleep, timeout};

use crate::{
    life::read_changes,
    world::{World, note},
};

/// What is under way then may take this long.
const DRAIN: Duration = Duration::from_secs(10);

/// Stops the gateway when it is time to, if it is ever.
pub async fn when_told(world: Arc<World>, gateway: Gateway, ledger: Arc<SqliteLedger>) {
    let wait = {
        let mut state = world.state();
        let now = state.now();
        let Some(at) = state.waits.next_stop(now) else { return };
        at.saturating_sub(now)
    };
    sleep(wait).await;
    {
        let mut state = world.state();
        if state.dead || state.now() >= state.faults.end {
            return;
        }
        note!(state, "STOPS");
    }
    gateway.stop();
    let drained = timeout(DRAIN, gateway.drained()).await.is_ok();
    // The last answers are on their way.
    sleep(Duration::from_millis(40)).await;
    read_changes(&world, &ledger).await;
    let mut state = world.state();
    if state.dead {
        return;
    }
    note!(state, "STOPPED, all over: {drained}");
    let is_left = |(_, state): (_, CallState)| state == CallState::Dispatching;
    if drained && state.faults.is_ledger_well() && state.checker.open().any(is_left) {
        state.checker.wrong("(14) stopped well, and a call is being handed over".to_owned());
    }
    drop(state);
    world.kill();
}

//! Somebody who puts numbers on the do-not-call list, and takes them off again.

use std::{sync::Arc, time::Duration};

use dialplane::{
    api::SuppressionApi,
    gateway::Gateway,
    proto::{
        AddSuppressionsRequest, RemoveSuppressionsRequest,
        suppression_service_server::SuppressionService,
    },
};
use tokio::time::sleep;
use tonic::Request;

use crate::{
    rng::Rng,
    world::{World, note},
};

/// Chances of its own.
const SALT: u64 = 0xD0_07_CA_11;

/// Goes on until the faults end, or the gateway's life.
pub async fn keep(world: Arc<World>, gateway: Gateway) {
    let (seed, now) = {
        let state = world.state();
        (state.seed, state.now())
    };
    if !world.state().waits.lists {
        return;
    }
    // Another life of the gateway, other chances.
    let mut rng = Rng::new(seed ^ SALT ^ u64::try_from(now.as_millis()).unwrap());
    let api = SuppressionApi::new(gateway);
    loop {
        sleep(Duration::from_millis(rng.range(1, 2_500))).await;
        let (number, is_listed) = {
            let state = world.state();
            if state.dead || state.now() >= state.faults.end {
                return;
            }
            let plan = rng.pick(&state.callers.requests);
            let number = format!("+{}", rng.pick(&plan.numbers));
            let is_listed = state.checker.timing.is_listed(&number);
            (number, is_listed)
        };
        let numbers = vec![number.clone()];
        if is_listed && rng.chance(600) {
            // From here on it may be off.
            world.state().checker.timing.unlisted(&number);
            let request = RemoveSuppressionsRequest { numbers, validate_only: false };
            let done = api.remove_suppressions(Request::new(request)).await.is_ok();
            let mut state = world.state();
            note!(state, "{number} is off the list: {done}");
        } else {
            let request = AddSuppressionsRequest { numbers, ..AddSuppressionsRequest::default() };
            let done = api.add_suppressions(Request::new(request)).await.is_ok();
            let mut state = world.state();
            note!(state, "{number} is on the list: {done}");
            if done && !state.dead {
                let at = state.time();
                state.checker.timing.listed(&number, at);
            }
        }
    }
}

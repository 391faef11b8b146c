//! Somebody who takes requests back, whoever placed them and however they stand.

use std::{sync::Arc, time::Duration};

use dialplane::{
    api::CallApi,
    gateway::Gateway,
    proto::{Call, CallState, CancelCallsRequest, call_service_server::CallService},
};
use tokio::time::sleep;
use tonic::Request;

use crate::{
    rng::Rng,
    world::{World, note},
};

/// Tells such worlds from others without changing what happens in those.
const SALT: u64 = 0xCA11_BACC;

/// Takes back one request after the other, in some of the worlds. A call that was said to be
/// taken back is never dialled: whoever is told of it holds the checker to that.
pub async fn take_back(world: Arc<World>, gateway: Gateway) {
    let (seed, now) = {
        let state = world.state();
        (state.seed, state.now())
    };
    if !Rng::new(seed ^ SALT).chance(400) {
        return;
    }
    // Another life of the gateway, other chances.
    let mut rng = Rng::new(seed ^ SALT ^ u64::try_from(now.as_millis()).unwrap());
    let api = CallApi::new(gateway);
    loop {
        sleep(Duration::from_millis(rng.range(1, 1_500))).await;
        let request_id = {
            let mut state = world.state();
            if state.dead || state.now() >= state.faults.end {
                return;
            }
            let plan = rng.pick(&state.callers.requests);
            let id = plan.proto.request_id.clone();
            note!(state, "{id:?} is to be taken back");
            id
        };
        if request_id.is_empty() {
            continue;
        }
        let request = CancelCallsRequest { request_id, ..CancelCallsRequest::default() };
        let answer = api.cancel_calls(Request::new(request)).await;
        let mut state = world.state();
        if state.dead {
            return;
        }
        if let Ok(answer) = answer {
            let calls = answer.into_inner().calls;
            let back = calls.iter().filter(|call| call.state() == CallState::Canceled);
            let back: Vec<_> = back.flat_map(|call: &Call| call.to.first().cloned()).collect();
            note!(state, "taken back: {back:?}");
            calls.iter().for_each(|call| state.told_of(call));
        }
    }
}

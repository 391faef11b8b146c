//! One world from its beginning to its end, through the lives of its gateways.

use std::{convert::Infallible, pin::pin, sync::Arc, task::Poll, time::Duration};

use dialplane::{
    api::CallApi,
    call::{CallId, CallState, Position, Selection, Selector},
    gateway::{Clock, Delivered, Gateway},
    http::Delivery,
    ledger::{
        Ledger,
        sqlite::{Disk, SqliteLedger},
    },
    proto::{GetCallResultsRequest, call_service_server::CallService},
    sandbox::Post,
};
use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};
use tonic::Request;

use crate::{
    callers::{Manner, shown},
    disk::Shaky,
    faults::Mischief,
    house::GIVE_UP_AFTER,
    line::Wire,
    list, panics, regret, reloads, stop, watcher,
    world::{Event, World, note},
};

/// After the last fault, and what may then take its time: calls that are given up on, and a
/// vendor that was asked in vain and is left in peace for a while.
const CALM: Duration = Duration::from_secs(120 + 60 + 420);

/// Beyond all that is planned.
const ETERNITY: Duration = Duration::from_secs(86_400);

/// What became of a world.
#[derive(Debug)]
pub struct Outcome {
    /// What was not as it must be.
    pub wrong: Option<String>,
    pub trace: Vec<String>,
}

/// How a gateway ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Died,
    Over,
}

/// Lives through the world of a seed.
pub fn run(seed: u64, traced: bool) -> Outcome {
    run_with(seed, traced, None)
}

/// The same, with something in it that breaks the promises.
pub fn run_with(seed: u64, traced: bool, mischief: Option<Mischief>) -> Outcome {
    let world = World::new(seed, traced);
    world.state().mischief = mischief;
    let disk = Disk::new().unwrap();
    panics::watch();
    let end = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        while live_once(&world, &disk) == End::Died {
            lie_dead(&world);
        }
    }));
    let panicked = panics::unwatch();
    let mut state = world.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let wrong = panicked.map(|what| format!("(8) {what}"));
    let wrong = wrong.or_else(|| state.checker.verdict().map(str::to_owned));
    assert!(end.is_ok() || wrong.is_some());
    Outcome { wrong, trace: state.trace.take().unwrap_or_default() }
}

fn live_once(world: &Arc<World>, disk: &Disk) -> End {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let end = runtime.block_on(async {
        world.set_alive(true);
        let end = tokio::select! {
            biased;
            () = world.death() => End::Died,
            end = live(world, disk) => end,
            // Only when nothing else is left to wait for, or nobody ever stops.
            () = sleep(ETERNITY) => {
                world.state().checker.wrong("(8) everybody waits for ever".to_owned());
                End::Over
            }
        };
        world.set_alive(false);
        end
    });
    // Here every task stops where it is.
    drop(runtime);
    end
}

/// The time between two lives, in which vendors and callers go on.
fn lie_dead(world: &World) {
    let mut state = world.state();
    state.cut_off();
    let pause = Duration::from_millis(state.rng.range(10, 8_000));
    let until = state.now() + pause;
    while let Some(next) = state.next_time().filter(|next| *next < until) {
        state.skip_to(next);
        while let Some(event) = state.take_due() {
            match event {
                Event::Arrives(_) | Event::Question(_) => {}
                Event::Attempt(index) => state.not_connected(index),
                Event::Posts(post, times) => state.posted(&post, times, None),
            }
        }
    }
    state.skip_to(until);
    note!(state, "a gateway starts");
}

async fn live(world: &Arc<World>, disk: &Disk) -> End {
    let (ledger, writer) = SqliteLedger::on_disk(disk).unwrap();
    let ledger = Arc::new(ledger);
    tokio::spawn(while_alive(Arc::clone(world), writer));
    all_told_is_there(world, &ledger).await;

    let shaky = Arc::new(Shaky { sqlite: Arc::clone(&ledger), world: Arc::clone(world) });
    let time = Arc::clone(world);
    let config = Arc::clone(&world.state().config);
    let gateway =
        Gateway::with_lines(&config, shaky, Clock::new(move || time.believed()), |vendor| {
            Ok::<_, Infallible>(Arc::new(Wire {
                world: Arc::clone(world),
                vendor: vendor.name.clone(),
            }))
        });
    let Ok(gateway) = gateway;
    if let Err(error) = gateway.recover().await {
        let mut state = world.state();
        note!(state, "no start: {error}");
        return End::Died;
    }
    gateway.attend();
    let is_watched = world.state().is_watched;
    if is_watched {
        tokio::spawn(watcher::watch(Arc::clone(world), gateway.clone()));
    }
    tokio::spawn(regret::take_back(Arc::clone(world), gateway.clone()));
    tokio::spawn(reloads::now_and_then(Arc::clone(world), gateway.clone()));
    tokio::spawn(list::keep(Arc::clone(world), gateway.clone()));
    tokio::spawn(stop::when_told(Arc::clone(world), gateway.clone(), Arc::clone(&ledger)));
    let end = attend(world, &gateway, &ledger).await;
    if end == End::Over && world.state().checker.verdict().is_none() {
        ask_once_more(world, &gateway).await;
        all_told_is_there(world, &ledger).await;
        if is_watched {
            watcher::sees_all(world).await;
        }
    }
    end
}

/// A dead process writes nothing more.
async fn while_alive(world: Arc<World>, writer: impl Future<Output = ()>) {
    let mut writer = pin!(writer);
    std::future::poll_fn(|context| {
        if world.state().dead { Poll::Pending } else { writer.as_mut().poll(context) }
    })
    .await;
}

async fn attend(world: &Arc<World>, gateway: &Gateway, ledger: &Arc<SqliteLedger>) -> End {
    let last = world.state().faults.end + CALM;
    loop {
        read_changes(world, ledger).await;
        loop {
            let event = world.state().take_due();
            let Some(event) = event else { break };
            tokio::spawn(happen(Arc::clone(world), gateway.clone(), event));
        }
        let wait = {
            let mut state = world.state();
            let now = state.now();
            if state.checker.verdict().is_some() || panics::any() {
                return End::Over;
            }
            // What waits for a time that is far ahead stays.
            let by = state.waits.shown(last);
            let all_is_over = state.checker.due_by(by).next().is_none();
            if now >= state.faults.end && all_is_over && state.is_quiet() {
                return End::Over;
            }
            if now >= last {
                let open: Vec<_> = state.checker.due_by(by).map(CallState::name).collect();
                let quiet = state.is_quiet();
                state
                    .checker
                    .wrong(format!("(4) not over in all the time: {open:?}, quiet: {quiet}"));
                return End::Over;
            }
            let next = state.next_time().unwrap_or(last).min(last);
            next.saturating_sub(now)
        };
        tokio::select! {
            biased;
            () = world.changed.notified() => {}
            () = sleep(wait) => {}
        }
    }
}

/// Has each change looked at, in its order.
pub async fn read_changes(world: &World, ledger: &SqliteLedger) {
    loop {
        let through = world.state().checker.through;
        if *ledger.newest().borrow() <= through {
            return;
        }
        let changes = ledger.changes(&Selection::All, through, 1_000).await.unwrap();
        let mut state = world.state();
        for change in &changes.changes {
            let call = &change.call;
            let vendor = &call.vendor;
            let reason = call.error.as_ref().map_or("", |error| error.reason.as_ref());
            note!(
                state,
                "{:?} is {} at {vendor} {reason}{}",
                call.order.to[0].digits(),
                call.state.name(),
                call.held_until.map(|until| format!(" until {until}")).unwrap_or_default()
            );
            let late = state.checker.timing.changed(call);
            if let Some(late) = late.filter(|_| state.waits.is_calm) {
                state.checker.wrong(late);
            }
            state.checker.changed(call);
        }
        state.checker.through = changes.through;
    }
}

/// Whatever a caller was told of is in the ledger.
async fn all_told_is_there(world: &World, ledger: &SqliteLedger) {
    read_changes(world, ledger).await;
    let told: Vec<CallId> = world.state().callers.told.keys().copied().collect();
    if told.is_empty() {
        return;
    }
    let start = Position { entries: 0, within: None };
    let page = ledger.page(&Selector::Calls(told), start, 1_000).await.unwrap();
    if let Some(lost) = page.not_found.first() {
        world
            .state()
            .checker
            .wrong(format!("(2) a caller was told of {lost}, and it is not there"));
    }
}

async fn happen(world: Arc<World>, gateway: Gateway, event: Event) {
    match event {
        Event::Arrives(_) => {}
        Event::Posts(post, times) => {
            let status = post_to(&world, &gateway, &post).await;
            let mut state = world.state();
            if !state.dead {
                state.posted(&post, times, Some(status));
            }
        }
        Event::Attempt(index) => attempt(&world, gateway, index).await,
        Event::Question(index) => question(&world, gateway, index).await,
    }
    world.changed.notify_one();
}

async fn attempt(world: &World, gateway: Gateway, index: usize) {
    let (attempt, proto, manner, way_back) = world.state().begins(index);
    let mut request = Request::new(proto);
    if let Manner::Deadline(ms) = manner {
        request.set_timeout(Duration::from_millis(ms));
    }
    let api = CallApi::new(gateway);
    let answer = api.create_calls(request);
    let outcome = match manner {
        Manner::Leaves(ms) => timeout(Duration::from_millis(ms), answer).await.ok(),
        Manner::Patient | Manner::Deadline(_) => Some(answer.await),
    };
    // Of those who wait for the same answer tokio wakes any first: each hears it at a
    // moment of its own.
    sleep(way_back).await;
    let mut state = world.state();
    // What a dying process says is not heard.
    if !state.dead {
        state.ends(index, attempt, outcome.map(|outcome| outcome.map(tonic::Response::into_inner)));
    }
}

async fn question(world: &World, gateway: Gateway, index: usize) {
    let Some(ids) = world.state().callers.ids_of(index) else { return };
    let request = GetCallResultsRequest {
        call_ids: ids,
        max_staleness: Some(prost_types::Duration::default()),
        ..GetCallResultsRequest::default()
    };
    let answer = CallApi::new(gateway).get_call_results(Request::new(request)).await;
    let mut state = world.state();
    if state.dead {
        return;
    }
    if let Ok(answer) = answer.map(tonic::Response::into_inner) {
        note!(state, "question {index}: answered");
        if !answer.not_found.is_empty() {
            state.checker.wrong(format!("(2) not found: {:?}", answer.not_found));
        }
        for call in &answer.calls {
            state.told_of(call);
        }
    }
}

/// Posts, and gives the HTTP status that this is answered with.
async fn post_to(world: &World, gateway: &Gateway, post: &Post) -> u16 {
    let path = post.url().split("/callbacks/").nth(1).unwrap_or_default();
    let (vendor, token) = path.split_once('/').unwrap_or((path, ""));
    let delivery = Delivery {
        token: Some(token.to_owned()).filter(|token| !token.is_empty()),
        query: Vec::new(),
        content_type: post.content_type().to_owned(),
        authorization: post.authorization().map(str::to_owned),
        body: post.body().to_owned().into(),
    };
    match gateway.deliver(vendor, delivery).await {
        Delivered::Taken | Delivered::Answer(_) => 200,
        Delivered::TryLater(_) => 503,
        // The vendor may be out of the configuration for a while.
        Delivered::NoSuchCallback if world.state().reloads.happen => 404,
        wrong => {
            world.state().checker.wrong(format!("{vendor} posted its own: {wrong:?}"));
            400
        }
    }
}

/// In the end everybody asks again, and gets the same.
async fn ask_once_more(world: &World, gateway: &Gateway) {
    let answered = world.state().callers.answered();
    let api = CallApi::new(gateway.clone());
    for (request, ids) in answered {
        let id = request.request_id.clone();
        let answer = timeout(GIVE_UP_AFTER, api.create_calls(Request::new(request))).await;
        let mut state = world.state();
        let again = match answer {
            Err(_) => {
                state.checker.wrong(format!("(8) {id} once more is never answered"));
                continue;
            }
            Ok(Ok(response)) => {
                let response = response.into_inner();
                note!(state, "once more: {}", shown(&response));
                if !response.replayed {
                    state.checker.wrong(format!("(6) {id} once more is new"));
                }
                response.calls
            }
            Ok(Err(status)) => match state.refusal_calls(&status) {
                Some(calls) => calls,
                None => continue,
            },
        };
        if !again.iter().zip(&ids).all(|(call, id)| call.call_id == *id) {
            state.checker.wrong(format!("(6) {id} has other calls than before"));
        }
    }
}

//! Hands each change, as it is made, to those who watch its call. One reads the ledger
//! for all; who does not keep up is let go, and reads the ledger for himself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, mpsc};

use crate::{
    call::{CallId, ClientReference, RequestId, Selection, Selector},
    ledger::Change,
};

/// Changes that may wait for one watcher.
const QUEUE: usize = 128;
/// Changes handed out before somebody else may have the lock.
const STRETCH: usize = 64;

/// What a change is looked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Call(CallId),
    Request(RequestId),
    Reference(ClientReference),
    Route(String),
    All,
}

/// Where a watcher's changes are put. Closed, and let go, when it is full.
#[derive(Debug)]
struct Outlet(Mutex<Option<mpsc::Sender<Arc<Change>>>>);

/// Who watches what.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Hub {
    state: Mutex<State>,
    first: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Every change up to this number was handed out, or was there before anybody watched.
    position: u64,
    watchers: usize,
    by_key: HashMap<Key, Vec<Arc<Outlet>>>,
}

/// Changes as they are made. Watching ends when it is dropped.
#[derive(Debug)]
pub(super) struct Live {
    hub: Arc<Hub>,
    keys: Vec<Key>,
    outlet: Arc<Outlet>,
    queue: mpsc::Receiver<Arc<Change>>,
}

impl Hub {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches from now on: whatever is not on disk yet comes through here, and may come
    /// although it is. `newest` tells the number of the newest change on disk.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        selection: &Selection,
        newest: impl Fn() -> u64,
    ) -> Live {
        let (sender, queue) = mpsc::channel(QUEUE);
        let outlet = Arc::new(Outlet(Mutex::new(Some(sender))));
        let keys = keys(selection);
        let mut state = self.state();
        if state.watchers == 0 {
            // Nobody was there for what came before: it is read from the ledger.
            state.position = state.position.max(newest());
        }
        state.watchers += 1;
        for key in &keys {
            state.by_key.entry(key.clone()).or_default().push(Arc::clone(&outlet));
        }
        drop(state);
        self.first.notify_one();
        Live { hub: Arc::clone(self), keys, outlet, queue }
    }

    /// How far changes were handed out; none while nobody watches.
    pub(super) fn position(&self) -> Option<u64> {
        let state = self.state();
        (state.watchers > 0).then_some(state.position)
    }

    /// Waits until somebody watches.
    pub(super) async fn watched(&self) {
        self.first.notified().await;
    }

    /// How many watch.
    pub(super) fn watchers(&self) -> usize {
        self.state().watchers
    }

    /// Hands changes out: every one up to `through` is among them or is nobody's.
    pub(super) fn hand_out(&self, changes: Vec<Change>, through: u64) {
        let mut changes = changes.into_iter().map(Arc::new).peekable();
        while changes.peek().is_some() {
            let state = self.state();
            for change in changes.by_ref().take(STRETCH) {
                state.hand_out(&change);
            }
        }
        let mut state = self.state();
        state.position = state.position.max(through);
    }
}

impl State {
    fn hand_out(&self, change: &Arc<Change>) {
        let call = &change.call;
        let keys = [
            Some(Key::Call(call.id)),
            Some(Key::Request(call.request_id.clone())),
            call.order.client_reference.clone().map(Key::Reference),
            Some(Key::Route(call.route.clone())),
            Some(Key::All),
        ];
        for outlet in keys.iter().flatten().filter_map(|key| self.by_key.get(key)).flatten() {
            outlet.put(change);
        }
    }
}

impl Outlet {
    fn put(&self, change: &Arc<Change>) {
        let mut sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full =
            sender.as_ref().is_some_and(|sender| sender.try_send(Arc::clone(change)).is_err());
        if full {
            *sender = None;
        }
    }
}

impl Live {
    /// The next change; none when this watcher was too slow and some are missing. Nothing
    /// is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Arc<Change>> {
        self.queue.recv().await
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let mut state = self.hub.state();
        state.watchers = state.watchers.saturating_sub(1);
        for key in &self.keys {
            if let Some(outlets) = state.by_key.get_mut(key) {
                outlets.retain(|outlet| !Arc::ptr_eq(outlet, &self.outlet));
                if outlets.is_empty() {
                    state.by_key.remove(key);
                }
            }
        }
    }
}

fn keys(selection: &Selection) -> Vec<Key> {
    match selection {
        Selection::Named(Selector::Calls(ids)) => ids.iter().copied().map(Key::Call).collect(),
        Selection::Named(Selector::Request(id)) => vec![Key::Request(id.clone())],
        Selection::Named(Selector::References(references)) => {
            references.iter().cloned().map(Key::Reference).collect()
        }
        Selection::Route(route) => vec![Key::Route(route.clone())],
        Selection::All => vec![Key::All],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CallState, testing::call};

    fn change(number: u64, of: &CallId) -> Change {
        let mut call = call(CallState::Accepted);
        call.id = *of;
        Change { number, call }
    }

    fn numbers(live: &mut Live) -> Vec<u64> {
        std::iter::from_fn(|| live.queue.try_recv().ok()).map(|change| change.number).collect()
    }

    #[test]
    fn each_gets_what_is_watched_and_nobody_else() {
        let hub = Arc::new(Hub::default());
        let [one, two] = [CallId::generate(), CallId::generate()];
        assert_eq!(hub.position(), None);
        let watch = |selection| hub.subscribe(&selection, || 5);
        let by_id = |ids: &[CallId]| Selection::Named(Selector::Calls(ids.to_vec()));
        let mut first = watch(by_id(&[one]));
        let mut both = watch(by_id(&[one, two]));
        let mut all = watch(Selection::All);
        let mut route = watch(Selection::Route("elsewhere".to_owned()));
        assert_eq!((hub.position(), hub.watchers()), (Some(5), 4));
        hub.hand_out(vec![change(6, &one), change(7, &two)], 9);
        assert_eq!(hub.position(), Some(9));
        assert_eq!(numbers(&mut first), [6]);
        assert_eq!(numbers(&mut both), [6, 7]);
        assert_eq!(numbers(&mut all), [6, 7]);
        assert!(numbers(&mut route).is_empty());
        drop((first, both, all, route));
        assert!(hub.state().by_key.is_empty() && hub.watchers() == 0);
    }

    #[tokio::test]
    async fn who_does_not_keep_up_is_let_go_with_what_was_queued() {
        let hub = Arc::new(Hub::default());
        let one = CallId::generate();
        let mut slow = hub.subscribe(&Selection::All, || 0);
        let mut quick = hub.subscribe(&Selection::All, || 0);
        let last = QUEUE as u64 + 10;
        for number in 1..=last {
            hub.hand_out(vec![change(number, &one)], number);
            assert_eq!(numbers(&mut quick), [number], "a slow one holds up nobody");
        }
        for number in 1..=QUEUE as u64 {
            assert_eq!(slow.next().await.map(|change| change.number), Some(number));
        }
        assert!(slow.next().await.is_none(), "some are missing");
    }
}

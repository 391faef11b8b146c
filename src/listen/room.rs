//! Who is in, and for how many more there is room.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::Origin;

/// What becomes of a connection for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// It waits to be taken, until another one ends.
    Waits,
    /// The oldest that has not said who it is makes room for it; if all have, it is refused.
    Refused,
}

/// The connections of one listener.
#[derive(Debug)]
pub struct Room {
    full: Full,
    state: Mutex<State>,
    /// A place was given back.
    free: Notify,
}

#[derive(Debug)]
struct State {
    most: usize,
    most_per_peer: usize,
    next: u64,
    taken: usize,
    by_peer: HashMap<Origin, usize>,
    /// Those that have not said who they are, oldest first, and how they are told to go.
    silent: BTreeMap<u64, Silent>,
}

#[derive(Debug)]
struct Silent {
    origin: Origin,
    gone: Arc<Notify>,
}

/// A connection's place in the room; given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    number: u64,
    origin: Origin,
    gone: Arc<Notify>,
    spoke: bool,
}

impl Room {
    /// An empty one.
    pub fn new(full: Full, most: usize, most_per_peer: Option<usize>) -> Arc<Self> {
        let state = State {
            most,
            most_per_peer: most_per_peer.unwrap_or(usize::MAX),
            next: 0,
            taken: 0,
            by_peer: HashMap::new(),
            silent: BTreeMap::new(),
        };
        Arc::new(Self { full, state: Mutex::new(state), free: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other bounds from now on. Nobody who is in has to go.
    pub fn resize(&self, most: usize, most_per_peer: Option<usize>) {
        let mut state = self.state();
        (state.most, state.most_per_peer) = (most, most_per_peer.unwrap_or(usize::MAX));
        drop(state);
        self.free.notify_one();
    }

    /// How many are in.
    pub fn taken(&self) -> usize {
        self.state().taken
    }

    fn has_room(&self) -> bool {
        let state = self.state();
        state.taken < state.most
    }

    /// Waits until one more may be taken, where it would have to wait.
    pub async fn ready(&self) {
        if self.full == Full::Refused {
            return;
        }
        loop {
            let free = self.free.notified();
            if self.has_room() {
                return;
            }
            free.await;
        }
    }

    /// A place for one more, if there is one for it.
    pub fn enter(self: &Arc<Self>, origin: Origin) -> Option<Place> {
        let mut state = self.state();
        let of_peer = state.by_peer.get(&origin).copied().unwrap_or_default();
        if origin != Origin::Here && of_peer >= state.most_per_peer {
            return None;
        }
        if state.taken >= state.most {
            let oldest = (self.full == Full::Refused).then(|| state.silent.pop_first()).flatten();
            let (_, oldest) = oldest?;
            state.leave(oldest.origin);
            oldest.gone.notify_one();
        }
        let number = state.next;
        state.next += 1;
        state.taken += 1;
        *state.by_peer.entry(origin).or_default() += 1;
        let gone = Arc::new(Notify::new());
        state.silent.insert(number, Silent { origin, gone: Arc::clone(&gone) });
        drop(state);
        Some(Place { room: Arc::clone(self), number, origin, gone, spoke: false })
    }
}

impl State {
    fn leave(&mut self, origin: Origin) {
        self.taken = self.taken.saturating_sub(1);
        match self.by_peer.get_mut(&origin) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.by_peer.remove(&origin)),
        }
    }
}

impl Place {
    /// It has said who it is, and need not make room for others any more. False when it had
    /// to already.
    pub fn spoke(&mut self) -> bool {
        self.spoke = self.room.state().silent.remove(&self.number).is_some();
        self.spoke
    }

    /// Waits until it has to make room for others.
    pub async fn gone(&self) {
        self.gone.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.room.state();
        // Of one that made room the place is somebody else's.
        if self.spoke || state.silent.remove(&self.number).is_some() {
            state.leave(self.origin);
            drop(state);
            self.room.free.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn peer(last: u8) -> Origin {
        Origin::of([10, 0, 0, last].into())
    }

    #[test]
    fn the_oldest_silent_one_makes_room() {
        let room = Room::new(Full::Refused, 2, None);
        let mut first = room.enter(peer(1)).unwrap();
        let mut second = room.enter(peer(2)).unwrap();
        assert!(second.spoke());
        let mut third = room.enter(peer(3)).unwrap();
        assert!(first.gone().now_or_never().is_some() && second.gone().now_or_never().is_none());
        assert!(!first.spoke());
        assert_eq!(room.taken(), 2);
        // Its place is the third one's: nothing is given back.
        drop(first);
        assert_eq!(room.taken(), 2);
        assert!(third.spoke());
        assert!(room.enter(peer(4)).is_none(), "nobody makes room who has spoken");
        drop(second);
        drop(room.enter(peer(4)).unwrap());
        drop(third);
        assert_eq!(room.taken(), 0);
        assert!(room.state().by_peer.is_empty() && room.state().silent.is_empty());
    }

    #[test]
    fn nobody_takes_all_of_it() {
        let room = Room::new(Full::Refused, 10, Some(2));
        let both = [room.enter(peer(1)), room.enter(peer(1))];
        assert!(both.iter().all(Option::is_some) && room.enter(peer(1)).is_none());
        assert!(room.enter(peer(2)).is_some());
        let local: Vec<_> = (0..5).filter_map(|_| room.enter(Origin::Here)).collect();
        assert_eq!(local.len(), 5, "a Unix socket has one peer only");
        drop(both);
        assert!(room.enter(peer(1)).is_some());
    }

    #[tokio::test]
    async fn who_waits_is_let_in_when_somebody_leaves() {
        let room = Room::new(Full::Waits, 1, None);
        room.ready().await;
        let place = room.enter(peer(1)).unwrap();
        assert!(room.ready().now_or_never().is_none());
        let waiting = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.ready().await }
        });
        tokio::task::yield_now().await;
        drop(place);
        waiting.await.unwrap();
        let _place = room.enter(peer(1)).unwrap();
        assert!(room.ready().now_or_never().is_none());
        room.resize(2, None);
        room.ready().await;
    }
}

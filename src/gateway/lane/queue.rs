//! Who goes next. First come, first served, and fair: a request of thousands of calls does not
//! keep a later one of a single call waiting until it is through.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use super::Apart;

/// Calls that may go together in one exchange.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Group {
    /// As the adapter says ([`crate::vendors::Vendor::group`]).
    pub name: Arc<str>,
    /// Set for calls that go with nobody but these.
    pub apart: Option<Apart>,
}

impl Group {
    fn key(&self) -> (u64, &str) {
        (self.apart.as_ref().map_or(0, |apart| apart.id), &self.name)
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Group {}

impl PartialOrd for Group {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Group {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// A whole that waits: it goes in one exchange, or not at all.
pub(in crate::gateway) trait Whole {
    /// How many calls of it go.
    fn calls(&self) -> usize;
    /// When something is to be done about it if it still waits.
    fn act_by(&self) -> Option<Instant>;
}

/// Wholes of `W`, and calls `C` that may be parted, each of an owner `O`.
#[derive(Debug)]
pub(in crate::gateway) struct Queue<W, C, O> {
    groups: BTreeMap<Group, VecDeque<Entry<W, C, O>>>,
    /// The ticket of the first of each group.
    fronts: BTreeSet<(i64, Group)>,
    next_ticket: i64,
    /// Below all that were given.
    first_ticket: i64,
    entries: usize,
    calls: usize,
    /// Of these, the entries and calls that may be parted.
    parts: (usize, usize),
    /// Nothing is to be done about anything before this.
    act_by: Option<Instant>,
}

#[derive(Debug)]
struct Entry<W, C, O> {
    ticket: i64,
    since: Instant,
    body: Body<W, C, O>,
}

#[derive(Debug)]
enum Body<W, C, O> {
    Whole(W),
    Parts { calls: VecDeque<C>, owner: O },
}

impl<W: Whole, C, O> Body<W, C, O> {
    fn calls(&self) -> usize {
        match self {
            Self::Whole(whole) => whole.calls(),
            Self::Parts { calls, .. } => calls.len(),
        }
    }
}

/// What is to go next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct Front {
    /// Since when the first of it waits.
    pub since: Instant,
    /// How many calls there has to be room for: 1 where they may be parted.
    pub needs: usize,
    /// As many calls of its group wait, or more than asked for.
    pub waiting: usize,
}

/// What was taken to go.
#[derive(Debug)]
pub(in crate::gateway) struct Taken<W, C, O> {
    pub group: Group,
    /// Since when the first of it waited.
    pub since: Instant,
    pub load: Load<W, C, O>,
}

/// What goes together in one exchange.
#[derive(Debug)]
pub(in crate::gateway) enum Load<W, C, O> {
    Wholes(Vec<W>),
    /// Each call with its owner.
    Parts(Vec<(C, O)>),
}

impl<W: Whole, C, O> Taken<W, C, O> {
    pub(super) fn calls(&self) -> usize {
        match &self.load {
            Load::Wholes(wholes) => wholes.iter().map(Whole::calls).sum(),
            Load::Parts(parts) => parts.len(),
        }
    }
}

impl<W: Whole, C, O: Clone> Queue<W, C, O> {
    pub(super) fn new() -> Self {
        Self {
            groups: BTreeMap::new(),
            fronts: BTreeSet::new(),
            next_ticket: 0,
            first_ticket: 0,
            entries: 0,
            calls: 0,
            parts: (0, 0),
            act_by: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// How many calls get a turn before the last of as many that come now: wholes, and of each
    /// who may be parted no more than of those. Never less than it is, and exact unless some
    /// wait with fewer and some with more.
    pub(super) fn ahead_of(&self, calls: usize) -> usize {
        let (owners, parts) = self.parts;
        (self.calls - parts).saturating_add(parts.min(owners.saturating_mul(calls)))
    }

    fn count(&mut self, body: &Body<W, C, O>) {
        self.entries += 1;
        self.calls += body.calls();
        if let Body::Parts { calls, .. } = body {
            self.parts.0 += 1;
            self.parts.1 += calls.len();
        }
    }

    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// Has a whole wait, with a ticket in the place of who had it.
    pub(super) fn push_whole(&mut self, group: Group, whole: W, now: Instant, ticket: Option<i64>) {
        self.act_by = earlier(self.act_by, whole.act_by());
        self.push(group, ticket, now, Body::Whole(whole));
    }

    /// The same of calls that may be parted. Nothing comes of an empty list.
    pub(super) fn push_parts(
        &mut self,
        group: Group,
        calls: VecDeque<C>,
        owner: O,
        now: Instant,
        ticket: Option<i64>,
    ) {
        if !calls.is_empty() {
            self.push(group, ticket, now, Body::Parts { calls, owner });
        }
    }

    fn push(&mut self, group: Group, ticket: Option<i64>, since: Instant, body: Body<W, C, O>) {
        let ticket = ticket.unwrap_or_else(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        self.count(&body);
        let mut waiting = self.groups.remove(&group).unwrap_or_default();
        if let Some(first) = waiting.front() {
            self.fronts.remove(&(first.ticket, group.clone()));
        }
        // Nearly always the last one.
        let place = match waiting.back() {
            Some(last) if last.ticket > ticket => waiting.partition_point(|e| e.ticket <= ticket),
            _ => waiting.len(),
        };
        waiting.insert(place, Entry { ticket, since, body });
        self.put(group, waiting);
    }

    /// The first of those that came first, of whose group no more than `enough` calls are
    /// counted.
    pub(super) fn front(&self, enough: usize) -> Option<Front> {
        let (_, group) = self.fronts.first()?;
        let entries = self.groups.get(group)?;
        let first = entries.front()?;
        let needs = match &first.body {
            Body::Whole(whole) => whole.calls(),
            Body::Parts { .. } => 1,
        };
        let mut waiting = 0;
        for entry in entries {
            waiting += entry.body.calls();
            if waiting >= enough {
                break;
            }
        }
        Some(Front { since: first.since, needs, waiting })
    }

    /// Takes what goes next, up to so many calls: wholes one after the other, calls that may
    /// be parted one of each owner in turns. Where they don't go `together`, of the first alone.
    pub(super) fn take(&mut self, room: usize, together: bool) -> Option<Taken<W, C, O>> {
        let (_, group) = self.fronts.pop_first()?;
        let mut entries = self.groups.remove(&group)?;
        let first = entries.front()?;
        let since = first.since;
        let load = match first.body {
            Body::Whole(_) => Load::Wholes(self.take_wholes(&mut entries, room, together)),
            Body::Parts { .. } => Load::Parts(self.take_parts(&mut entries, room, together)),
        };
        self.put(group.clone(), entries);
        Some(Taken { group, since, load })
    }

    fn put(&mut self, group: Group, entries: VecDeque<Entry<W, C, O>>) {
        if let Some(first) = entries.front() {
            self.fronts.insert((first.ticket, group.clone()));
            self.groups.insert(group, entries);
        }
    }

    fn take_wholes(
        &mut self,
        entries: &mut VecDeque<Entry<W, C, O>>,
        mut room: usize,
        together: bool,
    ) -> Vec<W> {
        let mut taken = Vec::new();
        while let Some(entry) = entries.pop_front() {
            match entry.body {
                Body::Whole(whole) if whole.calls() <= room || taken.is_empty() => {
                    room = room.saturating_sub(whole.calls());
                    self.entries -= 1;
                    self.calls -= whole.calls();
                    taken.push(whole);
                }
                body => {
                    entries.push_front(Entry { body, ..entry });
                    break;
                }
            }
            if !together {
                break;
            }
        }
        taken
    }

    /// Who has some left is behind the others then.
    fn take_parts(
        &mut self,
        entries: &mut VecDeque<Entry<W, C, O>>,
        room: usize,
        together: bool,
    ) -> Vec<(C, O)> {
        let mut in_turns = VecDeque::new();
        while let Some(Entry { body: Body::Parts { .. }, .. }) = entries.front() {
            in_turns.extend(entries.pop_front());
            if !together || in_turns.len() >= room {
                break;
            }
        }
        let mut taken = Vec::new();
        let mut untouched = in_turns.len();
        while taken.len() < room
            && let Some(mut entry) = in_turns.pop_front()
        {
            let Body::Parts { calls, owner } = &mut entry.body else { continue };
            untouched = untouched.saturating_sub(1);
            if let Some(call) = calls.pop_front() {
                self.calls -= 1;
                self.parts.1 -= 1;
                taken.push((call, owner.clone()));
            }
            if calls.is_empty() {
                self.entries -= 1;
                self.parts.0 -= 1;
            } else {
                in_turns.push_back(entry);
            }
        }
        // Who got nothing keeps his place, the others have had their turn.
        let had_a_turn = in_turns.split_off(untouched.min(in_turns.len()));
        for entry in in_turns.into_iter().rev() {
            entries.push_front(entry);
        }
        for entry in had_a_turn {
            self.next_ticket += 1;
            entries.push_back(Entry { ticket: self.next_ticket, ..entry });
        }
        taken
    }

    /// Puts back what was taken and does not fit after all: it is the next to go.
    pub(super) fn give_back(&mut self, taken: Taken<W, C, O>) {
        let Taken { group, since, load } = taken;
        let bodies: Vec<_> = match load {
            Load::Wholes(wholes) => wholes.into_iter().map(Body::Whole).collect(),
            Load::Parts(parts) => {
                let part = |(call, owner)| Body::Parts { calls: VecDeque::from([call]), owner };
                parts.into_iter().map(part).collect()
            }
        };
        let mut entries = self.groups.remove(&group).unwrap_or_default();
        if let Some(first) = entries.front() {
            self.fronts.remove(&(first.ticket, group.clone()));
        }
        for body in bodies.into_iter().rev() {
            if let Body::Whole(whole) = &body {
                self.act_by = earlier(self.act_by, whole.act_by());
            }
            self.count(&body);
            self.first_ticket -= 1;
            entries.push_front(Entry { ticket: self.first_ticket, since, body });
        }
        self.put(group, entries);
    }

    /// Takes out the wholes about which something is to be done by now, with their tickets and
    /// groups, in the order of the tickets.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(i64, Group, W)> {
        if self.act_by.is_none_or(|act_by| act_by > now) {
            return Vec::new();
        }
        self.take_out(|whole| whole.act_by().is_some_and(|time| time <= now))
    }

    /// Takes out these wholes, with their tickets, in the order of these.
    pub(super) fn take_out(&mut self, is_one: impl Fn(&W) -> bool) -> Vec<(i64, Group, W)> {
        let (mut taken, mut act_by) = (Vec::new(), None);
        self.fronts.clear();
        for (group, entries) in std::mem::take(&mut self.groups) {
            let mut left = VecDeque::with_capacity(entries.len());
            for entry in entries {
                match entry.body {
                    Body::Whole(whole) if is_one(&whole) => {
                        self.entries -= 1;
                        self.calls -= whole.calls();
                        taken.push((entry.ticket, group.clone(), whole));
                    }
                    body => {
                        if let Body::Whole(whole) = &body {
                            act_by = earlier(act_by, whole.act_by());
                        }
                        left.push_back(Entry { body, ..entry });
                    }
                }
            }
            self.put(group, left);
        }
        self.act_by = act_by;
        taken.sort_by_key(|(ticket, ..)| *ticket);
        taken
    }

    /// When something is to be done about one of them, or has been.
    pub(super) fn act_by(&self) -> Option<Instant> {
        self.act_by
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> (Vec<W>, Vec<(VecDeque<C>, O)>) {
        let (mut wholes, mut parts) = (Vec::new(), Vec::new());
        for entry in std::mem::take(&mut self.groups).into_values().flatten() {
            match entry.body {
                Body::Whole(whole) => wholes.push(whole),
                Body::Parts { calls, owner } => parts.push((calls, owner)),
            }
        }
        *self = Self::new();
        (wholes, parts)
    }
}

pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

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
    lines: BTreeMap<Line, BTreeMap<i64, Entry<W, C, O>>>,
    /// The first ticket of each line.
    fronts: BTreeSet<(i64, Line)>,
    /// When something is to be done about wholes, by their tickets.
    due: BTreeSet<(Instant, i64, Line)>,
    next_ticket: i64,
    /// Below all that were given.
    first_ticket: i64,
    entries: usize,
    calls: usize,
    /// Of these, the entries and calls that may be parted.
    parts: (usize, usize),
}

/// Entries that may go together: those of a group that are recorded, or those that are not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    group: Group,
    is_recorded: bool,
}

#[derive(Debug)]
struct Entry<W, C, O> {
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

    fn act_by(&self) -> Option<Instant> {
        match self {
            Self::Whole(whole) => whole.act_by(),
            Self::Parts { .. } => None,
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
    /// How many calls wait that may go with it, or more than asked for.
    pub waiting: usize,
    /// Of how many these are, as far as they were counted.
    pub owners: usize,
    /// They go with nobody else.
    pub is_apart: bool,
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

impl<W, C, O> Default for Queue<W, C, O> {
    fn default() -> Self {
        Self {
            lines: BTreeMap::new(),
            fronts: BTreeSet::new(),
            due: BTreeSet::new(),
            next_ticket: 0,
            first_ticket: 0,
            entries: 0,
            calls: 0,
            parts: (0, 0),
        }
    }
}

impl<W: Whole, C, O: Clone> Queue<W, C, O> {
    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// How many calls wait.
    pub(super) fn calls(&self) -> usize {
        self.calls
    }

    /// How many have calls here.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// How many kinds of calls there are that can't go together.
    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// How many calls get a turn before the last of as many that come now: wholes, and of each
    /// who may be parted no more than of those. Never less than it is, and exact unless some
    /// wait with fewer and some with more.
    pub(super) fn ahead_of(&self, calls: usize) -> usize {
        let (owners, parts) = self.parts;
        (self.calls - parts).saturating_add(parts.min(owners.saturating_mul(calls)))
    }

    /// Has a whole wait, with a ticket in the place of who had it.
    pub(super) fn push_whole(&mut self, group: Group, whole: W, now: Instant, ticket: Option<i64>) {
        let ticket = ticket.unwrap_or_else(|| self.next());
        self.put(group, ticket, Entry { since: now, body: Body::Whole(whole) });
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
            let ticket = ticket.unwrap_or_else(|| self.next());
            self.put(group, ticket, Entry { since: now, body: Body::Parts { calls, owner } });
        }
    }

    fn next(&mut self) -> i64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn put(&mut self, group: Group, mut ticket: i64, entry: Entry<W, C, O>) {
        let line = Line { group, is_recorded: matches!(entry.body, Body::Parts { .. }) };
        self.entries += 1;
        self.calls += entry.body.calls();
        if let Body::Parts { calls, .. } = &entry.body {
            self.parts.0 += 1;
            self.parts.1 += calls.len();
        }
        let entries = self.lines.entry(line.clone()).or_default();
        let first = entries.first_key_value().map(|(first, _)| *first);
        // A place that was given back may be somebody's by now: right behind, among newcomers.
        while entries.contains_key(&ticket) {
            self.next_ticket += 1;
            ticket = self.next_ticket;
        }
        if let Some(act_by) = entry.body.act_by() {
            self.due.insert((act_by, ticket, line.clone()));
        }
        entries.insert(ticket, entry);
        if first.is_none_or(|first| ticket < first) {
            if let Some(first) = first {
                self.fronts.remove(&(first, line.clone()));
            }
            self.fronts.insert((ticket, line));
        }
    }

    fn remove(&mut self, line: &Line, ticket: i64) -> Option<Entry<W, C, O>> {
        let entries = self.lines.get_mut(line)?;
        let entry = entries.remove(&ticket)?;
        if self.fronts.remove(&(ticket, line.clone()))
            && let Some((first, _)) = entries.first_key_value()
        {
            self.fronts.insert((*first, line.clone()));
        }
        if entries.is_empty() {
            self.lines.remove(line);
        }
        if let Some(act_by) = entry.body.act_by() {
            self.due.remove(&(act_by, ticket, line.clone()));
        }
        self.entries -= 1;
        self.calls -= entry.body.calls();
        if let Body::Parts { calls, .. } = &entry.body {
            self.parts.0 -= 1;
            self.parts.1 -= calls.len();
        }
        Some(entry)
    }

    /// The first of those that came first, of whose line no more than `enough` calls are
    /// counted.
    pub(super) fn front(&self, enough: usize) -> Option<Front> {
        let (_, line) = self.fronts.first()?;
        let entries = self.lines.get(line)?;
        let (_, first) = entries.first_key_value()?;
        let needs = match &first.body {
            Body::Whole(whole) => whole.calls(),
            Body::Parts { .. } => 1,
        };
        let (mut waiting, mut owners) = (0, 0);
        for entry in entries.values() {
            waiting += entry.body.calls();
            owners += 1;
            if waiting >= enough {
                break;
            }
        }
        let is_apart = line.group.apart.is_some();
        Some(Front { since: first.since, needs, waiting, owners, is_apart })
    }

    /// Takes what goes next, up to so many calls: wholes one after the other, calls that may
    /// be parted one of each owner in turns. Where they don't go `together`, of the first alone.
    pub(super) fn take(&mut self, room: usize, together: bool) -> Option<Taken<W, C, O>> {
        let (ticket, line) = self.fronts.first()?.clone();
        let since = self.lines.get(&line)?.get(&ticket)?.since;
        let load = if line.is_recorded {
            Load::Parts(self.take_parts(&line, room, together))
        } else {
            Load::Wholes(self.take_wholes(&line, room, together))
        };
        Some(Taken { group: line.group, since, load })
    }

    fn take_wholes(&mut self, line: &Line, mut room: usize, together: bool) -> Vec<W> {
        let mut taken = Vec::new();
        while let Some((ticket, entry)) = self.lines.get(line).and_then(BTreeMap::first_key_value) {
            if entry.body.calls() > room && !taken.is_empty() {
                break;
            }
            let ticket = *ticket;
            if let Some(Entry { body: Body::Whole(whole), .. }) = self.remove(line, ticket) {
                room = room.saturating_sub(whole.calls());
                taken.push(whole);
            }
            if !together {
                break;
            }
        }
        taken
    }

    /// Who has some left is behind the others then.
    fn take_parts(&mut self, line: &Line, room: usize, together: bool) -> Vec<(C, O)> {
        let mut in_turns = VecDeque::new();
        let most = if together { room } else { 1 };
        while in_turns.len() < most
            && let Some(entries) = self.lines.get(line)
            && let Some((ticket, _)) = entries.first_key_value()
        {
            let ticket = *ticket;
            in_turns.extend(self.remove(line, ticket).map(|entry| (ticket, entry)));
        }
        let mut taken = Vec::new();
        let mut untouched = in_turns.len();
        while taken.len() < room
            && let Some((ticket, mut entry)) = in_turns.pop_front()
        {
            let Body::Parts { calls, owner } = &mut entry.body else { continue };
            untouched = untouched.saturating_sub(1);
            taken.extend(calls.pop_front().map(|call| (call, owner.clone())));
            if !calls.is_empty() {
                in_turns.push_back((ticket, entry));
            }
        }
        // Who got nothing keeps his place, the others have had their turn.
        for (place, (ticket, entry)) in in_turns.into_iter().enumerate() {
            let ticket = if place < untouched { ticket } else { self.next() };
            self.put(line.group.clone(), ticket, entry);
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
        for body in bodies.into_iter().rev() {
            self.first_ticket -= 1;
            self.put(group.clone(), self.first_ticket, Entry { since, body });
        }
    }

    /// Takes out the wholes about which something is to be done by now, with their tickets and
    /// groups.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<(i64, Group, W)> {
        let mut overdue = Vec::new();
        while let Some((act_by, ticket, line)) = self.due.first().cloned()
            && act_by <= now
        {
            self.due.pop_first();
            if let Some(Entry { body: Body::Whole(whole), .. }) = self.remove(&line, ticket) {
                overdue.push((ticket, line.group, whole));
            }
        }
        overdue
    }

    /// Takes out these wholes, with their tickets and groups. Looks at each.
    pub(super) fn take_out(&mut self, is_one: impl Fn(&W) -> bool) -> Vec<(i64, Group, W)> {
        let mut found = Vec::new();
        for (line, entries) in &self.lines {
            let is_one =
                |entry: &Entry<W, C, O>| matches!(&entry.body, Body::Whole(w) if is_one(w));
            let tickets = entries.iter().filter(|(_, entry)| is_one(entry));
            found.extend(tickets.map(|(ticket, _)| (*ticket, line.clone())));
        }
        let mut taken = Vec::new();
        for (ticket, line) in found {
            if let Some(Entry { body: Body::Whole(whole), .. }) = self.remove(&line, ticket) {
                taken.push((ticket, line.group, whole));
            }
        }
        taken
    }

    /// Groups everything anew, each in its place. Those wholes come out, with their tickets,
    /// that have no group any more.
    pub(super) fn regroup(
        &mut self,
        group_of: impl Fn(&W) -> Option<Arc<str>>,
        group_of_part: impl Fn(&C) -> Arc<str>,
    ) -> Vec<(i64, W)> {
        let (next_ticket, first_ticket) = (self.next_ticket, self.first_ticket);
        let before = std::mem::take(self);
        (self.next_ticket, self.first_ticket) = (next_ticket, first_ticket);
        let mut unfit = Vec::new();
        for (line, entries) in before.lines {
            let group = |name| Group { name, apart: line.group.apart.clone() };
            for (ticket, Entry { since, body }) in entries {
                match body {
                    Body::Whole(whole) => match group_of(&whole) {
                        Some(name) => {
                            self.put(
                                group(name),
                                ticket,
                                Entry { since, body: Body::Whole(whole) },
                            );
                        }
                        None => unfit.push((ticket, whole)),
                    },
                    Body::Parts { calls, owner } => {
                        let mut groups: BTreeMap<Arc<str>, VecDeque<C>> = BTreeMap::new();
                        for call in calls {
                            groups.entry(group_of_part(&call)).or_default().push_back(call);
                        }
                        for (name, calls) in groups {
                            let body = Body::Parts { calls, owner: owner.clone() };
                            self.put(group(name), ticket, Entry { since, body });
                        }
                    }
                }
            }
        }
        unfit
    }

    /// When something is to be done about one of them.
    pub(super) fn act_by(&self) -> Option<Instant> {
        self.due.first().map(|(act_by, ..)| *act_by)
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> (Vec<W>, Vec<(VecDeque<C>, O)>) {
        let (mut wholes, mut parts) = (Vec::new(), Vec::new());
        for entry in std::mem::take(&mut self.lines).into_values().flat_map(BTreeMap::into_values) {
            match entry.body {
                Body::Whole(whole) => wholes.push(whole),
                Body::Parts { calls, owner } => parts.push((calls, owner)),
            }
        }
        *self = Self::default();
        (wholes, parts)
    }
}

pub(super) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

use std::{collections::VecDeque, time::Duration};

use proptest::prelude::*;
use tokio::time::Instant;

use super::queue::{Front, Group, Load, Queue, Whole};

/// So many calls, for which something is to be done then.
#[derive(Debug, PartialEq)]
struct Request(&'static str, usize, Option<Instant>);

impl Whole for Request {
    fn calls(&self) -> usize {
        self.1
    }

    fn act_by(&self) -> Option<Instant> {
        self.2
    }
}

type Waiting = Queue<Request, u32, &'static str>;

fn group(name: &str) -> Group {
    Group { name: name.into(), apart: None }
}

fn parts(queue: &mut Waiting, flow: &str, owner: &'static str, calls: std::ops::Range<u32>) {
    queue.push_parts(group(flow), calls.collect(), owner, Instant::now(), None);
}

fn whole(queue: &mut Waiting, flow: &str, name: &'static str, calls: usize) {
    queue.push_whole(group(flow), Request(name, calls, None), Instant::now(), None);
}

/// The next exchange, in short.
fn next(queue: &mut Waiting, room: usize) -> Vec<String> {
    match queue.take(room, true).map(|taken| taken.load) {
        None => Vec::new(),
        Some(Load::Wholes(wholes)) => wholes.iter().map(|whole| whole.0.to_owned()).collect(),
        Some(Load::Parts(parts)) => {
            parts.iter().map(|(call, owner)| format!("{owner}{call}")).collect()
        }
    }
}

#[test]
fn those_who_came_first_go_first_and_together() {
    let mut queue = Waiting::default();
    whole(&mut queue, "f", "a", 1);
    whole(&mut queue, "g", "b", 1);
    whole(&mut queue, "f", "c", 2);
    whole(&mut queue, "f", "d", 3);
    assert_eq!(queue.ahead_of(1), 7);
    // What does not fit ends the exchange, though something later would.
    whole(&mut queue, "f", "e", 1);
    assert_eq!(next(&mut queue, 5), ["a", "c"]);
    assert_eq!(next(&mut queue, 5), ["b"]);
    assert_eq!(next(&mut queue, 5), ["d", "e"]);
    assert!(queue.is_empty() && next(&mut queue, 5).is_empty());
}

#[test]
fn the_calls_of_many_go_in_turns() {
    let mut queue = Waiting::default();
    parts(&mut queue, "f", "a", 0..5);
    assert_eq!(next(&mut queue, 2), ["a0", "a1"]);
    parts(&mut queue, "f", "b", 0..1);
    parts(&mut queue, "f", "c", 0..2);
    assert_eq!((queue.ahead_of(1), queue.ahead_of(2)), (3, 6));
    assert_eq!(next(&mut queue, 4), ["a2", "b0", "c0", "a3"]);
    assert_eq!(next(&mut queue, 9), ["c1", "a4"]);
    assert!(queue.is_empty());
}

#[test]
fn who_got_nothing_is_next() {
    let mut queue = Waiting::default();
    for owner in ["a", "b", "c"] {
        parts(&mut queue, "f", owner, 0..3);
    }
    let turns: Vec<_> = (0..9).flat_map(|_| next(&mut queue, 1)).collect();
    assert_eq!(turns, ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]);
}

#[test]
fn flows_take_turns_too() {
    let mut queue = Waiting::default();
    parts(&mut queue, "f", "a", 0..4);
    parts(&mut queue, "g", "b", 0..2);
    assert_eq!(next(&mut queue, 2), ["a0", "a1"]);
    assert_eq!(next(&mut queue, 2), ["b0", "b1"]);
    assert_eq!(next(&mut queue, 2), ["a2", "a3"]);
}

#[test]
fn what_is_given_back_is_the_next_to_go() {
    let mut queue = Waiting::default();
    whole(&mut queue, "f", "a", 1);
    whole(&mut queue, "f", "b", 1);
    whole(&mut queue, "g", "c", 1);
    let mut taken = queue.take(9, true).unwrap();
    let Load::Wholes(wholes) = &mut taken.load else { panic!() };
    let back = Load::Wholes(wholes.split_off(1));
    queue.give_back(super::queue::Taken { load: back, group: group("f"), since: Instant::now() });
    whole(&mut queue, "f", "d", 1);
    assert_eq!(next(&mut queue, 9), ["b", "d"]);
    assert_eq!(next(&mut queue, 9), ["c"]);
    assert!(queue.is_empty());
}

#[test]
fn what_is_overdue_comes_out_in_its_order_and_back_into_its_place() {
    let mut queue = Waiting::default();
    let now = Instant::now();
    let at = |ms| Some(now + Duration::from_millis(ms));
    for (name, act_by) in [("a", at(30)), ("b", at(10)), ("c", None), ("d", at(10))] {
        let flow = if name == "d" { "g" } else { "f" };
        queue.push_whole(group(flow), Request(name, 1, act_by), now, None);
    }
    assert!(queue.overdue(now).is_empty());
    let overdue = queue.overdue(now + Duration::from_millis(10));
    let names: Vec<_> = overdue.iter().map(|(_, _, whole)| whole.0).collect();
    assert_eq!((names, queue.act_by()), (vec!["b", "d"], at(30)));
    queue.push_parts(group("f"), VecDeque::from([7]), "b", now, Some(overdue[0].0));
    assert_eq!(next(&mut queue, 1), ["a"]);
    assert_eq!(next(&mut queue, 9), ["b7"], "parts and wholes don't mix");
    assert_eq!(next(&mut queue, 9), ["c"]);
}

#[test]
fn the_front_tells_what_it_needs() {
    let mut queue = Waiting::default();
    assert_eq!(queue.front(500), None);
    whole(&mut queue, "f", "a", 3);
    whole(&mut queue, "f", "b", 1);
    assert!(matches!(queue.front(500), Some(Front { needs: 3, waiting: 4, .. })));
    parts(&mut queue, "e", "c", 0..9);
    assert!(matches!(queue.front(2), Some(Front { needs: 3, waiting: 3, .. })));
    next(&mut queue, 9);
    assert!(matches!(queue.front(500), Some(Front { needs: 1, waiting: 9, .. })));
}

#[derive(Debug, Clone)]
enum Act {
    Whole { flow: u8, calls: usize },
    Parts { flow: u8, calls: u32 },
    Take { room: usize, together: bool },
    GiveBack { room: usize },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0..3_u8, 1..4_usize).prop_map(|(flow, calls)| Act::Whole { flow, calls }),
        (0..3_u8, 1..6_u32).prop_map(|(flow, calls)| Act::Parts { flow, calls }),
        (3..8_usize, any::<bool>()).prop_map(|(room, together)| Act::Take { room, together }),
        (3..8_usize).prop_map(|room| Act::GiveBack { room }),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    /// Nothing is lost, nothing goes twice, no exchange is too large, and everything ends.
    #[test]
    fn what_comes_in_goes_out_once(acts in acts()) {
        let mut queue = Queue::<Request, (usize, u32), usize>::default();
        let (mut came, mut went) = (0, 0);
        let mut last = std::collections::BTreeMap::new();
        let flows = ["f", "g", "h"];
        let drain = (0..500).map(|_| Act::Take { room: 7, together: true });
        for (n, act) in acts.into_iter().chain(drain).enumerate() {
            let now = Instant::now();
            match act {
                Act::Whole { flow, calls } => {
                    came += calls;
                    queue.push_whole(group(flows[usize::from(flow)]), Request("", calls, None), now, None);
                }
                Act::Parts { flow, calls } => {
                    came += calls as usize;
                    let calls = (0..calls).map(|call| (n, call)).collect();
                    queue.push_parts(group(flows[usize::from(flow)]), calls, n, now, None);
                }
                Act::Take { room, together } => {
                    let Some(taken) = queue.take(room, together) else { continue };
                    prop_assert!((1..=room).contains(&taken.calls()));
                    went += taken.calls();
                    if let Load::Parts(parts) = taken.load {
                        for ((of, call), owner) in parts {
                            prop_assert_eq!(of, owner);
                            // Each owner's in their order.
                            let before = last.insert(owner, call);
                            prop_assert!(before.is_none_or(|before| before < call));
                        }
                    }
                }
                Act::GiveBack { room } => {
                    if let Some(taken) = queue.take(room, true) {
                        queue.give_back(taken);
                    }
                }
            }
            prop_assert_eq!(queue.calls(), came - went);
        }
        prop_assert!(queue.is_empty());
        prop_assert_eq!(came, went);
    }
}

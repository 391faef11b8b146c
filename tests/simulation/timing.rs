//! Nobody is called too early, too late, outside of the hours, or who must not be called; and
//! a call that waits goes when its time has come.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use dialplane::{
    call::{Call, CallState},
    proto::CreateCallsRequest,
    sandbox::{self, System},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    checker::person,
    waits::{hours, since_begin, vendor_waits},
};

/// By how much a call may be late that nothing holds up.
const PUNCTUAL: SignedDuration = SignedDuration::from_millis(100);

/// What is known of when each person may be called. All times are the gateway's.
#[derive(Debug, Default)]
pub struct Timing {
    people: BTreeMap<String, Terms>,
    /// Until when each vendor had no free turn, or wanted to be left alone.
    busy: BTreeMap<String, Lane>,
}

#[derive(Debug, Default)]
struct Terms {
    start: Option<Timestamp>,
    expire: Option<Timestamp>,
    hours: Option<(i64, i64)>,
    vendor_waits: bool,
    /// Since when the person is on the do-not-call list for certain.
    listed: Option<Timestamp>,
    /// Was so when the call was last taken up.
    taken_up_listed: bool,
    /// From when on the call that waits is to be taken up.
    waits_until: Option<Timestamp>,
    /// Since when nobody knows whether the vendor has the call: what goes out later is sent
    /// again.
    in_doubt: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Lane {
    under_way: u32,
    until: Option<Timestamp>,
    /// How often in a row it said that it gets too much.
    too_fast: u32,
}

impl Timing {
    /// What a caller asks for.
    pub fn agreed(&mut self, request: &CreateCallsRequest) {
        let read = |time: &prost_types::Timestamp| Timestamp::new(time.seconds, time.nanos).ok();
        for call in &request.calls {
            let terms = self.terms(&call.to[0]);
            terms.start = call.start_time.as_ref().and_then(read);
            terms.expire = call.expire_time.as_ref().and_then(read);
            terms.hours = hours(&request.route);
            terms.vendor_waits = vendor_waits(&request.route);
        }
    }

    /// What is wrong with an order that went out at this time, and that a vendor took. How
    /// long it took on its way is nobody's doing here.
    pub fn dialed(&self, dial: &sandbox::Dialed, sent: Timestamp) -> Option<String> {
        let number = dial.numbers.first()?;
        let terms = self.people.get(&person(number))?;
        let start = terms.start.filter(|start| *start > sent);
        let vendor_waits = terms.vendor_waits && dial.system == System::Phonon;
        let rings = start.filter(|_| vendor_waits).unwrap_or(sent);
        let second = since_begin(rings).as_secs();
        let is_again = terms.in_doubt.is_some_and(|since| since < sent);
        if start.is_some() && !vendor_waits {
            Some(format!("(10) {number} is dialled before its start_time"))
        } else if terms.expire.is_some_and(|end| end <= sent) {
            Some(format!("(10) {number} is dialled after its expire_time"))
        } else if terms.hours.is_some_and(|(from, to)| !(from..to).contains(&second)) {
            Some(format!("(11) {number} is dialled outside of the route's hours"))
        } else if is_again && terms.listed.is_some_and(|at| at < sent) {
            Some(format!("(12) {number} is sent again, and was on the list before"))
        } else if terms.taken_up_listed {
            Some(format!("(12) {number} is dialled, and was on the list before"))
        } else {
            None
        }
    }

    /// A number is on the do-not-call list, and whoever put it there knows.
    pub fn listed(&mut self, number: &str, at: Timestamp) {
        self.terms(number).listed = Some(at);
    }

    /// Somebody begins to take it off.
    pub fn unlisted(&mut self, number: &str) {
        self.terms(number).listed = None;
    }

    pub fn is_listed(&self, number: &str) -> bool {
        self.people.get(&person(number)).is_some_and(|terms| terms.listed.is_some())
    }

    /// All people of whom that is so.
    pub fn everybody_listed(&self) -> BTreeSet<String> {
        let listed = self.people.iter().filter(|(_, terms)| terms.listed.is_some());
        listed.map(|(person, _)| person.clone()).collect()
    }

    /// A call is recorded as being handed over already. Who put its number on the list after
    /// that was looked up may have come too late.
    pub fn begun(&mut self, number: &str, looked_up: Timestamp) {
        let terms = self.terms(number);
        terms.taken_up_listed = terms.listed.is_some_and(|at| at < looked_up);
    }

    /// A call that waited is taken up, by a claim before which this was so.
    pub fn claimed(&mut self, number: &str, was_listed: bool) {
        self.terms(number).taken_up_listed = was_listed;
    }

    /// An exchange with a vendor begins, or is over.
    pub fn on_the_line(&mut self, vendor: &str, begins: bool, turns: u32, now: Timestamp) {
        let lane = self.busy.entry(vendor.to_owned()).or_default();
        if begins {
            lane.under_way += 1;
        } else {
            if lane.under_way >= turns {
                lane.until = lane.until.max(Some(now));
            }
            lane.under_way = lane.under_way.saturating_sub(1);
        }
    }

    /// A vendor answers: that it gets too much, and perhaps for how long, or that it takes more.
    pub fn answered(&mut self, vendor: &str, status: u16, rest: Option<Duration>, now: Timestamp) {
        let lane = self.busy.entry(vendor.to_owned()).or_default();
        match status {
            429 | 503 if status == 429 || rest.is_some() => {
                let longer = Duration::from_secs(1 << lane.too_fast.min(8));
                lane.too_fast += 1;
                let rest = rest.unwrap_or_default().max(longer);
                lane.until = lane.until.max(Some(now.saturating_add(rest).unwrap_or(now)));
            }
            200..=299 => lane.too_fast = 0,
            _ => {}
        }
    }

    /// The process died, and its connections with it.
    pub fn hung_up(&mut self) {
        self.busy.clear();
    }

    /// A change of a call, in the order of the ledger; gives by how much it is too late.
    pub fn changed(&mut self, call: &Call) -> Option<String> {
        let number = call.order.to.first()?.digits();
        let busy = self.busy.get(&call.vendor).and_then(|lane| lane.until);
        let terms = self.people.entry(person(number)).or_default();
        terms.in_doubt = match call.state {
            CallState::Unconfirmed => terms.in_doubt.or(Some(call.update_time)),
            _ => None,
        };
        match call.state {
            CallState::Scheduled => {
                terms.waits_until = Some(call.held_until.unwrap_or(call.update_time));
                None
            }
            CallState::Dispatching => {
                let due = terms.waits_until.take()?;
                let late = call.update_time.duration_since(busy.map_or(due, |busy| busy.max(due)));
                (late > PUNCTUAL).then(|| format!("(13) {number} is taken up {late:?} too late"))
            }
            _ => None,
        }
    }

    fn terms(&mut self, number: &str) -> &mut Terms {
        self.people.entry(person(number)).or_default()
    }
}

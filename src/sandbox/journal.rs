//! What the sandbox remembers, within bounds.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{Dialed, Exchange, System, fate::digits, life::Life};

/// Bodies and headers kept in the log, in bytes, whatever the number of exchanges.
const LOG_BYTES: usize = 128 * 1024 * 1024;

/// A call that was taken.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) system: System,
    pub(super) id: String,
    pub(super) request_id: String,
    /// Whose it is: what a question must know beside the id.
    pub(super) owner: String,
    pub(super) numbers: Vec<String>,
    pub(super) reference: Option<String>,
    /// The number shown.
    pub(super) caller: String,
    pub(super) taken: Timestamp,
    pub(super) life: Life,
}

impl Call {
    fn dialed(&self) -> Dialed {
        Dialed {
            system: self.system,
            vendor_call_id: self.id.clone(),
            numbers: self.numbers.clone(),
            reference: self.reference.clone(),
            time: self.taken,
        }
    }

    /// Its numbers, each once, as digits.
    fn distinct_numbers(&self) -> HashSet<String> {
        self.numbers.iter().map(|number| digits(number)).collect()
    }
}

/// The calls that were taken.
#[derive(Debug, Default)]
pub(super) struct Calls {
    in_order: VecDeque<Arc<Call>>,
    by_id: HashMap<String, Arc<Call>>,
    of_number: HashMap<String, VecDeque<Arc<Call>>>,
}

impl Calls {
    pub(super) fn add(&mut self, call: Call, keep: usize) -> Arc<Call> {
        let call = Arc::new(call);
        for number in call.distinct_numbers() {
            self.of_number.entry(number).or_default().push_back(Arc::clone(&call));
        }
        self.by_id.insert(call.id.clone(), Arc::clone(&call));
        self.in_order.push_back(Arc::clone(&call));
        while self.in_order.len() > keep {
            self.drop_oldest();
        }
        call
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.in_order.pop_front() else { return };
        self.by_id.remove(&oldest.id);
        for number in oldest.distinct_numbers() {
            if let Some(calls) = self.of_number.get_mut(&number) {
                calls.pop_front();
                if calls.is_empty() {
                    self.of_number.remove(&number);
                }
            }
        }
    }

    pub(super) fn get(&self, system: System, id: &str) -> Option<Arc<Call>> {
        self.by_id.get(id).filter(|call| call.system == system).cloned()
    }

    /// Oldest first.
    pub(super) fn of_number(&self, number: &str) -> Vec<Arc<Call>> {
        self.of_number.get(&digits(number)).into_iter().flatten().cloned().collect()
    }

    pub(super) fn dialed(&self) -> Vec<Dialed> {
        self.in_order.iter().map(|call| call.dialed()).collect()
    }
}

/// The requests received.
#[derive(Debug, Default)]
pub(super) struct Log {
    exchanges: VecDeque<Exchange>,
    bytes: usize,
    /// How many were dropped from the front: the number of the first one kept.
    dropped: u64,
}

impl Log {
    /// Adds a request; gives its number.
    pub(super) fn add(&mut self, exchange: Exchange, keep: usize) -> u64 {
        self.bytes += size(&exchange);
        self.exchanges.push_back(exchange);
        let number = self.dropped + self.exchanges.len() as u64 - 1;
        while self.exchanges.len() > keep || self.bytes > LOG_BYTES {
            let Some(oldest) = self.exchanges.pop_front() else { break };
            self.bytes -= size(&oldest);
            self.dropped += 1;
        }
        number
    }

    /// Notes the answer to a request, if it is still there.
    pub(super) fn answered(&mut self, number: u64, status: u16) {
        let index = number.checked_sub(self.dropped).and_then(|index| usize::try_from(index).ok());
        if let Some(exchange) = index.and_then(|index| self.exchanges.get_mut(index)) {
            exchange.status = Some(status);
        }
    }

    pub(super) fn clear(&mut self) {
        self.dropped += self.exchanges.len() as u64;
        self.exchanges.clear();
        self.bytes = 0;
    }

    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.iter().cloned().collect()
    }
}

fn size(exchange: &Exchange) -> usize {
    let headers: usize =
        exchange.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    headers + exchange.path.len() + exchange.body.len()
}

/// The checksums of requests taken.
#[derive(Debug, Default)]
pub(super) struct Checksums {
    in_order: VecDeque<Vec<u8>>,
    known: HashSet<Vec<u8>>,
}

impl Checksums {
    pub(super) fn contains(&self, checksum: &[u8]) -> bool {
        self.known.contains(checksum)
    }

    pub(super) fn add(&mut self, checksum: Vec<u8>, keep: usize) {
        if self.known.insert(checksum.clone()) {
            self.in_order.push_back(checksum);
        }
        while self.in_order.len() > keep {
            if let Some(oldest) = self.in_order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

/// How much was let through during the last minute.
#[derive(Debug, Default)]
pub(super) struct Minute {
    recent: VecDeque<(Timestamp, u64)>,
    sum: u64,
}

impl Minute {
    /// Lets `amount` through when the last minute has room for it.
    ///
    /// # Errors
    /// Otherwise, with the seconds until the oldest of them no longer counts.
    pub(super) fn admit(&mut self, now: Timestamp, amount: u64, limit: u32) -> Result<(), i64> {
        const MINUTE: SignedDuration = SignedDuration::from_secs(60);
        while let Some((time, passed)) = self.recent.front().copied() {
            if now.duration_since(time) < MINUTE {
                break;
            }
            self.sum -= passed;
            self.recent.pop_front();
        }
        if self.sum + amount <= u64::from(limit) {
            self.recent.push_back((now, amount));
            self.sum += amount;
            return Ok(());
        }
        let age = self.recent.front().map_or(SignedDuration::ZERO, |(t, _)| now.duration_since(*t));
        Err((60 - age.as_secs()).clamp(1, 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Pace;

    fn call(id: &str, numbers: &[&str]) -> Call {
        let numbers: Vec<String> = numbers.iter().map(|number| (*number).to_owned()).collect();
        Call {
            system: System::Phonon,
            id: id.to_owned(),
            request_id: String::new(),
            owner: String::new(),
            life: Life::new(&numbers, Timestamp::UNIX_EPOCH, Pace::Instant),
            numbers,
            reference: None,
            caller: String::new(),
            taken: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_oldest_calls_go_first_and_leave_nothing_behind() {
        let mut calls = Calls::default();
        calls.add(call("a", &["+911", "912", "911"]), 2);
        calls.add(call("b", &["911"]), 2);
        assert_eq!(calls.of_number("+911").len(), 2);
        calls.add(call("c", &["913"]), 2);
        assert!(calls.get(System::Phonon, "a").is_none());
        assert!(calls.get(System::Knovvu, "b").is_none());
        assert_eq!(calls.of_number("911").first().map(|call| call.id.clone()), Some("b".into()));
        assert!(!calls.of_number.contains_key("912"));
        assert_eq!(calls.dialed().len(), 2);
    }

    #[test]
    fn the_log_is_bounded_in_number_and_in_bytes() {
        let exchange = |body: usize| Exchange {
            time: Timestamp::UNIX_EPOCH,
            system: System::Nowhere,
            method: String::new(),
            path: String::new(),
            headers: Vec::new(),
            body: "x".repeat(body),
            status: None,
        };
        let mut log = Log::default();
        assert_eq!(log.add(exchange(1), 2), 0);
        assert_eq!(log.add(exchange(2), 2), 1);
        assert_eq!(log.add(exchange(3), 2), 2);
        log.answered(0, 200);
        log.answered(2, 201);
        log.answered(9, 202);
        let statuses: Vec<_> = log.exchanges().iter().map(|exchange| exchange.status).collect();
        assert_eq!(statuses, [None, Some(201)]);
        log.add(exchange(LOG_BYTES), 2);
        assert_eq!(log.exchanges().len(), 1);
        log.clear();
        log.answered(3, 200);
        assert_eq!(log.add(exchange(1), 2), 4);
    }

    #[test]
    fn a_minute_slides() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut minute = Minute::default();
        assert_eq!(minute.admit(at(0), 2, 3), Ok(()));
        assert_eq!(minute.admit(at(10), 2, 3), Err(50));
        assert_eq!(minute.admit(at(10), 1, 3), Ok(()));
        assert_eq!(minute.admit(at(59), 1, 3), Err(1));
        assert_eq!(minute.admit(at(60), 2, 3), Ok(()));
        assert_eq!(minute.admit(at(61), 4, 3), Err(9));
    }

    #[test]
    fn checksums_are_bounded() {
        let mut checksums = Checksums::default();
        for byte in [1, 2, 2, 3] {
            checksums.add(vec![byte], 2);
        }
        assert!(!checksums.contains(&[1]));
        assert!(checksums.contains(&[2]) && checksums.contains(&[3]));
    }
}

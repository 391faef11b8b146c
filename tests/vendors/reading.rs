//! Answers become placements: one for each order, and "taken" or "certainly not" only
//! where the vendor said so. Whatever else comes back leaves the call in doubt, for a
//! call that is placed again by mistake rings twice.

use std::time::Duration;

use dialplane::{
    call::{Cause, Fault},
    http::HttpReply,
    vendors::{Outgoing, Placement},
};
use proptest::prelude::*;

use crate::{
    bodies::{GARBAGE, SILENCE, cases, json, noise, spoilt},
    subjects::{SUBJECTS, Subject, at, orders, outgoing},
};

fn reply(status: u16, body: &[u8]) -> HttpReply {
    HttpReply::json(status, body.to_vec())
}

fn read(subject: &Subject, batch: &[Outgoing<'_>], reply: &HttpReply) -> Vec<Placement> {
    let placements = subject.vendor.read_placement(batch, reply);
    assert_eq!(placements.len(), batch.len(), "{} {reply:?}", subject.name);
    for placement in &placements {
        if let Placement::Fault(fault) = placement {
            let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
            assert!(!fault.reason.is_empty() && fault.reason.bytes().all(plain), "{fault:?}");
        }
    }
    placements
}

/// The faults of a batch of which nothing was taken.
fn faults(subject: &Subject, batch: &[Outgoing<'_>], reply: &HttpReply) -> Vec<Fault> {
    let fault = |placement| match placement {
        Placement::Fault(fault) => fault,
        Placement::Accepted { .. } => panic!("{} takes {:?} for a yes", subject.name, reply.body),
    };
    read(subject, batch, reply).into_iter().map(fault).collect()
}

fn assert_cause(subject: &Subject, batch: &[Outgoing<'_>], reply: &HttpReply, cause: Cause) {
    for fault in faults(subject, batch, reply) {
        assert_eq!(fault.cause, cause, "{} {reply:?} {:?}", subject.name, reply.body);
    }
}

#[test]
fn a_yes_takes_every_call_of_the_batch() {
    let orders = orders(7);
    let outgoing = outgoing(&orders);
    for subject in SUBJECTS.iter() {
        for batch in subject.vendor.batches(&outgoing) {
            let batch = at(&outgoing, &batch);
            for placement in read(subject, &batch, &subject.yes(&batch)) {
                let Placement::Accepted { vendor_call_id, vendor_request_id, .. } = placement
                else {
                    panic!("{}: {placement:?}", subject.name)
                };
                let pulled = subject.vendor.capabilities().pull_results;
                assert_eq!(vendor_call_id.is_some(), pulled, "{}", subject.name);
                assert!(vendor_call_id.is_some() || vendor_request_id.is_some());
            }
        }
    }
}

#[test]
fn garbage_takes_no_call_whatever_the_status() {
    let orders = orders(3);
    // More than one call for vendors that take one: they are not to be lost either.
    let batch = outgoing(&orders);
    for subject in SUBJECTS.iter() {
        for status in 100..600 {
            for body in GARBAGE {
                for batch in [&batch[..1], &batch[..]] {
                    let faults = faults(subject, batch, &reply(status, body));
                    let sure = (200..300).contains(&status) && body != b"{}";
                    assert!(
                        !sure || faults.iter().all(|fault| fault.cause == Cause::InDoubt),
                        "{} {status} {body:?}: {faults:?}",
                        subject.name
                    );
                }
            }
        }
    }
}

#[test]
fn a_silent_vendor_may_have_dialled_and_a_busy_one_has_not() {
    let orders = orders(1);
    let batch = outgoing(&orders);
    for subject in SUBJECTS.iter() {
        for body in GARBAGE {
            for status in SILENCE {
                assert_cause(subject, &batch, &reply(status, body), Cause::InDoubt);
            }
            let wait = Some(Duration::from_secs(7));
            let busy = HttpReply { retry_after: wait, ..reply(429, body) };
            assert_cause(subject, &batch, &busy, Cause::Exhausted);
            assert_eq!(faults(subject, &batch, &busy)[0].retry_after, wait, "{}", subject.name);
        }
    }
}

#[test]
fn a_yes_with_another_status_is_taken_only_where_the_body_counts() {
    let orders = orders(1);
    let batch = outgoing(&orders);
    for subject in SUBJECTS.iter() {
        for status in (100..600).filter(|status| !(200..300).contains(status)) {
            let reply = HttpReply { status, ..subject.yes(&batch) };
            let placement = read(subject, &batch, &reply).remove(0);
            let taken = matches!(placement, Placement::Accepted { .. });
            assert_eq!(taken, subject.body_before_status, "{} {status}", subject.name);
            if let (Placement::Fault(fault), true) = (placement, SILENCE.contains(&status)) {
                assert_eq!(fault.cause, Cause::InDoubt, "{} {status}", subject.name);
            }
        }
    }
}

#[test]
fn a_yes_that_is_cut_is_in_doubt() {
    let orders = orders(3);
    let outgoing = outgoing(&orders);
    for subject in SUBJECTS.iter() {
        let batch = at(&outgoing, &subject.vendor.batches(&outgoing)[0]);
        let whole = subject.yes(&batch).body;
        for end in 0..whole.len() {
            assert_cause(subject, &batch, &reply(200, &whole[..end]), Cause::InDoubt);
        }
    }
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn noise_takes_no_call(status in 100_u16..600, body in noise()) {
        let orders = orders(2);
        let batch = outgoing(&orders);
        for subject in SUBJECTS.iter() {
            faults(subject, &batch[..1], &reply(status, &body));
            if SILENCE.contains(&status) || (200..300).contains(&status) {
                assert_cause(subject, &batch[..1], &reply(status, &body), Cause::InDoubt);
            }
        }
    }

    #[test]
    fn a_call_is_taken_only_with_an_id(status in 100_u16..600, json in json(), place in 0..40_usize) {
        let orders = orders(2);
        let batch = outgoing(&orders);
        for subject in SUBJECTS.iter() {
            let spoilt = spoilt(&subject.yes(&batch).body, place, json.clone());
            for (status, text) in [
                (status, &json.to_string()),
                (200, &json.to_string()),
                (status, &spoilt),
                (200, &spoilt),
            ] {
                for batch in [&batch[..1], &batch[..]] {
                    for placement in read(subject, batch, &reply(status, text.as_bytes())) {
                        let Placement::Accepted { vendor_call_id, vendor_request_id, .. } = placement
                        else { continue };
                        let good = (200..300).contains(&status) || subject.body_before_status;
                        prop_assert!(good, "{} {status} {text}", subject.name);
                        let id = vendor_call_id.or(vendor_request_id);
                        prop_assert!(id.is_some_and(|id| !id.trim().is_empty()), "{} {text}", subject.name);
                    }
                }
            }
        }
    }
}

//! What a vendor says it can do, it can; what it says it can't, it objects to.

use std::time::Duration;

use dialplane::{
    call::{Cause, Order, Retry, Script},
    vendors::Vendor,
};

use crate::subjects::{SUBJECTS, number, plain};

fn is_beyond(vendor: &dyn Vendor, order: &Order) -> bool {
    vendor.check(order).iter().any(|objection| objection.cause == Cause::Unsupported)
}

fn with_numbers(count: usize) -> Order {
    Order { to: (0..count).map(number).collect(), ..plain(0) }
}

#[test]
fn a_plain_order_is_fine_for_every_vendor() {
    for subject in SUBJECTS.iter() {
        assert_eq!(subject.vendor.check(&plain(1)), [], "{}", subject.name);
    }
}

#[test]
fn capabilities_are_honest() {
    let audio = Script::Audio("https://sounds.test/a.mp3".to_owned());
    let retry = Retry { interval: Duration::from_secs(15 * 60), max_attempts: 3 };
    let once = Retry { max_attempts: 1, ..retry };
    for subject in SUBJECTS.iter() {
        let (vendor, can) = (subject.vendor.as_ref(), subject.vendor.capabilities());
        let flow = Script::Flow("AbCd1234".to_owned());
        for (what, order, able) in [
            ("flow", Order { script: Some(flow), ..plain(0) }, can.flows),
            ("audio", Order { script: Some(audio.clone()), ..plain(0) }, can.audio),
            (
                "caller_id",
                Order { caller_id: Some("+918000000002".parse().unwrap()), ..plain(0) },
                can.caller_id,
            ),
            // Where the vendor does not dial again the gateway does.
            ("retry", Order { retry: Some(retry), ..plain(0) }, true),
            ("no retry", Order { retry: Some(once), ..plain(0) }, true),
            ("numbers", with_numbers(can.max_numbers), true),
            ("too many numbers", with_numbers(can.max_numbers + 1), false),
        ] {
            assert_eq!(is_beyond(vendor, &order), !able, "{}: {what}", subject.name);
            // What it can do it also takes, as long as nothing about it is wrong.
            assert!(!able || vendor.check(&order).is_empty(), "{}: {what}", subject.name);
        }
    }
}

#[test]
fn limits_let_something_through() {
    for subject in SUBJECTS.iter() {
        let (can, limits) = (subject.vendor.capabilities(), subject.vendor.default_limits());
        assert!(can.max_numbers > 0 && can.max_batch > 0, "{}", subject.name);
        assert!(limits.max_in_flight > 0, "{}", subject.name);
        assert!(limits.calls_per_minute != Some(0) && limits.requests_per_minute != Some(0));
        assert!(limits.poll_interval < limits.give_up_after, "{}", subject.name);
        assert!(
            can.pull_results || can.push_results,
            "{}: no way to hear of results",
            subject.name
        );
    }
}

//! Results by pull (E6, `phonon.md 5a`).

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use super::{
    codes::Code,
    order::{self, Account},
};
use crate::sandbox::{
    System,
    fate::End,
    india,
    journal::Call,
    life::Leg,
    traffic::{Incoming, Reply},
    world::World,
};

/// UUIDs in one question.
const MAX_IDS: usize = 200;

/// Answers a question of version 2, or of version 1, which has no account in it.
pub(super) fn answer(world: &World, incoming: &Incoming, with_account: bool) -> Reply {
    read(incoming, with_account)
        .and_then(|(account, ids)| rows(world, incoming.now, account.as_ref(), &ids))
        .unwrap_or_else(Code::reply_without_rows)
}

fn read(incoming: &Incoming, with_account: bool) -> Result<(Option<Account>, Vec<String>), Code> {
    let object = incoming.json().ok_or(Code::INVALID_FORMAT)?;
    let account = if with_account {
        order::only(&object, &["security-id", "flow-id", "phonon-uuids", "fetch-attempt"])?;
        Some(Account::read(&object)?)
    } else {
        order::only(&object, &["phonon-uuids", "fetch-attempt"])?;
        None
    };
    if !["ALL", "LAST"].contains(&order::text(&object, "fetch-attempt")?) {
        return Err(Code::INVALID_FORMAT);
    }
    let ids = order::list(&object, "phonon-uuids")?;
    if ids.is_empty() {
        return Err(Code::INVALID_MANDATORY_PARAMETERS);
    }
    if ids.len() > MAX_IDS {
        return Err(Code::MAX_DATA_LIST_SIZE_EXCEEDED);
    }
    let ids = ids.iter().map(|id| id.as_str().map(str::to_owned).ok_or(Code::INVALID_FORMAT));
    Ok((account, ids.collect::<Result<_, _>>()?))
}

/// A row for each call that is over and of this account and flow. There is only ever
/// one attempt, so ALL and LAST say the same.
fn rows(
    world: &World,
    now: Timestamp,
    account: Option<&Account>,
    ids: &[String],
) -> Result<Reply, Code> {
    // Nothing promises the order of the question.
    let calls = ids.iter().rev().filter_map(|id| world.call(System::Phonon, id));
    let rows: Vec<Value> = calls
        .filter(|call| account.is_none_or(|account| account.owner() == call.owner))
        .filter(|call| call.life.is_over(now))
        .map(|call| row(&call))
        .collect();
    if rows.is_empty() {
        return Err(Code::NO_DATA_AVAILABLE);
    }
    let body = json!({
        "api-response-code": Code::SUCCESS.0,
        "api-response-message": Code::SUCCESS.message(),
        "data": rows,
    });
    Ok(Reply::json(200, &body))
}

/// The last of a call's statuses (`phonon.md 5f`).
pub(in crate::sandbox) fn status(call: &Call) -> &'static str {
    match call.life.end {
        End::InvalidNumber => "INVALID_CONTACT_NUMBER",
        End::Error => "FAILURE",
        _ => "COMPLETED",
    }
}

/// What comes after `phonon-uuid` is not public; the block of the push is given
/// (`phonon.md 5b`), and the status.
fn row(call: &Call) -> Value {
    let legs = call.life.legs.iter().enumerate();
    let legs: Vec<Value> = legs.map(|(index, leg)| leg_json(call, index, leg)).collect();
    let mut row = json!({
        "request-id": call.request_id,
        "phonon-uuid": call.id,
        "flowStatus": status(call),
    });
    // Left out when there is nothing to say.
    if let (false, Some(row)) = (legs.is_empty(), row.as_object_mut()) {
        row.insert("callDetails".to_owned(), Value::from(legs));
    }
    row
}

/// A leg, as `phonon.md 5b` has it.
pub(in crate::sandbox) fn leg_json(call: &Call, index: usize, leg: &Leg) -> Value {
    let mut json = json!({
        "cdrId": format!("{}##pbx-{}", call.id, index + 1),
        "startTime": ist(leg.start),
        "endTime": ist(leg.over),
        "calleeNumber": leg.number,
        "didNumber": call.caller,
        "hangupCause": hangup_cause(leg.end),
        "duration": leg.talked().as_millis().to_string(),
        "incoming": false,
        "calleeType": "VISITOR",
        "remoteHangup": matches!(leg.end, End::Answered | End::Busy | End::Rejected),
        "foreignCallIds": [],
    });
    let Some(fields) = json.as_object_mut() else { return json };
    if let Some(ring) = leg.ring {
        fields.insert("is_ringing".to_owned(), json!("true"));
        fields.insert("ringingStartTime".to_owned(), json!(ist(ring)));
    }
    if let Some(connect) = leg.connect {
        fields.insert("connectTime".to_owned(), json!(ist(connect)));
    }
    if let Some(key) = leg.key {
        let pressed = json!([{ "key": key, "eventTime": ist(leg.over), "label": "" }]);
        fields.insert("dtmfPressesd".to_owned(), pressed);
    }
    json
}

/// 16 is in the vendor's sample, and 5 for a call that rang in vain; the others are
/// those of Q.850.
fn hangup_cause(end: End) -> &'static str {
    match end {
        End::Answered => "16",
        End::Busy => "17",
        End::NoAnswer => "5",
        End::Rejected => "21",
        End::Unavailable => "20",
        End::InvalidNumber => "1",
        End::Error => "41",
    }
}

/// `2024-07-01T10:15:00.08+05:30`: one to three digits of fraction, as in the sample.
fn ist(time: Timestamp) -> String {
    let local = india::clock(time.round(Unit::Millisecond).unwrap_or(time));
    let fraction = format!("{:03}", local.millisecond());
    let shown = fraction.trim_end_matches('0');
    let shown = if shown.is_empty() { "0" } else { shown };
    format!("{}.{shown}+05:30", local.strftime("%Y-%m-%dT%H:%M:%S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_indian_with_one_to_three_digits_of_fraction() {
        for (time, text) in [
            ("2024-07-01T04:45:00.08Z", "2024-07-01T10:15:00.08+05:30"),
            ("2024-07-01T04:45:13.901Z", "2024-07-01T10:15:13.901+05:30"),
            ("2024-07-01T20:45:00Z", "2024-07-02T02:15:00.0+05:30"),
            ("2024-07-01T04:45:00.1204999Z", "2024-07-01T10:15:00.12+05:30"),
        ] {
            assert_eq!(ist(time.parse().unwrap()), text);
        }
        ist(Timestamp::MAX);
        ist(Timestamp::MIN);
    }
}

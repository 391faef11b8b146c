//! Results by pull (`mobtexting.md 5a`).

use jiff::Timestamp;
use serde_json::{Value, json};

use super::error;
use crate::sandbox::{
    AnswerForm, System,
    fate::End,
    india,
    journal::Call,
    traffic::{Incoming, Reply},
    world::World,
};

/// Answers `outgoing/callstatus`, by `id` or by `mobile`.
pub(super) fn answer(world: &World, incoming: &Incoming) -> Reply {
    let parameters = incoming.parameters();
    let calls = match (parameters.get("id"), parameters.get("mobile")) {
        (Some(id), None) => world.call(System::MobTexting, id).into_iter().collect(),
        (None, Some(number)) => world.calls_of(System::MobTexting, number),
        _ => return error(422, "Exactly one of id and mobile is needed."),
    };
    if calls.is_empty() {
        return error(404, "Not found");
    }
    let form = world.options.mobtexting_answers;
    let rows: Vec<Value> = calls.iter().map(|call| row(call, incoming.now, form)).collect();
    Reply::json(200, &json!({ "status": 200, "message": "OK", "data": rows }))
}

fn row(call: &Call, now: Timestamp, form: AnswerForm) -> Value {
    let is_over = call.life.is_over(now);
    let status = if is_over { word(call.life.end) } else { "queued" };
    let start = is_over.then(|| local(call.life.start()));
    let end = is_over.then(|| local(call.life.finish()));
    let key = call.life.key().filter(|_| is_over).map(String::from);
    let number = call.numbers.first();
    match form {
        AnswerForm::Newest => json!({
            "id": call.id,
            "channel": "outgoing",
            "from": call.caller,
            "to": number,
            "created_at": local(call.taken),
            "foreign_id": "",
            "status": status,
            "start_at": start,
            "end_at": end,
            "dtmf": key.unwrap_or_default(),
        }),
        AnswerForm::Older => json!({
            "id": call.id,
            "mobile": number,
            "caller_id": call.caller,
            "duration": is_over.then(|| duration(call)),
            "pulsing": "30",
            "status": status,
            "charges": if is_over && call.life.end == End::Answered { "0.1500" } else { "0.0000" },
            "dtmf": key,
            "location": "IN",
            "provider": "RJ",
            "start_at": start,
            "end_at": end,
        }),
    }
}

/// Asterisk's words, of which the vendor's table has a part (`mobtexting.md 5c`). It
/// has none for a person who declines, which Asterisk reports as busy, and one for
/// whatever keeps the line itself from being had.
pub(in crate::sandbox) fn word(end: End) -> &'static str {
    match end {
        End::Answered => "ANSWER",
        End::Busy | End::Rejected => "BUSY",
        End::NoAnswer => "NOANSWER",
        End::InvalidNumber => "CONGESTION",
        End::Unavailable | End::Error => "CHANUNAVAIL",
    }
}

/// From the times as shown, ringing included.
pub(in crate::sandbox) fn seconds(call: &Call) -> i64 {
    (call.life.finish().as_second() - call.life.start().as_second()).max(0)
}

/// `HH:MM:SS`
fn duration(call: &Call) -> String {
    let seconds = seconds(call);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `YYYY-MM-DD HH:MM:SS` in India, without saying so.
pub(in crate::sandbox) fn local(time: Timestamp) -> String {
    india::clock(time).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A number as the vendor wants it: digits only.
pub(super) fn is_digits(text: &str) -> bool {
    (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_indian() {
        assert_eq!(local("2024-07-10T20:00:00.999Z".parse().unwrap()), "2024-07-11 01:30:00");
    }
}

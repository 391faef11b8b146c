//! Calls as they go on: a live line for each on a terminal, a line for each change in
//! a pipe.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use jiff::Timestamp;

use super::{REFERENCE, is_over};
use crate::{
    call::E164,
    cli::say,
    proto::{Call, CallState},
};

pub(super) struct Show {
    /// On a terminal, where lines are written anew.
    is_live: bool,
    /// How many lines stand above the cursor.
    drawn: usize,
    lines: BTreeMap<String, Line>,
}

struct Line {
    state: Option<CallState>,
    revision: u64,
    text: String,
}

impl Show {
    pub(super) fn new() -> Self {
        Self { is_live: io::stdout().is_terminal(), drawn: 0, lines: BTreeMap::new() }
    }

    pub(super) fn update(&mut self, call: &Call) {
        let line = self.lines.entry(call.call_id.clone()).or_insert_with(|| Line {
            state: None,
            revision: 0,
            text: String::new(),
        });
        // Watching begins with what was before the answer to the order.
        if call.revision <= line.revision || line.state == Some(call.state()) {
            return;
        }
        line.revision = call.revision;
        line.state = Some(call.state());
        let text = text(call);
        if !self.is_live {
            return say(text);
        }
        line.text = format!("{} {text}", if is_over(call) { ' ' } else { '…' });
        let drawing = drawing(self.drawn, self.lines.values().map(|line| line.text.as_str()));
        self.drawn = self.lines.len();
        // Whoever closed it does not want to read on.
        let mut out = io::stdout().lock();
        let _ = out.write_all(drawing.as_bytes()).and_then(|()| out.flush());
    }
}

/// All lines in the place of those that were drawn before, one row each however narrow the
/// terminal is: they are cut instead of wrapped.
fn drawing<'a>(drawn: usize, lines: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    if drawn > 0 {
        let _ = write!(out, "\x1b[{drawn}A");
    }
    out.push_str("\x1b[?7l");
    for line in lines {
        let _ = writeln!(out, "\r\x1b[2K{line}");
    }
    out.push_str("\x1b[?7h");
    out
}

fn text(call: &Call) -> String {
    let state = call.state().as_str_name().trim_start_matches("CALL_STATE_");
    let number = call.to.first().and_then(|to| to.parse::<E164>().ok());
    let number = number.map(|number| number.to_string()).unwrap_or_default();
    let name = call.client_reference.trim_start_matches(REFERENCE);
    let line = format!("{name:<17} {number:<14} {state:<12} {}", call.call_id);
    match (call.state(), &call.error) {
        (_, Some(error)) => format!("{line}  {}", error.message),
        (CallState::Scheduled, None) => format!("{line}{}", goes_at(call).unwrap_or_default()),
        (CallState::Canceled, None) => format!("{line}  taken back by CancelCalls"),
        _ => line,
    }
}

/// Of a call that is held for a time.
fn goes_at(call: &Call) -> Option<String> {
    let time = call.scheduled_time?;
    let time = Timestamp::new(time.seconds, time.nanos).ok()?;
    Some(format!("  goes at {}", time.strftime("%T UTC")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_drawn_in_the_place_of_those_before() {
        assert_eq!(drawing(0, ["a"].into_iter()), "\x1b[?7l\r\x1b[2Ka\n\x1b[?7h");
        assert_eq!(
            drawing(1, ["a", "b"].into_iter()),
            "\x1b[1A\x1b[?7l\r\x1b[2Ka\n\r\x1b[2Kb\n\x1b[?7h"
        );
    }
}

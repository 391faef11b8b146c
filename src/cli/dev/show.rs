//! Calls as they go on: a live line for each on a terminal, a line for each change in
//! a pipe.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::{REFERENCE, is_over};
use crate::{
    call::E164,
    cli::say,
    proto::{Call, CallState},
};

pub(super) struct Show {
    /// On a terminal.
    live: Option<MultiProgress>,
    lines: BTreeMap<String, Line>,
}

struct Line {
    state: Option<CallState>,
    revision: u64,
    bar: Option<ProgressBar>,
}

impl Show {
    pub(super) fn new() -> Self {
        let live = io::stdout()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stdout()));
        Self { live, lines: BTreeMap::new() }
    }

    pub(super) fn update(&mut self, call: &Call) {
        let live = self.live.as_ref();
        let line = self.lines.entry(call.call_id.clone()).or_insert_with(|| Line {
            state: None,
            revision: 0,
            bar: live.map(|all| all.add(spinner())),
        });
        // Watching begins with what was before the answer to the order.
        if call.revision <= line.revision || line.state == Some(call.state()) {
            return;
        }
        line.revision = call.revision;
        line.state = Some(call.state());
        let text = text(call);
        match &line.bar {
            None => say(text),
            Some(bar) if is_over(call) => bar.finish_with_message(text),
            Some(bar) => bar.set_message(text),
        }
    }

    pub(super) fn finish(&mut self) {
        for line in self.lines.values() {
            if let Some(bar) = line.bar.as_ref().filter(|bar| !bar.is_finished()) {
                bar.abandon();
            }
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
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

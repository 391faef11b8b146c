//! Where a call goes, when, and what becomes of it otherwise.

use super::{Topic, listed};
use crate::{
    call::Script,
    config::{Config, OutsideWindow, Route, Schedule},
};

/// `[routes.*]`.
pub(super) fn topics(config: &Config) -> Vec<Topic> {
    let mut topics: Vec<_> = config.routes.values().map(|route| topic(config, route)).collect();
    if !config.routes.contains_key("default") {
        let mut none = Topic::new("routes");
        none.say("There is no route named default: every request has to name its route.");
        topics.push(none);
    }
    topics
}

fn topic(config: &Config, route: &Route) -> Topic {
    let mut topic = Topic::new(format!("routes.{}", route.name));
    topic.say(match route.vendors.as_slice() {
        [one] => format!("Calls go to {one}. There is no other vendor for those that it can't take."),
        all => format!(
            "Calls go to {}, in this order: to the first that can do what the call asks for and is not left alone by its breaker, and on to the next when nobody's phone can have rung and another one may do better (not reached, out of balance or rate, credentials, what only others can do). A call that may have been dialled stays where it is.",
            listed(all)
        ),
    });
    let shown = match &route.caller_id {
        None => "shows the vendor's own number".to_owned(),
        Some(id) => format!("shows {}", id.as_str()),
    };
    let played = match &route.script {
        None => "the vendor's own script".to_owned(),
        Some(Script::Flow(id)) => format!("flow {id}"),
        Some(Script::Audio(audio)) => format!("audio {audio}"),
    };
    topic.say(format!("A call that says nothing else {shown}, and has {played}."));
    topic.say(match (&route.window, route.outside_window) {
        (None, _) => "People may be called at any time.".to_owned(),
        (Some(window), OutsideWindow::Wait) => {
            format!("People may be called {window}; at other times calls wait until then.")
        }
        (Some(window), OutsideWindow::Refuse) => {
            format!("People may be called {window}; at other times calls are refused.")
        }
    });
    topic.say(match schedule_of(config, route) {
        Schedule::Gateway => "The gateway holds a call until its start_time; until then it can be cancelled.",
        Schedule::Vendor => {
            "A vendor that schedules by itself gets a call at once, with its start_time, and it can't be cancelled then."
        }
    });
    topic.say(if route.queue {
        "A call for which the vendor has no turn at the moment waits on disk, and CreateCalls answers at once."
    } else {
        "CreateCalls waits for the vendor's turn within its deadline, and refuses at once what would get it too late."
    });
    topic
}

/// Where none of its vendors schedules, the gateway does, whatever is asked for.
fn schedule_of(config: &Config, route: &Route) -> Schedule {
    let schedules = |name: &String| {
        config.vendors.get(name).is_some_and(|vendor| vendor.adapter.capabilities().schedules)
    };
    if route.vendors.iter().any(schedules) { route.schedule } else { Schedule::Gateway }
}

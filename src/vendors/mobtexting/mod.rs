//! MobTexting: one call in one exchange, a flow or a sound, results by asking for one
//! call at a time. Facts: mobtexting.md.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use url::Url;

use super::{
    Callback, Capabilities, Context, DefaultLimits, Objection, Outgoing, Placed, Placement,
    Registration, Vendor,
};
use crate::{
    call::{CallerId, Cause, Fault, Order, Report, Retry, Script},
    config::Section,
    http::{Body, Header, HttpReply, HttpRequest, Method},
};

mod answer;
mod callback;
pub mod codes;
mod results;
pub mod settings;
mod wire;

use settings::Settings;

/// The line of the registry.
pub const REGISTRATION: Registration = Registration { kind: "mobtexting", build };

fn build(section: &mut Section<'_>) -> Option<Arc<dyn Vendor>> {
    let settings = settings::read(section);
    settings.map(|settings| Arc::new(MobTexting::new(settings)) as Arc<dyn Vendor>)
}

/// An account at MobTexting, or at one of its resellers.
#[derive(Debug)]
pub struct MobTexting {
    settings: Settings,
    capabilities: Capabilities,
}

/// The pauses between retries the vendor knows (mobtexting.md 2).
pub const RETRY_MINUTES: [u64; 5] = [5, 15, 30, 45, 60];

fn minutes(retry: Retry) -> Option<u64> {
    RETRY_MINUTES.into_iter().find(|minutes| retry.interval == Duration::from_secs(minutes * 60))
}

impl MobTexting {
    fn new(settings: Settings) -> Self {
        let capabilities = Capabilities {
            flows: true,
            audio: true,
            schedules: false,
            retries: true,
            caller_id: true,
            pull_results: true,
            push_results: settings.callback.is_some(),
            // A campaign that runs can't be stopped (mobtexting.md 1).
            cancels: false,
            max_numbers: 1,
            max_batch: 1,
        };
        Self { settings, capabilities }
    }

    fn bridge<'a>(&'a self, order: &'a Order) -> Option<&'a CallerId> {
        order.caller_id.as_ref().or(self.settings.bridge.as_ref())
    }

    fn script<'a>(&'a self, order: &'a Order) -> Option<&'a Script> {
        order.script.as_ref().or(self.settings.script.as_ref())
    }

    fn request(&self, method: Method, path: &str, body: Body) -> Option<HttpRequest> {
        Some(HttpRequest {
            method,
            url: self.url(path)?,
            headers: vec![
                ("Authorization", Header::Secret("Bearer ", self.settings.access_token.clone())),
                // Without it a bad token is answered with a web page.
                ("Accept", Header::from("application/json")),
            ],
            body,
        })
    }

    fn url(&self, path: &str) -> Option<Url> {
        self.settings.base_url.join(path).ok()
    }

    fn body(&self, order: &Order) -> Option<Vec<u8>> {
        let (flow_id, audio) = match self.script(order)? {
            Script::Flow(flow) => (Some(flow.as_str()), None),
            Script::Audio(audio) => (None, Some(audio.as_str())),
        };
        let send = wire::Send {
            bridge: self.bridge(order)?.digits(),
            to: order.to.first()?.digits(),
            flow_id,
            audio,
            interval: order.retry.filter(|retry| retry.is_wanted()).and_then(minutes),
            webhook_id: self.settings.webhook_id.as_deref(),
            variables: order
                .variables
                .iter()
                .map(|(name, value)| (format!("variables[{name}]"), value.as_str()))
                .collect::<BTreeMap<_, _>>(),
        };
        serde_json::to_vec(&send).ok()
    }
}

impl Vendor for MobTexting {
    fn kind(&self) -> &'static str {
        REGISTRATION.kind
    }

    fn domain(&self) -> &'static str {
        "mobtexting.com"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The only documented limit is on reading; it is kept for all requests together,
    /// the strictest way to read it. Results may be pushed up to 90 minutes late, and
    /// a call may be retried hourly, nobody says how often: hence six hours.
    fn default_limits(&self) -> DefaultLimits {
        DefaultLimits {
            calls_per_minute: None,
            requests_per_minute: Some(1_000),
            max_in_flight: 5,
            poll_interval: Duration::from_secs(30),
            give_up_after: Duration::from_secs(6 * 3_600),
        }
    }

    fn check(&self, order: &Order) -> Vec<Objection> {
        let mut objections = Vec::new();
        match order.to.len() {
            0 => objections.push(Objection::invalid("to", "is empty; expected one number")),
            1 => {}
            count => objections.push(Objection::unsupported(
                "to",
                format!("has {count} numbers; MobTexting takes one, without alternates"),
            )),
        }
        if self.bridge(order).is_none() {
            objections.push(Objection::invalid(
                "caller_id",
                "is empty, and neither the route nor the vendor's `bridge` names one",
            ));
        }
        match self.script(order) {
            None => objections.push(Objection::invalid(
                "script",
                "is empty, and neither the route nor the vendor's `flow_id` or `audio` names one",
            )),
            Some(Script::Audio(audio)) if !settings::is_audio(audio) => objections.push(
                Objection::invalid("audio", format!("expected {}", settings::AUDIO_EXPECTED)),
            ),
            Some(_) => {}
        }
        if order.retry.is_some_and(|retry| retry.is_wanted() && minutes(retry).is_none()) {
            objections.push(Objection::invalid(
                "retry.interval",
                "MobTexting retries every 5, 15, 30, 45 or 60 minutes; expected one of these",
            ));
        }
        objections
    }

    fn batches(&self, orders: &[Outgoing<'_>]) -> Vec<Vec<usize>> {
        (0..orders.len()).map(|index| vec![index]).collect()
    }

    fn place(&self, batch: &[Outgoing<'_>], _: &Context<'_>) -> Result<HttpRequest, Fault> {
        // Silently placing fewer calls than asked for would lose them.
        let [outgoing] = batch else {
            return Err(Fault::new(
                Cause::Unsupported,
                "ONE_CALL_PER_REQUEST",
                format!("{} calls in one request; MobTexting takes one", batch.len()),
            ));
        };
        self.body(outgoing.order)
            .and_then(|body| self.request(Method::Post, "outgoing/send", Body::Json(body.into())))
            .ok_or_else(|| {
                Fault::new(
                    Cause::InvalidCall,
                    "INCOMPLETE_CALL",
                    "a number, a caller id and a flow or a sound are needed",
                )
            })
    }

    fn read_placement(&self, batch: &[Outgoing<'_>], reply: &HttpReply) -> Vec<Placement> {
        let said = answer::placement(reply);
        if batch.len() == 1 {
            return vec![said];
        }
        // Never asked for: see place. One call's answer says nothing of several.
        let doubt = codes::fault(
            codes::Observed::Unreadable,
            reply,
            "one answer to several calls, which MobTexting never gives",
        );
        batch.iter().map(|_| Placement::Fault(doubt.clone())).collect()
    }

    fn questions(&self, calls: &[Placed<'_>]) -> Vec<Vec<usize>> {
        let known = calls.iter().enumerate().filter(|(_, call)| call_id(call).is_some());
        known.map(|(index, _)| vec![index]).collect()
    }

    fn ask(&self, calls: &[Placed<'_>], _: &Context<'_>) -> Option<HttpRequest> {
        let [call] = calls else { return None };
        let mut request = self.request(Method::Get, "outgoing/callstatus", Body::Empty)?;
        // Verbatim: nothing says that the ":<n>" may be left out.
        request.url.query_pairs_mut().append_pair("id", call_id(call)?);
        Some(request)
    }

    fn read_answer(&self, calls: &[Placed<'_>], reply: &HttpReply) -> Result<Vec<Report>, Fault> {
        calls.iter().map(|call| results::read(call, reply, &self.settings.time_zone)).collect()
    }

    fn callback(&self) -> Option<&dyn Callback> {
        self.settings.callback.is_some().then_some(self as &dyn Callback)
    }

    /// With the `:<n>` and without (mobtexting.md 6 #2): an answer may have one where a push
    /// has the other.
    fn aliases(&self, vendor_call_id: &str) -> Vec<String> {
        let other = match results::stem(vendor_call_id) {
            Some(stem) => stem.to_owned(),
            // Calls are placed one at a time.
            None => format!("{vendor_call_id}:1"),
        };
        vec![vendor_call_id.to_owned(), other]
    }
}

fn call_id<'a>(call: &Placed<'a>) -> Option<&'a str> {
    call.vendor_call_id.filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests;

//! Knovvu: one call in one exchange, a scenario, results by asking for many calls at a
//! time. Facts: knovvu.md.

use std::{sync::Arc, time::Duration};

use super::{
    Callback, Capabilities, Context, DefaultLimits, Objection, Outgoing, Placed, Placement,
    Registration, Token, Vendor,
};
use crate::{
    call::{CallerId, Cause, Fault, Order, Report, Script},
    config::{Secret, Section},
    http::{Body, Header, HttpReply, HttpRequest, Method},
};

mod callback;
pub mod codes;
mod message;
mod results;
pub mod settings;
mod token;
mod wire;

use settings::{Access, ProjectHeader, Settings};

/// The line of the registry.
pub const REGISTRATION: Registration = Registration { kind: "knovvu", build };

fn build(section: &mut Section<'_>) -> Option<Arc<dyn Vendor>> {
    let settings = settings::read(section);
    settings.map(|settings| Arc::new(Knovvu::new(settings)) as Arc<dyn Vendor>)
}

/// A project at Knovvu.
#[derive(Debug)]
pub struct Knovvu {
    settings: Settings,
    capabilities: Capabilities,
}

/// Calls asked about in one exchange: no maximum is documented (knovvu.md 6.7).
pub const MAX_QUESTIONS: usize = 50;

impl Knovvu {
    /// The adapter of an account.
    pub fn new(settings: Settings) -> Self {
        let capabilities = Capabilities {
            flows: true,
            audio: false,
            schedules: false,
            retries: false,
            caller_id: true,
            pull_results: true,
            push_results: settings.callback.is_some(),
            cancels: false,
            max_numbers: 1,
            max_batch: 1,
        };
        Self { settings, capabilities }
    }

    fn display_number<'a>(&'a self, order: &'a Order) -> Option<&'a CallerId> {
        order.caller_id.as_ref().or(self.settings.display_number.as_ref())
    }

    /// A call's flow is the scenario's path.
    fn scenario<'a>(&'a self, order: &'a Order) -> Option<&'a str> {
        match &order.script {
            Some(Script::Flow(path)) => Some(path),
            Some(Script::Audio(_)) => None,
            None => self.settings.scenario_path.as_deref(),
        }
    }

    /// What must not be shown of an answer, as far as it is known.
    fn secrets(&self) -> Vec<&Secret> {
        let access = match &self.settings.access {
            Access::Static(token) => token,
            Access::OAuth(client) => &client.secret,
        };
        std::iter::once(access).chain(&self.settings.result_destination).collect()
    }

    fn request(&self, path: &str, body: Vec<u8>) -> Option<HttpRequest> {
        let project = match self.settings.project_header {
            ProjectHeader::Name => Some(self.settings.project.as_str()),
            ProjectHeader::Empty => Some(""),
            ProjectHeader::None => None,
        };
        Some(HttpRequest {
            method: Method::Post,
            url: self.settings.base_url.join(path).ok()?,
            headers: project.map(|name| ("Project", Header::from(name))).into_iter().collect(),
            body: Body::Json(body.into()),
        })
    }

    fn body(&self, outgoing: &Outgoing<'_>, access_token: &str) -> Option<Vec<u8>> {
        let Outgoing { id, dial, order } = outgoing;
        let number = self.settings.number_format.write(order.to.first()?)?;
        let destination = self.settings.result_destination.as_ref();
        // As given, not in the numbers' format: it may be an extension.
        let shown = self.display_number(order)?.as_str();
        let mut parameters = vec![
            wire::Parameter { name: wire::DISPLAY_NUMBER, value: shown },
            wire::Parameter { name: wire::DESTINATION, value: &number },
        ];
        parameters
            .extend(order.variables.iter().map(|(name, value)| wire::Parameter { name, value }));
        let call = wire::Call {
            project: &self.settings.project,
            // A fresh one for each dial (knovvu.md 6.5).
            conversation_id: id.of_dial(*dial).to_string(),
            access_token,
            scenario_path: self.scenario(order)?,
            orchestrator_url: &self.settings.orchestrator_url,
            tenant: &self.settings.tenant,
            end_user: wire::EndUser {
                name: &order.recipient.name,
                phone: &number,
                email: &order.recipient.email,
            },
            locale: order.locale.as_deref().or(self.settings.locale.as_deref()),
            scenario_input_parameters: parameters,
            result_destination: destination.map(Secret::expose),
            send_result_immediately: destination.is_some(),
        };
        serde_json::to_vec(&call).ok()
    }

    fn check_number(&self, order: &Order) -> Option<Objection> {
        let [number] = order.to.as_slice() else {
            return Some(if order.to.is_empty() {
                Objection::invalid("to", "is empty; expected one number")
            } else {
                Objection::unsupported(
                    "to",
                    format!("has {} numbers; Knovvu takes one, without alternates", order.to.len()),
                )
            });
        };
        let format = &self.settings.number_format;
        format.write(number).is_none().then(|| {
            Objection::invalid("to[0]", format!("expected {format}, as this vendor is configured"))
        })
    }

    fn check_script(&self, order: &Order) -> Option<Objection> {
        match &order.script {
            Some(Script::Audio(_)) => Some(Objection::unsupported(
                "audio",
                "Knovvu runs scenarios, and plays no audio without one",
            )),
            _ => self.scenario(order).is_none().then(|| {
                Objection::invalid(
                    "script",
                    "is empty, and neither the route nor the vendor's `scenario_path` names a \
                     scenario",
                )
            }),
        }
    }
}

impl Vendor for Knovvu {
    fn kind(&self) -> &'static str {
        REGISTRATION.kind
    }

    fn domain(&self) -> &'static str {
        "knovvu.com"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// No limits are documented. How many lines there are is not known either, hence
    /// few exchanges at a time (knovvu.md 6.12). A result may only come when the
    /// conversation is over, which takes longer than a call: hence an hour, and not
    /// the quarter that knovvu.md 6.8 has for an example.
    fn default_limits(&self) -> DefaultLimits {
        DefaultLimits {
            calls_per_minute: None,
            requests_per_minute: None,
            max_in_flight: 5,
            poll_interval: Duration::from_secs(10),
            give_up_after: Duration::from_secs(3_600),
        }
    }

    fn check(&self, order: &Order) -> Vec<Objection> {
        let mut objections = Vec::new();
        objections.extend(self.check_number(order));
        if self.display_number(order).is_none() {
            objections.push(Objection::invalid(
                "caller_id",
                "is empty, and neither the route nor the vendor's `display_number` names one",
            ));
        }
        objections.extend(self.check_script(order));
        for name in order.variables.keys() {
            // Whichever of the two came last might be the one that is dialled.
            let reserved = [wire::DISPLAY_NUMBER, wire::DESTINATION];
            if reserved.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                objections.push(Objection::invalid(
                    format!("variables[\"{name}\"]"),
                    "is Knovvu's own name for a number; expected another name",
                ));
            }
        }
        objections
    }

    fn batches(&self, orders: &[Outgoing<'_>]) -> Vec<Vec<usize>> {
        (0..orders.len()).map(|index| vec![index]).collect()
    }

    fn place(&self, batch: &[Outgoing<'_>], context: &Context<'_>) -> Result<HttpRequest, Fault> {
        // Silently placing fewer calls than asked for would lose them.
        let [outgoing] = batch else {
            return Err(Fault::new(
                Cause::Unsupported,
                "ONE_CALL_PER_REQUEST",
                format!("{} calls in one request; Knovvu takes one", batch.len()),
            ));
        };
        let token = match &self.settings.access {
            Access::Static(token) => Some(token),
            Access::OAuth(_) => context.token,
        };
        let token = token.ok_or_else(|| {
            Fault::new(Cause::Operator, "NO_TOKEN", "there is no access token for Knovvu")
        })?;
        self.body(outgoing, token.expose())
            .and_then(|body| self.request("v2/call", body))
            .ok_or_else(|| {
                Fault::new(
                    Cause::InvalidCall,
                    "INCOMPLETE_CALL",
                    "a number in the configured format, a caller id and a scenario are needed",
                )
            })
    }

    fn read_placement(&self, batch: &[Outgoing<'_>], reply: &HttpReply) -> Vec<Placement> {
        if batch.len() == 1 {
            return vec![results::placement(reply, &self.secrets())];
        }
        // Never asked for: see place. One call's answer says nothing of several.
        let doubt = codes::fault(
            codes::Observed::Unreadable,
            reply,
            "one answer to several calls, which Knovvu never gives".to_owned(),
        );
        batch.iter().map(|_| Placement::Fault(doubt.clone())).collect()
    }

    fn questions(&self, calls: &[Placed<'_>]) -> Vec<Vec<usize>> {
        let known: Vec<usize> = calls
            .iter()
            .enumerate()
            .filter(|(_, call)| call_id(call).is_some())
            .map(|(index, _)| index)
            .collect();
        known.chunks(MAX_QUESTIONS).map(<[usize]>::to_vec).collect()
    }

    fn ask(&self, calls: &[Placed<'_>], _: &Context<'_>) -> Option<HttpRequest> {
        let unique_ids: Vec<&str> = calls.iter().filter_map(call_id).collect();
        if unique_ids.is_empty() {
            return None;
        }
        let body = serde_json::to_vec(&wire::Question { unique_ids }).ok()?;
        self.request("v2/callresult", body)
    }

    fn read_answer(&self, calls: &[Placed<'_>], reply: &HttpReply) -> Result<Vec<Report>, Fault> {
        results::answer(calls, reply, &self.secrets())
    }

    fn callback(&self) -> Option<&dyn Callback> {
        self.settings.callback.as_ref().map(|token| token as &dyn Callback)
    }

    fn token_request(&self) -> Option<HttpRequest> {
        match &self.settings.access {
            Access::Static(_) => None,
            Access::OAuth(client) => token::request(client),
        }
    }

    fn read_token(&self, reply: &HttpReply) -> Result<Token, Fault> {
        match &self.settings.access {
            Access::Static(_) => {
                Err(Fault::new(Cause::Operator, "NO_TOKEN", "the access token is configured"))
            }
            Access::OAuth(client) => token::read(client, reply),
        }
    }
}

fn call_id<'a>(call: &Placed<'a>) -> Option<&'a str> {
    call.vendor_call_id.filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests;

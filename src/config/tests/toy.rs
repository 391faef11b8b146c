//! A kind of vendor that has one key of each sort and can do little.

use std::{sync::Arc, time::Duration};

use crate::{
    call::{Cause, Fault, Order, Report},
    config::{Secret, Section},
    http::{HttpReply, HttpRequest},
    vendors::{
        Capabilities, Context, DefaultLimits, Objection, Outgoing, Placed, Placement, Registration,
        Vendor,
    },
};

pub(super) const REGISTRY: &[Registration] = &[
    Registration { kind: "flows", build: |section| build(section, true) },
    Registration { kind: "audio", build: |section| build(section, false) },
    Registration { kind: "silent", build: |_| None },
];

#[derive(Debug)]
struct Toy {
    #[allow(dead_code, reason = "is there to be printed")]
    token: Secret,
    can: Capabilities,
}

fn build(section: &mut Section<'_>, flows: bool) -> Option<Arc<dyn Vendor>> {
    section.url("base_url");
    section.string("flow_id");
    let token = section.required_secret("token")?;
    let can = Capabilities {
        flows,
        audio: !flows,
        schedules: flows,
        retries: false,
        caller_id: flows,
        pull_results: false,
        push_results: false,
        cancels: false,
        max_numbers: 1,
        max_batch: 1,
    };
    Some(Arc::new(Toy { token, can }))
}

impl Vendor for Toy {
    fn kind(&self) -> &'static str {
        if self.can.flows { "flows" } else { "audio" }
    }

    fn domain(&self) -> &'static str {
        "toy.example"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.can
    }

    fn default_limits(&self) -> DefaultLimits {
        DefaultLimits {
            calls_per_minute: Some(500),
            requests_per_minute: None,
            max_in_flight: 7,
            poll_interval: Duration::from_secs(11),
            give_up_after: Duration::from_secs(3_600),
        }
    }

    fn check(&self, _: &Order) -> Vec<Objection> {
        Vec::new()
    }

    fn batches(&self, orders: &[Outgoing<'_>]) -> Vec<Vec<usize>> {
        (0..orders.len()).map(|index| vec![index]).collect()
    }

    fn place(&self, _: &[Outgoing<'_>], _: &Context<'_>) -> Result<HttpRequest, Fault> {
        Err(Fault::new(Cause::Unsupported, "TOY", "places nothing"))
    }

    fn read_placement(&self, _: &[Outgoing<'_>], _: &HttpReply) -> Vec<Placement> {
        Vec::new()
    }

    fn questions(&self, _: &[Placed<'_>]) -> Vec<Vec<usize>> {
        Vec::new()
    }

    fn ask(&self, _: &[Placed<'_>], _: &Context<'_>) -> Option<HttpRequest> {
        None
    }

    fn read_answer(&self, _: &[Placed<'_>], _: &HttpReply) -> Result<Vec<Report>, Fault> {
        Ok(Vec::new())
    }
}

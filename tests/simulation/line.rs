//! The way to the vendors, on which anything may happen.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use dialplane::{
    http::{Body, Failure, Header, HttpReply, HttpRequest, InDoubt, Line, Method, NotSent},
    sandbox::Reaction,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::{
    faults::{Exchange, Mischief},
    house::TIMEOUT,
    world::{Event, Request, State, World, note},
};

#[derive(Debug)]
pub struct Wire {
    pub world: Arc<World>,
    pub vendor: String,
}

/// While it is on the line.
struct OnTheLine<'a>(&'a Wire);

impl Drop for OnTheLine<'_> {
    fn drop(&mut self) {
        let mut state = self.0.world.state();
        state.on_the_line = state.on_the_line.saturating_sub(1);
        state.reloads.is_over(&self.0.vendor);
        self.0.count(&mut state, false);
    }
}

#[async_trait]
impl Line for Wire {
    async fn send(&self, request: &HttpRequest) -> Result<HttpReply, Failure> {
        self.world.point("a request about to be sent").await;
        let (number, fate) = self.begin(request);
        let _on_the_line = OnTheLine(self);
        let doubt = |kind| Failure::in_doubt(kind, "simulated");
        let mischief = self.world.state().mischief;
        let outcome = match fate {
            _ if mischief == Some(Mischief::Denied) => {
                drop(self.let_go(number, request, 5).await);
                sleep(Duration::from_millis(10)).await;
                Err(Failure::not_sent(NotSent::Connect, "a lie"))
            }
            _ if mischief == Some(Mischief::MadeUp) && self.vendor == "knovvu" => {
                Ok(HttpReply::json(200, "{\"UniqueId\":\"made-up\"}"))
            }
            Exchange::Refused => {
                self.world.pause(0, 50).await;
                Err(Failure::not_sent(NotSent::Connect, "simulated"))
            }
            Exchange::ResetBefore => {
                self.world.pause(0, 50).await;
                Err(doubt(InDoubt::NoAnswer))
            }
            Exchange::Instead(status, body, arrives) => {
                if arrives {
                    drop(self.let_go(number, request, 5).await);
                }
                self.world.pause(10, 200).await;
                Ok(instead(status, body))
            }
            Exchange::Late(more) => {
                let arrives = u64::try_from(TIMEOUT.as_millis()).unwrap() + more;
                drop(self.let_go(number, request, arrives).await);
                sleep(TIMEOUT).await;
                Err(doubt(InDoubt::Timeout))
            }
            _ => {
                let transit = if let Exchange::Well(ms) = fate { ms / 2 } else { 10 };
                let answer = self.let_go(number, request, transit).await;
                if mischief == Some(Mischief::Twice) {
                    drop(self.let_go(number, request, transit).await);
                }
                match timeout(TIMEOUT, self.come_back(fate, answer)).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(doubt(InDoubt::Timeout)),
                }
            }
        };
        {
            let mut state = self.world.state();
            match &outcome {
                Ok(reply) => {
                    let now = state.time();
                    let timing = &mut state.checker.timing;
                    timing.answered(&self.vendor, reply.status, reply.retry_after, now);
                    note!(state, "exchange {number}: {}", reply.status);
                }
                Err(failure) => note!(state, "exchange {number}: {}", failure.reason()),
            }
        }
        self.world.changed.notify_one();
        self.world.point("an exchange that is over").await;
        outcome
    }
}

impl Wire {
    /// Who may be late may be so because no turn is free.
    fn count(&self, state: &mut State, begins: bool) {
        let turns = state.config.vendors.get(&self.vendor).map_or(1, |v| v.max_in_flight);
        let now = state.time();
        state.checker.timing.on_the_line(&self.vendor, begins, turns, now);
    }

    fn begin(&self, request: &HttpRequest) -> (u64, Exchange) {
        let mut state = self.world.state();
        let now = state.now();
        let fate = state.faults.exchange(now);
        state.on_the_line += 1;
        self.count(&mut state, true);
        let (path, time) = (request.url.path(), state.time());
        // What was never sent does not count.
        let is_order = request.method == Method::Post
            && fate != Exchange::Refused
            && !path.contains("identity")
            && !path.contains("results")
            && !path.contains("status");
        if let Some(wrong) = state.reloads.begins(&self.vendor, is_order, time) {
            state.checker.wrong(wrong);
        }
        state.exchanges += 1;
        let number = state.exchanges;
        let vendor = &self.vendor;
        note!(state, "exchange {number} with {vendor} {}: {fate:?}", request.url.path());
        (number, fate)
    }

    /// The request is on its way: whatever becomes of its sender, it arrives.
    async fn let_go(
        &self,
        exchange: u64,
        request: &HttpRequest,
        after: u64,
    ) -> oneshot::Receiver<Reaction> {
        let (tell, answer) = oneshot::channel();
        let content_type = match &request.body {
            Body::Empty => None,
            Body::Json(_) => Some("application/json"),
            Body::Form(_) => Some("application/x-www-form-urlencoded"),
        };
        let mut headers: Vec<_> = content_type
            .map(|value| ("content-type".to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        headers.extend(request.headers.iter().map(|(name, value)| {
            let value = match value {
                Header::Plain(text) => text.clone(),
                Header::Secret(prefix, secret) => format!("{prefix}{}", secret.expose()),
            };
            (name.to_ascii_lowercase(), value)
        }));
        let request = Request {
            exchange,
            method: if request.method == Method::Get { "GET" } else { "POST" },
            path: request.url.path().to_owned(),
            query: request.url.query().unwrap_or_default().to_owned(),
            headers,
            body: request.body.bytes().to_vec(),
            sent: self.world.time(),
            answer: tell,
        };
        self.world.plan(after, Event::Arrives(request));
        self.world.point("a request on its way").await;
        answer
    }

    async fn come_back(
        &self,
        fate: Exchange,
        answer: oneshot::Receiver<Reaction>,
    ) -> Result<HttpReply, Failure> {
        let reaction = answer.await.unwrap_or(Reaction::Reset);
        let back = if let Exchange::Well(ms) = fate { ms / 2 } else { 10 };
        sleep(Duration::from_millis(back)).await;
        let doubt = |kind| Err(Failure::in_doubt(kind, "simulated"));
        match (fate, reaction) {
            (Exchange::Lost, _) | (_, Reaction::Hold) => std::future::pending().await,
            (Exchange::ResetAfter, _) | (_, Reaction::Reset) => doubt(InDoubt::NoAnswer),
            (Exchange::Cut, _) => doubt(InDoubt::AnswerCut),
            (_, Reaction::Reply { status, headers, mut body }) => {
                if fate == Exchange::Half {
                    body.truncate(body.len() / 2);
                }
                Ok(reply(status, &headers, body))
            }
        }
    }
}

fn reply(status: u16, headers: &[(&str, String)], body: Vec<u8>) -> HttpReply {
    let header = |name| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    let media_type = header("content-type").and_then(|value| value.split(';').next());
    HttpReply {
        status,
        content_type: media_type.unwrap_or_default().to_owned(),
        retry_after: header("retry-after").and_then(|v| v.parse().ok()).map(Duration::from_secs),
        location: None,
        body: body.into(),
    }
}

fn instead(status: u16, body: &'static str) -> HttpReply {
    let is_json = body.starts_with('{');
    HttpReply {
        content_type: if is_json { "application/json" } else { "text/html" }.to_owned(),
        ..HttpReply::json(status, Bytes::from_static(body.as_bytes()))
    }
}

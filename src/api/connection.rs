//! One connection, from its first byte to its last.

use std::{
    convert::Infallible,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, interval_at, sleep, timeout},
};
use tonic::{
    Status,
    codegen::{
        Service,
        http::{self, header::CONTENT_TYPE},
    },
};

use super::{
    callers::{Arrived, Caller, Callers, Who},
    farewell::Farewell,
    reading::{Reading, ReadingRoom},
    refusal,
    services::Rpc,
};
use crate::{
    config::Limits,
    listen::{Current, Handshake, HandshakeError, Peer, Place, Stream, Tls},
};

/// The RPC that may go on for longer than its caller is one.
const WATCH: &str = "/dialplane.v1.CallService/WatchCallResults";

/// What all connections of a listener have in common.
#[derive(Debug)]
pub(super) struct House {
    pub limits: Current<Limits>,
    pub callers: Current<Callers>,
    pub tls: Option<Tls>,
    pub reading: ReadingRoom,
}

/// Answers one connection's RPCs until either side ends it. `services` are asked for once it
/// has said that it speaks HTTP/2.
pub(super) async fn converse<S, B>(
    handshake: Handshake,
    mut place: Place,
    house: Arc<House>,
    services: impl FnOnce(&Limits) -> S,
    mut end: watch::Receiver<()>,
) where
    S: Service<Rpc, Response = http::Response<B>, Error = Infallible> + Clone,
    S::Future: Future<Output = Result<http::Response<B>, Infallible>> + Unpin + Send + 'static,
    B: Body<Data = Bytes, Error = Status> + Unpin + Send + 'static,
{
    let limits = house.limits.get();
    let begun = timeout(limits.handshake_timeout, begin(handshake, house.tls.as_ref()));
    let (stream, peer) = tokio::select! {
        biased;
        begun = begun => match begun {
            Ok(Ok(begun)) => begun,
            Ok(Err(error)) => return tracing::debug!(%error, "nothing came of a connection"),
            Err(_) => return tracing::debug!("a connection said nothing, and is cut"),
        },
        () = place.gone() => return,
        // Dropped when the listener ends.
        _ = end.changed() => return,
    };
    let activity = Arc::new(Activity::default());
    let entrance = Entrance {
        services: services(&limits),
        activity: Arc::clone(&activity),
        house: Arc::clone(&house),
        request_timeout: limits.request_timeout,
        peer,
    };
    let connection = http2(&limits).serve_connection(TokioIo::new(Farewell::new(stream)), entrance);
    let whole = async {
        let mut connection = pin!(connection);
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection broke");
                }
                return;
            }
            _ = end.changed() => {}
            () = sleep(about(limits.connection_age)) => {}
            () = idle(&activity, limits.idle_timeout) => {}
        }
        // Whoever is there is told to take another connection, and what is under way goes on.
        connection.as_mut().graceful_shutdown();
        if timeout(limits.connection_grace, connection).await.is_err() {
            tracing::debug!("a connection was asked to end long ago, and is cut");
        }
    };
    tokio::select! {
        biased;
        () = whole => {}
        () = has_to_go(&mut place, &activity) => {
            tracing::debug!("a connection on which nobody is known makes room");
        }
    }
}

/// Waits until a connection has to make room for others: never, once somebody is known on it.
/// That it speaks HTTP/2 is no reason to stay, for anybody can say that.
async fn has_to_go(place: &mut Place, activity: &Activity) {
    tokio::select! {
        biased;
        () = activity.known.notified() => {}
        () = place.gone() => return,
    }
    if place.spoke() {
        std::future::pending::<()>().await;
    }
}

async fn begin(handshake: Handshake, tls: Option<&Tls>) -> Result<(Stream, Peer), HandshakeError> {
    let (mut stream, peer) = handshake.with(tls).await?;
    stream.speaks_http2().await?;
    Ok((stream, peer))
}

fn http2(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_bytes)
        .max_pending_accept_reset_streams(limits.pending_resets as usize)
        .max_local_error_reset_streams(limits.error_resets as usize)
        .max_send_buf_size(limits.send_buffer_bytes as usize)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .keep_alive_interval(limits.keep_alive_interval)
        .keep_alive_timeout(limits.keep_alive_timeout);
    builder
}

/// Give or take a tenth, so that connections that began together don't end together.
fn about(age: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) % 2_001;
    let permille = 900.0 + random as f64 / 10.0;
    age.mul_f64(permille / 1_000.0)
}

/// Waits until there was no RPC for so long, or for up to half as much longer.
async fn idle(activity: &Activity, most: Duration) {
    let half = (most / 2).max(Duration::from_millis(1));
    let mut looks = interval_at(Instant::now() + half, half);
    let (mut begun, mut quiet) = (0, 0);
    loop {
        looks.tick().await;
        let is_quiet = activity.open.load(Relaxed) == 0 && activity.begun.load(Relaxed) == begun;
        begun = activity.begun.load(Relaxed);
        // Of the first look nothing is known of when the last one ended.
        quiet = if is_quiet { quiet + 1 } else { 0 };
        if quiet >= 2 {
            return;
        }
    }
}

/// What is going on on a connection.
#[derive(Debug, Default)]
struct Activity {
    /// RPCs under way: up to the last byte of their answers.
    open: AtomicUsize,
    begun: AtomicU64,
    /// There was an RPC of somebody who is let in.
    is_known: AtomicBool,
    /// Told when there is the first of these.
    known: Notify,
}

/// An RPC under way; over when it is dropped.
#[derive(Debug)]
struct Open(Arc<Activity>);

impl Open {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Relaxed);
        activity.begun.fetch_add(1, Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Where a connection's RPCs come in.
struct Entrance<S> {
    services: S,
    activity: Arc<Activity>,
    house: Arc<House>,
    request_timeout: Duration,
    peer: Peer,
}

impl<S, B> hyper::service::Service<http::Request<Incoming>> for Entrance<S>
where
    S: Service<Rpc, Response = http::Response<B>, Error = Infallible> + Clone,
    S::Future: Unpin,
{
    type Response = http::Response<Answer<B>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, mut request: http::Request<Incoming>) -> Self::Future {
        let at = Instant::now();
        let who = self.house.callers.get().who(request.headers(), &self.peer);
        if !matches!(who, Who::Stranger) && !self.activity.is_known.load(Relaxed) {
            self.activity.is_known.store(true, Relaxed);
            self.activity.known.notify_one();
        }
        // Whatever else was begun is done, and its caller is told what came of it.
        let caller = who.caller().filter(|_| request.uri().path() == WATCH);
        let known = caller.map(|caller| Known::new(&self.house.callers, caller));
        request.extensions_mut().insert(Arrived { at, who, from: self.peer.address() });
        let rpc = Reading::new(request, at, self.request_timeout, self.house.reading.clone());
        // Always ready: nothing is bounded there.
        let answer = self.services.clone().call(rpc);
        Answering { answer, known, open: Some(Open::begin(&self.activity)) }
    }
}

/// A caller, as it was known when its RPC began.
struct Known {
    callers: Current<Callers>,
    then: Arc<Callers>,
    caller: Arc<Caller>,
}

impl Known {
    fn new(callers: &Current<Callers>, caller: &Arc<Caller>) -> Self {
        Self { callers: callers.clone(), then: callers.get(), caller: Arc::clone(caller) }
    }

    /// Nothing of what it may do has changed since.
    fn is_still(&mut self) -> bool {
        let now = self.callers.get();
        if Arc::ptr_eq(&now, &self.then) {
            return true;
        }
        let is_still = now.have(&self.caller);
        if is_still {
            self.then = now;
        }
        is_still
    }
}

/// An answer to come.
struct Answering<F> {
    answer: F,
    known: Option<Known>,
    open: Option<Open>,
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<http::Response<B>, Infallible>> + Unpin,
{
    type Output = Result<http::Response<Answer<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        Pin::new(&mut this.answer).poll(context).map(|answer| {
            let (open, known) = (this.open.take(), this.known.take());
            answer.map(|answer| answer.map(|body| Answer { body: Some(body), known, _open: open }))
        })
    }
}

/// An answer's body, under way until it is dropped.
struct Answer<B> {
    /// None once it was ended early.
    body: Option<B>,
    known: Option<Known>,
    _open: Option<Open>,
}

impl<B: Body<Data = Bytes, Error = Status> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        // A stream may go on for long: what it would tell next is for those who may hear it then.
        let tells = matches!(&polled, Poll::Ready(Some(Ok(frame))) if frame.is_data());
        if tells && self.known.as_mut().is_some_and(|known| !known.is_still()) {
            self.body = None;
            let refused: http::Response<()> = refusal::unauthenticated().into_http();
            let mut trailers = refused.into_parts().0.headers;
            trailers.remove(CONTENT_TYPE);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_differ_by_a_tenth_at_most() {
        let age = Duration::from_secs(100);
        let ages: Vec<_> = (0..100).map(|_| about(age)).collect();
        assert!(ages.iter().all(|age| (90..=110).contains(&age.as_secs())));
        assert!(ages.iter().any(|age| *age != ages[0]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_once_nothing_happened_for_long() {
        let activity = Arc::new(Activity::default());
        let most = Duration::from_secs(10);
        let took = async || {
            let since = Instant::now();
            idle(&activity, most).await;
            since.elapsed().as_secs()
        };
        assert_eq!(took().await, 10);
        let open = Open::begin(&activity);
        assert!(timeout(most * 10, idle(&activity, most)).await.is_err());
        drop(open);
        assert!((10..=15).contains(&took().await));
        // One that is over between two looks counts as well.
        let waiting = async {
            sleep(Duration::from_secs(9)).await;
            drop(Open::begin(&activity));
        };
        let (took, ()) = tokio::join!(took(), waiting);
        assert_eq!(took, 20);
    }
}

//! A request's body, which has to be there in time, and in no more memory than there is.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::PollSemaphore;
use tonic::{Status, codegen::http};

use super::{deadline, health, refusal};

/// What is read of each request without asking for room: most are smaller.
const SMALL: usize = 64 * 1024;
/// What room is counted in, in bytes.
const UNIT: usize = 1_024;

/// The room for requests that are being read, all in all.
#[derive(Debug, Clone)]
pub(super) struct ReadingRoom(Arc<Semaphore>);

impl ReadingRoom {
    /// Of so many bytes.
    pub(super) fn new(bytes: u32) -> Self {
        Self(Arc::new(Semaphore::new(bytes as usize / UNIT)))
    }
}

/// By when a request has to be there, and whose word that is.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// Streams of requests last as long as they last.
    Whenever,
    /// The gateway's limit.
    Limit(Instant, Duration),
    /// The caller's own deadline.
    Deadline(Instant),
}

/// A body that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    body: Incoming,
    until: Until,
    /// Made only when something has to be waited for.
    timer: Option<Pin<Box<Sleep>>>,
    read: usize,
    /// The most that is read: of what anybody may ask, no more than that takes.
    most: usize,
    /// What was read and is not paid for yet, in units.
    owed: u32,
    room: ReadingRoom,
    paid: Option<OwnedSemaphorePermit>,
    paying: Option<PollSemaphore>,
}

impl Reading {
    /// The body of an RPC that arrived at this moment.
    pub(super) fn new(
        request: http::Request<Incoming>,
        at: Instant,
        limit: Duration,
        room: ReadingRoom,
    ) -> http::Request<Self> {
        let until = match deadline::given(request.headers()) {
            _ if request.uri().path().starts_with("/grpc.reflection.") => Until::Whenever,
            Some(given) if given < limit => Until::Deadline(at + given),
            _ => Until::Limit(at + limit, limit),
        };
        let most = match request.uri().path().starts_with("/grpc.health.") {
            true => 2 * health::MAX_QUESTION_BYTES,
            false => usize::MAX,
        };
        request.map(|body| Self {
            body,
            until,
            timer: None,
            read: 0,
            most,
            owed: 0,
            room,
            paid: None,
            paying: None,
        })
    }

    /// Waits with whatever else is waited for, until it is too late.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let (at, status): (_, fn(Duration) -> Status) = match self.until {
            Until::Whenever => return Poll::Pending,
            Until::Limit(at, _) => (at, refusal::request_too_slow),
            Until::Deadline(at) => (at, |_| refusal::request_too_late()),
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        ready!(timer.as_mut().poll(context));
        let limit = match self.until {
            Until::Limit(_, limit) => limit,
            Until::Whenever | Until::Deadline(_) => Duration::ZERO,
        };
        Poll::Ready(if self.owed > 0 { refusal::too_much_to_read() } else { status(limit) })
    }

    /// Pays for what was read, so that more may be.
    fn poll_pay(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.owed == 0 {
            return Poll::Ready(());
        }
        let permit = match &mut self.paying {
            None => match Arc::clone(&self.room.0).try_acquire_many_owned(self.owed) {
                Ok(permit) => Some(permit),
                Err(_) => {
                    let paying = PollSemaphore::new(Arc::clone(&self.room.0));
                    let paying = self.paying.insert(paying);
                    ready!(paying.poll_acquire_many(context, self.owed))
                }
            },
            Some(paying) => ready!(paying.poll_acquire_many(context, self.owed)),
        };
        (self.paying, self.owed) = (None, 0);
        match (&mut self.paid, permit) {
            (Some(paid), Some(permit)) => paid.merge(permit),
            (paid, permit) => *paid = permit,
        }
        Poll::Ready(())
    }
}

impl Body for Reading {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if this.poll_pay(context).is_pending() {
            return this.poll_late(context).map(|late| Some(Err(late)));
        }
        let frame = match Pin::new(&mut this.body).poll_frame(context) {
            // The caller has gone, which ends the RPC as a whole: it is no answer of the gateway's.
            Poll::Ready(Some(Err(_))) | Poll::Pending => {
                return this.poll_late(context).map(|late| Some(Err(late)));
            }
            Poll::Ready(frame) => frame,
        };
        if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref))
            && let Some(data) = data
        {
            this.read += data.len();
            if this.read > this.most {
                return Poll::Ready(Some(Err(Status::out_of_range("a question is not that long"))));
            }
            if this.read > SMALL {
                let units = data.len().div_ceil(UNIT);
                this.owed = this.owed.saturating_add(u32::try_from(units).unwrap_or(u32::MAX));
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| Status::from_error(error.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

//! One connection to a vendor. It has no task of its own: whoever uses it reads and writes
//! it, so an answer wakes who waits for it, and what is given up on is not written any more.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming},
    client::conn::{TrySendError, http1},
};

use super::connect::Stream;

/// A request as it is written.
pub(crate) type Written = Request<Full<Bytes>>;

/// A connection that is open, or was when it was last looked at.
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// What reads and writes. None once it is closed.
    wire: Option<Box<http1::Connection<Stream, Full<Bytes>>>>,
}

impl Connection {
    /// Prepares a stream for requests. Sends nothing.
    pub(crate) async fn over(stream: Stream) -> hyper::Result<Self> {
        let (sender, wire) = http1::handshake(stream).await?;
        Ok(Self { sender, wire: Some(Box::new(wire)) })
    }

    /// Sends a request, and gives the head of its answer. The error has the request back
    /// if the connection was found closed before a byte of it was written, and never
    /// otherwise.
    pub(crate) async fn send(
        &mut self,
        request: Written,
    ) -> Result<Response<Incoming>, TrySendError<Written>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let wire = &mut self.wire;
        poll_fn(|context| {
            drive(wire, context);
            answer.as_mut().poll(context)
        })
        .await
    }

    /// The next part of an answer's body.
    pub(crate) async fn frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<hyper::Result<Frame<Bytes>>> {
        poll_fn(|context| {
            // Asking tells the connection that it may read on.
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) {
                return Poll::Ready(frame);
            }
            drive(&mut self.wire, context);
            Pin::new(&mut *body).poll_frame(context)
        })
        .await
    }

    /// Whether another request may be sent: nobody has closed it, nothing is left to be
    /// written, and nothing came that nobody asked for.
    pub(crate) async fn is_free(&mut self) -> bool {
        poll_fn(|context| {
            drive(&mut self.wire, context);
            Poll::Ready(self.wire.is_some() && self.sender.is_ready())
        })
        .await
    }
}

/// Reads and writes what can be, without waiting.
fn drive(
    wire: &mut Option<Box<http1::Connection<Stream, Full<Bytes>>>>,
    context: &mut Context<'_>,
) {
    // How it ended is told to who waits for an answer; without one it tells nobody anything.
    if let Some(open) = wire
        && Pin::new(open).poll(context).is_ready()
    {
        *wire = None;
    }
}

//! Reads bodies within bounds of size and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

/// How much of a body that is not wanted is read all the same, in bytes: a connection that
/// is closed with something unread may take the answer with it.
const MAX_UNWANTED: usize = 2 * 1024 * 1024;

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoBody {
    /// Longer than the limit.
    TooLarge,
    /// Not there in time.
    TooSlow,
    /// The client left, or sent something that is no body.
    Broken,
}

/// The whole body, if it has at most so many bytes and is there in time.
pub(super) async fn read(
    mut body: Incoming,
    most: usize,
    patience: Duration,
) -> Result<Bytes, NoBody> {
    let whole = async {
        if body.size_hint().lower() > (most + MAX_UNWANTED) as u64 {
            return Err(NoBody::TooLarge);
        }
        let mut read = BytesMut::new();
        let mut unwanted = 0;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| NoBody::Broken)?.into_data() else { continue };
            if unwanted == 0 && read.len() + data.len() <= most {
                read.extend_from_slice(&data);
                continue;
            }
            unwanted += data.len();
            read = BytesMut::new();
            if unwanted > MAX_UNWANTED {
                break;
            }
        }
        if unwanted > 0 { Err(NoBody::TooLarge) } else { Ok(read.freeze()) }
    };
    timeout(patience, whole).await.unwrap_or(Err(NoBody::TooSlow))
}

//! Posts to a collector over HTTP/1.1, with one connection that is kept between exports.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::{
    Request, Response, Uri,
    header::{HOST, HeaderValue},
    http::response::Parts,
};
use opentelemetry_http::{HttpClient, HttpError, ResponseBodyTooLarge};
use tokio::{sync::Mutex, time::Instant};

use crate::http::wire::{Connection, Connector, Origin};

/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// A collector's HTTP side.
pub struct Post {
    connector: Connector,
    origin: Origin,
    timeout: Duration,
    /// Open, or it was when it was last used. Taken out while it is used.
    kept: Mutex<Option<Connection>>,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Post").finish_non_exhaustive()
    }
}

impl Post {
    pub(super) fn new(connector: Connector, origin: Origin, timeout: Duration) -> Self {
        Self { connector, origin, timeout, kept: Mutex::new(None) }
    }

    async fn exchange(
        &self,
        mut written: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, HttpError> {
        let kept = self.kept.lock().await.take();
        if let Some(mut connection) = kept {
            match connection.send(written).await {
                Ok(answer) => return self.read(connection, answer).await,
                Err(mut error) => match error.take_message() {
                    // Closed while it waited: none of it was sent.
                    Some(back) => written = back,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let deadline = Instant::now() + self.timeout;
        let connected = self.connector.connect(&self.origin, deadline).await;
        let mut connection =
            connected.map_err(|(_, source)| HttpError::from(source.to_string()))?;
        let answer = connection
            .send(written)
            .await
            .map_err(hyper::client::conn::TrySendError::into_error)?;
        self.read(connection, answer).await
    }

    async fn read(
        &self,
        mut connection: Connection,
        answer: Response<hyper::body::Incoming>,
    ) -> Result<Response<Bytes>, HttpError> {
        let (Parts { status, headers, .. }, mut body) = answer.into_parts();
        let mut text = BytesMut::new();
        while let Some(frame) = connection.frame(&mut body).await {
            let Ok(piece) = frame?.into_data() else { continue };
            if text.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(Box::new(ResponseBodyTooLarge::new()));
            }
            text.extend_from_slice(&piece);
        }
        if connection.is_free().await {
            *self.kept.lock().await = Some(connection);
        }
        let mut response = Response::new(text.freeze());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut head, body) = request.into_parts();
        let host = head.uri.authority().map(|authority| match authority.port() {
            Some(port) => format!("{}:{port}", authority.host()),
            None => authority.host().to_owned(),
        });
        head.headers.insert(HOST, HeaderValue::try_from(host.unwrap_or_default())?);
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        head.uri = Uri::try_from(target)?;
        let written = Request::from_parts(head, Full::new(body));
        tokio::time::timeout(self.timeout, self.exchange(written)).await?
    }
}

//! The end of a connection, such that the last answers on it arrive.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How long a client has to read what was written, and to hang up.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many bytes it may still say: more is no conversation that is ending, but a flood.
const MOST: usize = 256 * 1024;

/// A connection that is not closed before the client has hung up, or has had the time to. A
/// client says something while it reads (what it has room for, whether we are there): a system
/// that closes what has unread bytes in it, or gets some later, resets the connection, and the
/// client loses the answers it has not read yet.
#[derive(Debug)]
pub(super) struct Farewell<S> {
    stream: S,
    /// Set once nothing more is written.
    until: Option<Pin<Box<Sleep>>>,
    /// How much more is listened to then.
    left: usize,
}

impl<S> Farewell<S> {
    /// With nothing said yet.
    pub const fn new(stream: S) -> Self {
        Self { stream, until: None, left: MOST }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Farewell<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Farewell<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.until.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        let until = this.until.get_or_insert_with(|| Box::pin(sleep(PATIENCE)));
        let mut ignored = [0; 1024];
        while until.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut ignored);
            let read = ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer));
            let count = buffer.filled().len();
            this.left = this.left.saturating_sub(count);
            if read.is_err() || count == 0 || this.left == 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        net::{TcpListener, TcpStream},
        time::Instant,
    };

    use super::*;

    #[tokio::test]
    async fn whoever_talks_while_it_reads_gets_all_of_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let server = tokio::spawn(async move {
            let mut stream = Farewell::new(stream);
            stream.write_all(b"the last answer").await.unwrap();
            stream.shutdown().await.unwrap();
        });
        for _ in 0..10 {
            client.write_all(b"go on").await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"the last answer");
        client.write_all(b"and good-bye").await.unwrap();
        drop(client);
        server.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_without_end() {
        let (mut client, stream) = duplex(64);
        let since = Instant::now();
        Farewell::new(stream).shutdown().await.unwrap();
        assert_eq!(since.elapsed().as_secs(), PATIENCE.as_secs());
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}

//! Connections that wait for their next request.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use url::Url;

use super::connection::Connection;

/// How long a connection waits for its next request. Below the 5 s after which common
/// servers close theirs: a request that meets the closing is in doubt.
const IDLE: Duration = Duration::from_secs(4);

/// How long those that waited for too long may stay open while nobody needs one.
const SWEEP: Duration = Duration::from_secs(1);

/// How many wait at the most. The oldest goes for one more.
const MOST: usize = 1_024;

/// Who is at the other end.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) is_https: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// Of an address; none if it is not one of a server's, or neither http nor https.
    pub(crate) fn of(url: &Url) -> Option<Self> {
        let is_https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (host, port) = (url.host_str()?.to_owned(), url.port_or_known_default()?);
        Some(Self { is_https, host, port })
    }
}

struct Kept {
    origin: Origin,
    connection: Connection,
    since: Instant,
}

#[derive(Default)]
struct Shelf {
    /// The oldest first.
    kept: Vec<Kept>,
    /// Somebody comes to take away what is old.
    is_swept: bool,
}

/// Where connections wait. Clones share them; with the last one they are closed.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<Shelf>>);

impl Pool {
    /// The connection that came last, of those that have not waited for too long.
    pub(super) fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut shelf = lock(&self.0);
        let at = shelf.kept.iter().rposition(|kept| kept.origin == *origin)?;
        let kept = shelf.kept.remove(at);
        drop(shelf);
        // Those before it have waited for longer.
        (kept.since.elapsed() < IDLE).then_some(kept.connection)
    }

    /// Lets a connection wait.
    pub(super) fn keep(&self, origin: &Origin, connection: Connection) {
        let mut shelf = lock(&self.0);
        let surplus = (shelf.kept.len() >= MOST).then(|| shelf.kept.remove(0));
        shelf.kept.push(Kept { origin: origin.clone(), connection, since: Instant::now() });
        let is_swept = std::mem::replace(&mut shelf.is_swept, true);
        drop(shelf);
        drop(surplus);
        if !is_swept {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("kept", &lock(&self.0).kept.len()).finish()
    }
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what has waited for too long, until nothing waits.
async fn sweep(shelf: Weak<Mutex<Shelf>>) {
    loop {
        sleep_until(Instant::now() + SWEEP).await;
        let Some(shelf) = shelf.upgrade() else { return };
        let mut shelf = lock(&shelf);
        let old = shelf.kept.iter().take_while(|kept| kept.since.elapsed() >= IDLE).count();
        let old: Vec<_> = shelf.kept.drain(..old).collect();
        shelf.is_swept = !shelf.kept.is_empty();
        let is_done = !shelf.is_swept;
        drop(shelf);
        drop(old);
        if is_done {
            return;
        }
    }
}

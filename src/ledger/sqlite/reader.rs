//! Threads that read, each with a connection of its own. In a write-ahead log they
//! see the last commit and wait for nobody.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

/// Something to read.
pub type Read = Box<dyn FnOnce(&mut Connection) + Send>;

/// What a reader is asked for.
pub enum Message {
    /// To read.
    Read(Read),
    /// To finish what is queued and end, with all others.
    Close,
}

/// Starts a thread for each connection. They share one queue; each drops its `ended`
/// when it has closed its connection.
pub fn spawn(
    connections: Vec<Connection>,
    ended: &watch::Sender<()>,
) -> io::Result<mpsc::UnboundedSender<Message>> {
    let (sender, queue) = mpsc::unbounded_channel();
    let queue = Arc::new(Mutex::new(queue));
    for mut connection in connections {
        let (queue, ended) = (Arc::clone(&queue), ended.clone());
        thread::Builder::new().name("ledger-reader".to_owned()).spawn(move || {
            while let Some(read) = next(&queue) {
                read(&mut connection);
            }
            drop(connection);
            drop(ended);
        })?;
    }
    Ok(sender)
}

// One thread waits for the queue, the others for that one: the lock is given up
// before anything is read.
fn next(queue: &Mutex<mpsc::UnboundedReceiver<Message>>) -> Option<Read> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        match queue.blocking_recv()? {
            Message::Read(read) => return Some(read),
            Message::Close => queue.close(),
        }
    }
}

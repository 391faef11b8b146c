//! Log lines on their way to the standard error stream. A thread writes them, so that nobody who
//! logs waits for a terminal, a pipe or a disk; under load it writes many at once. What a
//! reader is too slow for is dropped, beyond a bound, and told.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// What may wait, in bytes: some thousand lines.
const MAX_WAITING: usize = 1 << 20;

/// Of the whole process, since its start.
static LOST: AtomicU64 = AtomicU64::new(0);

/// How many lines were lost since the process started.
pub fn lines_lost() -> u64 {
    LOST.load(Relaxed)
}

/// Where lines are put. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// All of it is written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines that there was no room for, since that was told.
    lost: u64,
    /// The thread has some in hand.
    is_writing: bool,
    /// It rests until somebody wakes it.
    rests: bool,
}

impl Lines {
    /// Starts the thread. Without one, lines are written as they come.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Self::default();
        let shared = Arc::clone(&lines.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_all(out))?;
        Ok(lines)
    }

    /// Waits until everything that was put in so far is written, for so long at most.
    pub fn flush(&self, longest: Duration) {
        let state = self.0.state();
        let left = |state: &mut State| !state.waiting.is_empty() || state.is_writing;
        drop(self.0.emptied.wait_timeout_while(state, longest, left));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, line: &[u8]) {
        let mut state = self.state();
        // One that is longer than all room there is goes if nothing else waits.
        if !state.waiting.is_empty() && state.waiting.len() + line.len() > MAX_WAITING {
            state.lost += 1;
            LOST.fetch_add(1, Relaxed);
            return;
        }
        state.waiting.extend_from_slice(line);
        let wakes = mem::take(&mut state.rests);
        drop(state);
        if wakes {
            self.filled.notify_one();
        }
    }

    fn write_all(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let mut state = self.state();
            state.is_writing = false;
            while state.waiting.is_empty() {
                self.emptied.notify_all();
                state.rests = true;
                state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            mem::swap(&mut lines, &mut state.waiting);
            let lost = mem::take(&mut state.lost);
            state.is_writing = true;
            drop(state);
            // A line that can't be written is lost: there is nobody to tell.
            let _ = out.write_all(&lines);
            if lost > 0 {
                let _ = writeln!(out, "{lost} log lines were lost: nobody read them in time");
            }
            let _ = out.flush();
            lines.clear();
            lines.shrink_to(64 * 1024);
        }
    }
}

/// A line at a time, as `fmt` writes them.
#[derive(Debug)]
pub struct Line<'a>(&'a Shared);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Says what it is given, and takes it once it may.
    struct Slow(Sender<Vec<u8>>, Receiver<()>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            let _ = self.1.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_waits_is_written_at_once_and_what_is_too_much_is_told() {
        let ((given, written), (go, may_go)) = (channel(), channel());
        let lines = Lines::start(Slow(given, may_go)).unwrap();
        let put = |line: &[u8]| lines.make_writer().write_all(line).unwrap();
        put(b"one\n");
        assert_eq!(written.recv().unwrap(), b"one\n");
        put(b"two\n");
        put(b"three\n");
        put(&vec![b'x'; MAX_WAITING]);
        go.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), b"two\nthree\n");
        drop(go);
        let mut told = Vec::new();
        while !told.ends_with(b"time\n") {
            told.extend(written.recv().unwrap());
        }
        assert!(told.starts_with(b"1 log lines were lost"));
        lines.flush(Duration::from_secs(10));
        assert!(lines.0.state().waiting.is_empty());
    }
}

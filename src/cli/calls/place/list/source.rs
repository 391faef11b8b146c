//! Where a list comes from, byte by byte. It is read twice: once for its mistakes, and once to be
//! sent.

use std::{
    collections::VecDeque,
    fs::{File, Metadata},
    io::{self, Cursor, Read, Seek, SeekFrom},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::Path,
    sync::Arc,
};

use crate::cli::client::Failed;

/// The most of what can be read only once, a pipe or a terminal, which is kept in memory.
const MAX_MEMORY_BYTES: u64 = 64 * 1024 * 1024;

/// A list that can be read from its beginning as often as it takes.
pub(super) struct Source {
    name: String,
    bytes: Bytes,
    /// Of the file that it is in, if it is in one.
    place: Option<(u64, u64)>,
}

enum Bytes {
    File(File),
    Memory(Arc<[u8]>),
}

impl Source {
    /// The file, or the standard input for "-".
    pub(super) fn open(path: &Path) -> Result<Self, Failed> {
        let (name, opened) = match path == Path::new("-") {
            true => {
                let standard = io::stdin().as_fd().try_clone_to_owned();
                ("standard input".to_owned(), standard.map(File::from))
            }
            false => (path.display().to_string(), File::open(path)),
        };
        let wrong = |error: io::Error| Failed::input(format!("{name}: {error}"));
        let mut file = opened.map_err(wrong)?;
        let about = file.metadata().map_err(wrong)?;
        let place = about.is_file().then(|| place(&about));
        // A standard input that is a file may have been read before up to somewhere.
        let bytes = match about.is_file() && path != Path::new("-") {
            true => Bytes::File(file),
            false => {
                let mut bytes = Vec::new();
                (&mut file).take(MAX_MEMORY_BYTES + 1).read_to_end(&mut bytes).map_err(wrong)?;
                if bytes.len() as u64 > MAX_MEMORY_BYTES {
                    let most = MAX_MEMORY_BYTES / 1024 / 1024;
                    return Err(Failed::input(format!(
                        "{name}: has more than {most} MiB, which is all that is kept of what can \
                         be read only once; put the list into a file"
                    )));
                }
                Bytes::Memory(bytes.into())
            }
        };
        Ok(Self { name, bytes, place })
    }

    /// From its beginning.
    pub(super) fn read(&self) -> io::Result<Box<dyn Read + Send>> {
        match &self.bytes {
            Bytes::File(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(0))?;
                Ok(Box::new(file))
            }
            Bytes::Memory(bytes) => Ok(Box::new(Cursor::new(Arc::clone(bytes)))),
        }
    }

    /// What it is called in errors.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether whoever writes to that file, by whatever name, would write over the list.
    pub(super) fn is_in(&self, file: &Metadata) -> bool {
        self.place == Some(place(file))
    }
}

fn place(about: &Metadata) -> (u64, u64) {
    (about.dev(), about.ino())
}

/// A list whose lines end in one character, for those of spreadsheets are counted wrongly
/// otherwise, and that knows where it is.
pub(super) struct Lines {
    source: Box<dyn Read + Send>,
    place: Place,
    /// Bytes that were given.
    given: u64,
    is_line_begun: bool,
    /// Where lines without anything begin, and how many: a reader of CSV passes over them, and
    /// has the next row begin at the first.
    empty: VecDeque<(u64, u64)>,
}

/// Where a reader of CSV is, as far as quotes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Where a quote begins a cell that is quoted.
    Start,
    Bare,
    Quoted,
    /// After a quote in one: the end of the cell, or half of a quote in it.
    Closing,
}

impl Place {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Start | Self::Closing, b'"') | (Self::Quoted, 0..=b'!' | b'#'..) => Self::Quoted,
            (Self::Quoted, b'"') => Self::Closing,
            (_, b',' | b'\n') => Self::Start,
            _ => Self::Bare,
        }
    }
}

impl Lines {
    pub(super) fn new(source: Box<dyn Read + Send>) -> Self {
        let empty = VecDeque::new();
        Self { source, place: Place::Start, given: 0, is_line_begun: false, empty }
    }

    /// How many lines without anything there are from this byte on, of all that was given.
    pub(super) fn empty_from(&mut self, byte: u64) -> u64 {
        while self.empty.pop_front_if(|(at, _)| *at < byte).is_some() {}
        self.empty.front().filter(|(at, _)| *at == byte).map_or(0, |(_, count)| *count)
    }

    fn note(&mut self, byte: u8) {
        if byte == b'\n' && !self.is_line_begun {
            match self.empty.back_mut() {
                Some((at, count)) if *at + *count == self.given => *count += 1,
                _ => self.empty.push_back((self.given, 1)),
            }
        }
        self.place = self.place.after(byte);
        self.is_line_begun = byte != b'\n' || self.place == Place::Quoted;
        self.given += 1;
    }

    /// Whether it was read up to the middle of a cell that is quoted: at the end of a list,
    /// whatever followed that quote is in one cell.
    pub(super) fn is_in_quotes(&self) -> bool {
        self.place == Place::Quoted
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.source.read(buffer)?;
            let kept: Vec<u8> = buffer.iter().take(read).copied().filter(|b| *b != b'\r').collect();
            if let (true, Some(place)) =
                (read == 0 || !kept.is_empty(), buffer.get_mut(..kept.len()))
            {
                place.copy_from_slice(&kept);
                kept.iter().for_each(|byte| self.note(*byte));
                return Ok(kept.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_that_is_not_closed_is_noticed() {
        let is_open = |text: &'static str| {
            let mut lines = Lines::new(Box::new(Cursor::new(text)));
            io::copy(&mut lines, &mut io::sink()).unwrap();
            lines.is_in_quotes()
        };
        for closed in
            ["a,b\n", "\"a\"", "\"a\"\"b\"\n", "5\" pipe,x", "\"\"", "\"a\r\nb\"\r\n", "x\"y"]
        {
            assert!(!is_open(closed), "{closed}");
        }
        for open in ["\"a", "x,\"a\n", "\"a\"\"\n", "a\r\n\"b\r\n", "\"\"\""] {
            assert!(is_open(open), "{open}");
        }
    }
}

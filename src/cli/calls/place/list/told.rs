//! The file that tells what became of each row.

use std::{
    fs::{File, Metadata, OpenOptions, TryLockError},
    io::{self, Seek},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::Path,
};

use tonic_types::RpcStatusExt;

use super::{Failed, Row, Source};
use crate::{
    cli::{calls::short, client::FAILED},
    proto::Call,
};

/// The columns of the file.
const COLUMNS: [&str; 10] = [
    "line",
    "reference",
    "to",
    "call_id",
    "vendor",
    "state",
    "code",
    "reason",
    "dialed",
    "message",
];

/// A file for what became of each row. What an earlier run wrote stays until there is something
/// to write.
pub(super) struct Told {
    file: File,
    /// What is no file of its own (a pipe, a device, wherever the standard output goes) is
    /// written from where it is, once.
    is_stream: bool,
    is_output: bool,
    writer: Option<csv::Writer<File>>,
}

impl Told {
    /// # Errors
    /// When it can't be written, is the list itself, or is written by another run.
    pub(super) fn open(path: &Path, list: &Source) -> Result<Self, Failed> {
        let name = path.display();
        let wrong = |why: &dyn std::fmt::Display| Failed::input(format!("--out {name}: {why}"));
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| wrong(&error))?;
        let about = file.metadata().map_err(|error| wrong(&error))?;
        if list.is_in(&about) {
            return Err(wrong(&"is the list itself; name another file"));
        }
        // What was opened anew would begin at its start, over what is there.
        let output = same(io::stdout().as_fd(), &about).map_err(|error| wrong(&error))?;
        let is_output = output.is_some();
        let errors = same(io::stderr().as_fd(), &about).map_err(|error| wrong(&error))?;
        if let Some(file) = output.or(errors) {
            return Ok(Self { file, is_stream: true, is_output, writer: None });
        }
        let is_stream = !about.is_file();
        // Until the end of the process. A system without locks has the operator take care.
        if let (false, Err(TryLockError::WouldBlock)) = (is_stream, file.try_lock()) {
            return Err(wrong(&"another run writes to it; wait for its end, or name another file"));
        }
        Ok(Self { file, is_stream, is_output, writer: None })
    }

    /// Whether nothing that was written can be taken back.
    pub(super) fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Whether it goes where the standard output goes.
    pub(super) fn is_output(&self) -> bool {
        self.is_output
    }

    /// What comes next is from the first row on, in place of what was written before.
    pub(super) fn anew(&mut self) {
        self.writer = None;
    }

    /// The rows of a batch, as a whole.
    pub(super) fn rows<'a>(
        &mut self,
        rows: impl Iterator<Item = (&'a Row, &'a Call)>,
    ) -> Result<(), Failed> {
        self.write(rows).map_err(|error| Failed::new(format!("--out: {error}"), FAILED))
    }

    fn write<'a>(
        &mut self,
        mut rows: impl Iterator<Item = (&'a Row, &'a Call)>,
    ) -> Result<(), csv::Error> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(begin(&mut self.file, self.is_stream)?),
        };
        rows.try_for_each(|(row, call)| writer.write_record(cells(row, call)))?;
        Ok(writer.flush()?)
    }
}

/// The stream, if it is of that file, or pipe, or device.
fn same(stream: BorrowedFd<'_>, about: &Metadata) -> io::Result<Option<File>> {
    let stream = File::from(stream.try_clone_to_owned()?);
    let other = stream.metadata()?;
    Ok(((other.dev(), other.ino()) == (about.dev(), about.ino())).then_some(stream))
}

fn begin(file: &mut File, is_stream: bool) -> Result<csv::Writer<File>, csv::Error> {
    if !is_stream {
        file.rewind()?;
        file.set_len(0)?;
    }
    let mut writer = csv::Writer::from_writer(file.try_clone()?);
    writer.write_record(COLUMNS)?;
    Ok(writer)
}

fn cells(row: &Row, call: &Call) -> [String; 10] {
    let error = call.error.clone().unwrap_or_default();
    let (reason, dialed) = match error.get_details_error_info() {
        Some(info) => (info.reason, info.metadata.get("dialed").cloned().unwrap_or_default()),
        None => Default::default(),
    };
    let code = match error.code {
        0 => String::new(),
        code => code.to_string(),
    };
    [
        row.line.to_string(),
        row.call.client_reference.clone(),
        row.call.to.join(";"),
        call.call_id.clone(),
        call.vendor.clone(),
        short(call.state()).to_owned(),
        code,
        reason,
        dialed,
        error.message,
    ]
}

//! The rows of a list, as many at a time as go into a request.

use prost::Message;

use super::sheet::{Row, Sheet};
use crate::api;

/// Rows that go into one request.
pub(super) struct Batch {
    pub rows: Vec<Row>,
    /// Of all that the list said up to here.
    pub mark: [u8; 32],
}

/// Cuts a list, at the same rows in every run: after so many, or sooner where the gateway might
/// refuse a request of more of them for the size of its answer. That would be when the ones
/// before are placed, and can't be cut otherwise any more.
pub(super) struct Batches {
    sheet: std::iter::Peekable<Measured>,
    size: usize,
}

/// Rows with the size of what is sent of them, and what the list said up to them.
struct Measured(Sheet);

impl Iterator for Measured {
    type Item = (Row, usize, [u8; 32]);

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.0.next()?;
        let bytes = row.call.encoded_len();
        Some((row, bytes, self.0.digest()))
    }
}

impl Batches {
    pub(super) fn new(sheet: Sheet, size: usize) -> Self {
        Self { sheet: Measured(sheet).peekable(), size }
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let (first, mut bytes, mut mark) = self.sheet.next()?;
        let mut rows = vec![first];
        let size = self.size;
        while let Some((row, more, after)) = self.sheet.next_if(|(_, more, _)| {
            rows.len() < size && api::fits_for_certain(rows.len() + 1, bytes + more)
        }) {
            rows.push(row);
            bytes += more;
            mark = after;
        }
        Some(Batch { rows, mark })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::proto::CallSpec;

    fn sizes(rows: usize, label: usize, size: usize) -> Vec<usize> {
        let row = format!("+919900000001,{}\n", "x".repeat(label));
        let text = format!("to,label.a\n{}", row.repeat(rows));
        let sheet = Sheet::new(Box::new(Cursor::new(text)), CallSpec::default()).unwrap();
        Batches::new(sheet, size).map(|batch| batch.rows.len()).collect()
    }

    #[test]
    fn requests_have_so_many_calls_or_what_an_answer_holds() {
        assert_eq!(sizes(0, 1, 2), [] as [usize; 0]);
        assert_eq!(sizes(5, 1, 2), [2, 2, 1]);
        let few = sizes(5_000, 250, 5_000);
        assert!(few.len() == 2 && (3_000..4_000).contains(&few[0]), "{few:?}");
    }
}

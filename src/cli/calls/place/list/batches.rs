//! The rows of a list, as many at a time as go into a request.

use super::sheet::{Row, Sheet};

/// Rows that go into one request.
pub(super) struct Batch {
    pub rows: Vec<Row>,
    /// Of all that the list said up to here.
    pub mark: [u8; 32],
}

/// Cuts a list.
pub(super) struct Batches {
    sheet: Sheet,
    size: usize,
}

impl Batches {
    pub(super) fn new(sheet: Sheet, size: usize) -> Self {
        Self { sheet, size }
    }
}

impl Iterator for Batches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let rows: Vec<_> = self.sheet.by_ref().take(self.size).collect();
        (!rows.is_empty()).then(|| Batch { rows, mark: self.sheet.digest() })
    }
}

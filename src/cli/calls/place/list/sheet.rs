//! A list of calls as a CSV file, row by row: no more of it is in memory than a batch.

use std::io::Read;

use aws_lc_rs::digest::{Context, SHA256};

use super::{super::given::time, source::Lines};
use crate::proto::{CallSpec, call_spec::Script};

/// Between several numbers in a cell.
const BETWEEN: char = ';';
/// The most of a name in the first line that is told: the whole list may be there.
const MAX_SHOWN: usize = 40;

/// What a column is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    To,
    Reference,
    CallerId,
    Flow,
    Audio,
    Variable(String),
    Label(String),
    At,
    Expire,
    Locale,
    Name,
    Email,
}

impl Column {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "to" => Self::To,
            "reference" => Self::Reference,
            "caller_id" => Self::CallerId,
            "flow" => Self::Flow,
            "audio" => Self::Audio,
            "at" => Self::At,
            "expire" => Self::Expire,
            "locale" => Self::Locale,
            "name" => Self::Name,
            "email" => Self::Email,
            other => match other.split_once('.')? {
                ("var", name) if !name.is_empty() => Self::Variable(name.to_owned()),
                ("label", name) if !name.is_empty() => Self::Label(name.to_owned()),
                _ => return None,
            },
        })
    }
}

/// A row: what it asks for, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Row {
    pub line: u64,
    pub call: CallSpec,
    pub wrong: Vec<String>,
}

/// A list that is being read.
pub(super) struct Sheet {
    rows: csv::StringRecordsIntoIter<Lines>,
    columns: Vec<Column>,
    template: CallSpec,
    /// Of the cells, in their order.
    digest: Context,
    /// The line at which the last row began.
    last: u64,
    is_over: bool,
}

impl Sheet {
    /// # Errors
    /// What is wrong with its first line.
    pub(super) fn new(
        source: Box<dyn Read + Send>,
        template: CallSpec,
    ) -> Result<Self, Vec<String>> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(Lines::new(source));
        let headers = reader.headers().map_err(|error| vec![said(&error)])?.clone();
        let mut wrong = Vec::new();
        let mut columns = Vec::new();
        for name in &headers {
            // What spreadsheets begin a file with.
            let name = name.trim_start_matches('\u{feff}');
            match Column::of(name) {
                Some(column) if columns.contains(&column) => {
                    wrong.push(format!("line 1: the column {name:?} is there twice"));
                }
                Some(column) => columns.push(column),
                None => wrong.push(format!("line 1: {}", no_column(name))),
            }
        }
        if !columns.contains(&Column::To) {
            wrong.push("line 1: the column \"to\" is missing".to_owned());
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let mut digest = Context::new(&SHA256);
        add(&mut digest, &headers);
        let rows = reader.into_records();
        Ok(Self { rows, columns, template, digest, last: 1, is_over: false })
    }

    /// Of all cells that were read so far.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.digest.clone().finish().as_ref());
        digest
    }

    fn row(&self, line: u64, cells: &csv::StringRecord) -> Row {
        let mut call = self.template.clone();
        let mut wrong = Vec::new();
        let mut scripts = 0;
        for (column, cell) in self.columns.iter().zip(cells) {
            // An empty cell is as if the column were not there.
            if cell.is_empty() && !matches!(column, Column::Variable(_)) {
                continue;
            }
            let text = cell.to_owned();
            let recipient = || self.template.recipient.clone().unwrap_or_default();
            match column {
                Column::To => {
                    let numbers = cell.split(BETWEEN).map(str::trim).filter(|to| !to.is_empty());
                    call.to = numbers.map(str::to_owned).collect();
                }
                Column::Reference => call.client_reference = text,
                Column::CallerId => call.caller_id = text,
                Column::Flow | Column::Audio => {
                    scripts += 1;
                    call.script = Some(match column {
                        Column::Flow => Script::Flow(text),
                        _ => Script::Audio(text),
                    });
                }
                Column::Variable(name) => drop(call.variables.insert(name.clone(), text)),
                Column::Label(name) => drop(call.labels.insert(name.clone(), text)),
                Column::At | Column::Expire => match (time(cell), column) {
                    (Ok(time), Column::At) => call.start_time = Some(time),
                    (Ok(time), _) => call.expire_time = Some(time),
                    (Err(error), Column::At) => wrong.push(format!("at: {error}")),
                    (Err(error), _) => wrong.push(format!("expire: {error}")),
                },
                Column::Locale => call.locale = text,
                Column::Name => call.recipient.get_or_insert_with(recipient).name = text,
                Column::Email => call.recipient.get_or_insert_with(recipient).email = text,
            }
        }
        if scripts > 1 {
            wrong.push("flow and audio: expected one of them".to_owned());
        }
        Row { line, call, wrong }
    }
}

impl Iterator for Sheet {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let wrong = |line, wrong| Some(Row { line, call: CallSpec::default(), wrong: vec![wrong] });
        let begins = self.rows.reader().position().clone();
        let cells = self.rows.next();
        // What the rest of the list says is in one cell, and nobody of it would be called.
        if cells.is_none() && !self.is_over && self.rows.reader().get_ref().is_in_quotes() {
            self.is_over = true;
            return wrong(self.last, "has a quote (\") that is not closed".to_owned());
        }
        let cells = cells?;
        self.last = begins.line() + self.rows.reader_mut().get_mut().empty_from(begins.byte());
        match cells {
            Ok(cells) => {
                add(&mut self.digest, &cells);
                Some(self.row(self.last, &cells))
            }
            Err(error) => wrong(self.last, said(&error)),
        }
    }
}

fn no_column(name: &str) -> String {
    let known = "there are to, reference, caller_id, flow, audio, var.NAME, label.NAME, at, expire, \
                 locale, name and email";
    let shown: String = name.chars().take(MAX_SHOWN).collect();
    let more = if shown.len() < name.len() { "..." } else { "" };
    let why = match name {
        "" => "a column has no name",
        _ if name.contains([';', '\t', '|']) => {
            "columns are separated by commas here: save it as CSV with commas"
        }
        _ if name.starts_with(['+', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) => {
            "the first line is for the names of the columns"
        }
        _ => "",
    };
    match why {
        "" => format!("no column is called {shown:?}{more}; {known}"),
        why => format!("no column is called {shown:?}{more}; {why}; {known}"),
    }
}

/// With lengths, so that nothing runs into its neighbour.
fn add(digest: &mut Context, cells: &csv::StringRecord) {
    digest.update(&cells.len().to_le_bytes());
    for cell in cells {
        digest.update(&cell.len().to_le_bytes());
        digest.update(cell.as_bytes());
    }
}

/// Without the cells, and without the place, which is said already.
fn said(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "is not in UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} cells; expected {expected_len}, as in the first line")
        }
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => "can't be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn sheet(text: &str) -> Result<Sheet, Vec<String>> {
        Sheet::new(Box::new(Cursor::new(text.as_bytes().to_vec())), CallSpec::default())
    }

    #[test]
    fn a_row_is_a_call() {
        let text = "\u{feff}to,reference,var.city,label.l,at,name,flow\r\n\
                    +919900000001; +919900000002,r,\"Bur, \"\"sa\"\"\nx\",,2030-01-01T00:00:00Z,N,f\r\n\
                    +919900000003,,,,,,\n";
        let rows: Vec<_> = sheet(text).unwrap().collect();
        assert!(rows.iter().all(|row| row.wrong.is_empty()), "{rows:?}");
        let (first, second) = (&rows[0], &rows[1]);
        assert_eq!((first.line, second.line), (2, 4));
        assert_eq!(first.call.to, ["+919900000001", "+919900000002"]);
        assert_eq!(first.call.variables["city"], "Bur, \"sa\"\nx");
        assert!(first.call.labels.is_empty() && first.call.start_time.is_some());
        assert_eq!(first.call.recipient.as_ref().unwrap().name, "N");
        assert!(second.call.recipient.is_none() && second.call.script.is_none());
    }

    #[test]
    fn mistakes_have_their_line() {
        let wrong = sheet("to,to,x\n").err().unwrap();
        assert!(wrong.len() == 2 && wrong[1].contains("no column is called \"x\""), "{wrong:?}");
        assert!(sheet("reference\n").err().unwrap()[0].contains("\"to\" is missing"));
        let rows: Vec<_> =
            sheet("to,at,flow,audio\n+1,tomorrow,f,a\n+1\n+1,,,\n").unwrap().collect();
        assert_eq!(rows.iter().map(|row| row.wrong.len()).collect::<Vec<_>>(), [2, 1, 0]);
        assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3, 4]);
        assert!(rows[1].wrong[0].contains("has 1 cells; expected 4"));
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        let text = "\n\nto,name\r\n\r\n\n+1,\"a\nb\"\n\n+1\n\n\n+2,c";
        let rows: Vec<_> = sheet(text).unwrap().collect();
        let lines: Vec<_> = rows.iter().map(|row| (row.line, row.wrong.len())).collect();
        assert_eq!(lines, [(6, 0), (9, 1), (12, 0)]);
    }

    #[test]
    fn rows_that_a_quote_swallowed_are_missed() {
        let rows: Vec<_> = sheet("to,name\n+1,a\n+2,\"Ann\n+3,Bob\n+4,Cem\n").unwrap().collect();
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[2].line, rows[2].wrong[0].contains("not closed")), (3, true));
    }

    #[test]
    fn a_first_line_that_is_none_is_explained() {
        for (text, said) in [
            ("to;reference\n", "separated by commas"),
            ("to\treference\n", "separated by commas"),
            ("+919900000001,x\n", "the first line is for"),
            ("to,\n", "a column has no name"),
        ] {
            let wrong = sheet(text).err().unwrap().join("\n");
            assert!(wrong.contains(said), "{text}: {wrong}");
        }
        assert!(sheet(&"x".repeat(9_999)).err().unwrap()[0].len() < 200);
    }

    #[test]
    fn the_digest_is_of_what_the_cells_say() {
        let digest = |text: &str| {
            let mut sheet = sheet(text).unwrap();
            sheet.by_ref().for_each(drop);
            sheet.digest()
        };
        assert_eq!(digest("to,name\n+1,a\n"), digest("to,name\r\n\"+1\", a"));
        assert_ne!(digest("to,name\n+1,a\n"), digest("to,name\n+1,b\n"));
        assert_ne!(digest("to,name\n1,23\n"), digest("to,name\n12,3\n"));
    }
}

//! Why there is no answer, by what is known of the vendor's side. Nothing else decides
//! whether a call may be placed again.

use std::{error::Error, fmt};

/// An exchange without a readable answer. Prints what went wrong, without the address
/// asked for and without anything that was sent.
#[derive(Debug)]
pub enum Failure {
    /// Nothing of the request reached the vendor: it may be sent again, or elsewhere.
    NotSent {
        /// Before what it ended.
        kind: NotSent,
        /// What was seen.
        source: Source,
    },
    /// The vendor may have the request, and may have acted on it.
    InDoubt {
        /// How it ended.
        kind: InDoubt,
        /// The status of the answer, if it came as far as that.
        status: Option<u16>,
        /// What was seen.
        source: Source,
    },
}

/// What a request did not get past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotSent {
    /// The request can't be written: a header's value holds a line end, say.
    Request,
    /// The host's name has no address.
    Name,
    /// No TCP connection.
    Connect,
    /// No TLS session: no TLS there, or a certificate that is not trusted.
    Tls,
    /// No connection within the time for connecting.
    Timeout,
}

impl NotSent {
    /// For machines, in UPPER_SNAKE_CASE.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Request => "REQUEST_NOT_WRITABLE",
            Self::Name => "NAME_NOT_RESOLVED",
            Self::Connect => "NOT_CONNECTED",
            Self::Tls => "TLS_FAILED",
            Self::Timeout => "CONNECT_TIMEOUT",
        }
    }
}

/// How an exchange ended of which the vendor may have read everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InDoubt {
    /// No whole answer within the time for an exchange.
    Timeout,
    /// The connection ended before an answer, or what came back is not HTTP.
    NoAnswer,
    /// The connection ended within the answer.
    AnswerCut,
    /// The answer is longer than any vendor's should be.
    AnswerTooLarge,
}

impl InDoubt {
    /// For machines, in UPPER_SNAKE_CASE.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Timeout => "ANSWER_TIMEOUT",
            Self::NoAnswer => "NO_ANSWER",
            Self::AnswerCut => "ANSWER_CUT",
            Self::AnswerTooLarge => "ANSWER_TOO_LARGE",
        }
    }
}

impl Failure {
    /// Nothing reached the vendor, with what was seen. For simulations of a line.
    pub fn not_sent(kind: NotSent, seen: impl Into<String>) -> Self {
        Self::NotSent { kind, source: Source::new(seen) }
    }

    /// The vendor may have it, with what was seen. For simulations of a line.
    pub fn in_doubt(kind: InDoubt, seen: impl Into<String>) -> Self {
        Self::InDoubt { kind, status: None, source: Source::new(seen) }
    }

    /// For machines, in UPPER_SNAKE_CASE.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotSent { kind, .. } => kind.reason(),
            Self::InDoubt { kind, .. } => kind.reason(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, source) = match self {
            Self::NotSent { kind, source } => {
                let what = match kind {
                    NotSent::Request => "the request can't be written",
                    NotSent::Name => "the host's name has no address",
                    NotSent::Connect => "no connection",
                    NotSent::Tls => "no TLS session",
                    NotSent::Timeout => "no connection in time",
                };
                (what, source)
            }
            Self::InDoubt { kind, source, .. } => {
                let what = match kind {
                    InDoubt::Timeout => "no whole answer in time",
                    InDoubt::NoAnswer => "no answer that can be read",
                    InDoubt::AnswerCut => "the answer was cut",
                    InDoubt::AnswerTooLarge => "the answer is too large",
                };
                (what, source)
            }
        };
        write!(f, "{what}: {source}")
    }
}

impl Error for Failure {}

/// What was seen: the texts of an error and its causes. The errors themselves are not
/// kept, for they hold addresses, whose queries may hold credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source(String);

impl Source {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut texts: Vec<String> = Vec::new();
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
            cause = error.source();
        }
        Self(texts.join(": "))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

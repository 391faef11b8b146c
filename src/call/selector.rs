//! Which calls are meant.

use super::{CallId, ClientReference, RequestId};

/// The most ids or references one selection may name.
pub const MAX_SELECTED: usize = 1_000;

/// Which calls are meant. Ids and references are distinct and at most
/// [`MAX_SELECTED`]; their order is the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// By the gateway's ids.
    Calls(Vec<CallId>),
    /// All calls of a request, in its order.
    Request(RequestId),
    /// By the caller's references; calls that share one come in the order of their
    /// ids.
    References(Vec<ClientReference>),
}

/// Which calls are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Those named.
    Named(Selector),
    /// All of a route.
    Route(String),
    /// All.
    All,
}

/// A place in the answer to a selector: right after a call, or right after an id or
/// reference without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// How many entries of the selection are dealt with: ids, calls of the request
    /// or references.
    pub entries: u32,
    /// The last call given of the entry after those, when an entry has several.
    pub within: Option<CallId>,
}

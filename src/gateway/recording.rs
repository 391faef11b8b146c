//! Which requests are being recorded at this moment: until one is on disk, the ledger
//! can't tell that another one repeats it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::call::RequestId;

/// The requests that are being recorded.
#[derive(Debug, Clone, Default)]
pub(super) struct BeingRecorded(Arc<Mutex<HashSet<RequestId>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Recording {
    all: BeingRecorded,
    id: RequestId,
}

impl BeingRecorded {
    /// Begins with a request. None when one with the same id is under way.
    pub(super) fn begin(&self, id: RequestId) -> Option<Recording> {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.insert(id.clone()).then(|| Recording { all: self.clone(), id })
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut set = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        set.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_under_way_until_it_is_dropped() {
        let all = BeingRecorded::default();
        let first = all.begin("one".parse().unwrap());
        assert!(first.is_some() && all.begin("one".parse().unwrap()).is_none());
        assert!(all.begin("two".parse().unwrap()).is_some());
        drop(first);
        assert!(all.begin("one".parse().unwrap()).is_some());
    }
}

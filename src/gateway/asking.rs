//! Who is being asked about what: nobody is asked twice at the same time.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use crate::call::CallId;

/// The calls a vendor is being asked about at this moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Asking(Arc<Mutex<HashSet<CallId>>>);

/// Some of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Asked {
    asking: Asking,
    ids: HashSet<CallId>,
}

impl Asking {
    /// Takes those of the calls that nobody asks about yet.
    pub(super) fn begin(&self, ids: impl Iterator<Item = CallId>) -> Asked {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = ids.filter(|id| set.insert(*id)).collect();
        Asked { asking: self.clone(), ids }
    }

    /// Somebody asks about it.
    pub(super) fn contains(&self, id: CallId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }
}

impl Asked {
    /// Which ones.
    pub(super) fn contains(&self, id: CallId) -> bool {
        self.ids.contains(&id)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut set = self.asking.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &self.ids {
            set.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_asked_about_once_at_a_time() {
        let asking = Asking::default();
        let [one, two] = [CallId::generate(), CallId::generate()];
        let first = asking.begin([one].into_iter());
        let second = asking.begin([one, two].into_iter());
        assert!(first.contains(one) && !second.contains(one) && second.contains(two));
        drop(first);
        assert!(asking.begin([one, two].into_iter()).contains(one));
        drop(second);
    }
}

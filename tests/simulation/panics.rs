//! Panics of this thread, wherever they are caught.

use std::{cell::RefCell, panic, sync::Once};

thread_local! {
    static SEEN: RefCell<Option<String>> = const { RefCell::new(None) };
    static WATCHED: RefCell<bool> = const { RefCell::new(false) };
}

/// From now on panics of this thread are kept and not printed.
pub fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if WATCHED.with(|watched| *watched.borrow()) {
                SEEN.with(|seen| seen.borrow_mut().get_or_insert_with(|| info.to_string()).len());
            } else {
                before(info);
            }
        }));
    });
    WATCHED.with(|watched| *watched.borrow_mut() = true);
}

pub fn any() -> bool {
    SEEN.with(|seen| seen.borrow().is_some())
}

/// Panics of this thread are printed again. Gives the first one that was not.
pub fn unwatch() -> Option<String> {
    WATCHED.with(|watched| *watched.borrow_mut() = false);
    SEEN.with(|seen| seen.borrow_mut().take())
}

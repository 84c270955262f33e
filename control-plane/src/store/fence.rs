//! A fence around redb: it asserts in places what it reads from the file, and a flipped bit there is no fault of the program.
//!
//! redb checks much and returns errors, but not everywhere: some bytes lead it to an assertion or to an index out of bounds. Catching
//! that is sound because nothing of redb is used afterwards but dropped: the database whose use panicked is given up, and what it left
//! on disk is checked anew, record by record, when it is opened again. It is confined to redb: work of our own that panics does
//! so as everywhere.
//!
//! The hook of the process is wrapped once, so that a panic within the fence, and none other, is told as an error and not as a trace.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Within the fence: what the last panic said.
    static FENCED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `work`, and gives what it said if it panicked.
pub(super) fn fenced<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let outside = take_hook();
        set_hook(Box::new(move |panic| {
            let is_fenced = FENCED.with_borrow_mut(|said| {
                said.as_mut().map(|said| *said = panic.payload_as_str().unwrap_or("it did not say why").to_owned())
            });
            if is_fenced.is_none() {
                outside(panic);
            }
        }));
    });
    // A fence within another leaves that one up.
    let around = FENCED.replace(Some(String::new()));
    let done = catch_unwind(AssertUnwindSafe(work));
    let said = FENCED.replace(around);
    done.map_err(|_panic| said.unwrap_or_default())
}

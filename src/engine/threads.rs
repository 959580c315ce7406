//! Threads whose end is the end of the process.
//!
//! A panic in one of the engine's own threads is fatal: a scheduler without its writer only looks
//! alive. The supervisor starts it again from what is stored, and nothing is lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Ends the process with this reason. Tests hand in one that only notes it.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Starts a thread of the engine.
pub fn spawn(
    name: &str,
    fatal: &Fatal,
    body: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let (thread, fatal) = (name.to_owned(), Arc::clone(fatal));
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => fatal(&format!("the thread {thread} failed to {reason}")),
            Err(panic) => fatal(&format!("the thread {thread} panicked: {}", text_of(&*panic))),
        }
    })
}

/// What a panic said.
pub fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn a_panic_and_an_error_are_fatal_and_a_good_end_is_not() {
        let noted = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&noted);
        let fatal: Fatal = Arc::new(move |why| sink.lock().unwrap().push(why.to_owned()));
        let run = |body: fn() -> Result<(), String>| {
            spawn("t", &fatal, body).unwrap().join().unwrap();
        };
        run(|| Ok(()));
        run(|| Err("hold on".into()));
        run(|| panic!("ouch {}", 1));
        let expected = ["the thread t failed to hold on", "the thread t panicked: ouch 1"];
        assert_eq!(*noted.lock().unwrap(), expected);
    }
}

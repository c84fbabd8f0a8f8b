//! What a library does with its author's code, called as a host calls it but linked statically.

mod hook;
#[expect(
    unreachable_pub,
    reason = "the macro's items are public, as they must be in a library of routers"
)]
mod library;
mod logging;
mod panics;
mod pending;

use std::sync::{Mutex, PoisonError};

/// What the process's own logger was told: records of code that knows no instance.
static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Recorder;

impl log::Log for Recorder {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        records.push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

/// Records what goes to the `log` crate, of all tests of this process; a test looks for its own text in it.
fn recorded() -> Vec<String> {
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn start_recording() {
    static STARTED: std::sync::Once = std::sync::Once::new();
    STARTED.call_once(|| {
        log::set_logger(&Recorder).expect("no other test sets a logger");
        log::set_max_level(log::LevelFilter::Trace);
    });
}

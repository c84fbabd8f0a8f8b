//! What the host logs while a check runs: all of it goes to standard error, which the parent keeps the end of, and the
//! panics that no answer tells of are noted.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// How many panics are kept.
const MAX_PANICS: usize = 16;

/// The panics that were logged.
#[derive(Debug, Clone, Default)]
pub(super) struct Records(Arc<Mutex<Vec<String>>>);

impl Records {
    /// Starts logging; once a process.
    pub(super) fn start() -> Self {
        let records = Self::default();
        let to_stderr = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(std::io::stderr)
            .with_filter(LevelFilter::INFO);
        // That it is started already is fine: then the records are kept by whoever did.
        let _ = tracing_subscriber::registry()
            .with(to_stderr)
            .with(records.clone().with_filter(LevelFilter::WARN))
            .try_init();
        records
    }

    /// The panics since the last time.
    pub(super) fn take_panics(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl<S: Subscriber> Layer<S> for Records {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        // As the guards and the panic hook of the contract word it.
        let is_panic =
            message.0.starts_with("panicked in ") || message.0.starts_with("the module's own thread ");
        if is_panic {
            let mut panics = self.0.lock();
            if panics.len() < MAX_PANICS {
                panics.push(message.0);
            }
        }
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

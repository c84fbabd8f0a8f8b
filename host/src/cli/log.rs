//! Where logs go: to stderr, as `log:` in the config says.

use std::io::IsTerminal;
use std::panic::{self, PanicHookInfo};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};
use crate::problems::Problems;

/// Starts logging. Once a process.
pub(super) fn start(log: &Log) -> Result<(), Problems> {
    let filter =
        EnvFilter::try_new(&log.level).map_err(|error| Problems::other(format!("log.level: {error}")))?;
    let colours = if std::io::stderr().is_terminal() {
        Colours::Some
    } else {
        Colours::None
    };
    subscriber(log.format, filter, colours, std::io::stderr)
        .try_init()
        .map_err(|error| Problems::other(format!("logging cannot be started: {error}")))?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Whether lines for people are coloured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Colours {
    Some,
    None,
}

/// As JSON, an event is one line: an object with `timestamp`, `level`, `target`, `message` and the event's own
/// fields beside them.
fn subscriber<W>(
    format: LogFormat,
    filter: EnvFilter,
    colours: Colours,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer);
    match format {
        LogFormat::Text => Box::new(builder.with_ansi(colours == Colours::Some).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

/// A panic of the host is an event like any other, so that with JSON each line stays an object. What it means is said by
/// whoever catches it.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    tracing::error!(
        panic = panic.payload_as_str().unwrap_or("no message"),
        location = panic.location().map(tracing::field::display),
        thread = thread.name(),
        "a thread panicked"
    );
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Arc;

    use insta::assert_snapshot;
    use parking_lot::Mutex;
    use serde_json::Value;
    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, events: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = subscriber(format, EnvFilter::new("info"), Colours::None, move || {
            writer.clone()
        });
        with_default(subscriber, events);
        let bytes = written.0.lock().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_is_an_object_a_line_whatever_is_in_it() {
        let text = logged(LogFormat::Json, || {
            tracing::info!("plain");
            tracing::debug!("not asked for");
            let error = io::Error::other("a \"quoted\"\nsecond line");
            tracing::warn!(
                target: "module",
                module = "broadcast",
                method = "new",
                calls = 3_u64,
                took = 1.5,
                ok = false,
                "failed: {error}"
            );
            tracing::info_span!("request", id = 7).in_scope(|| tracing::error!(error = %error, "in a span"));
        });
        let lines: Vec<_> = text
            .lines()
            .map(|line| {
                let mut event: Value = serde_json::from_str(line).unwrap();
                let time = event["timestamp"].take();
                // RFC 3339 in UTC: the year first, a `Z` last.
                assert!(
                    time.as_str()
                        .is_some_and(|time| time.starts_with("20") && time.ends_with('Z')),
                    "{time}"
                );
                event.to_string()
            })
            .collect();
        assert_snapshot!(lines.join("\n"), @r#"
        {"level":"INFO","message":"plain","target":"presence_router::cli::log::tests","timestamp":null}
        {"calls":3,"level":"WARN","message":"failed: a \"quoted\"\nsecond line","method":"new","module":"broadcast","ok":false,"target":"module","timestamp":null,"took":1.5}
        {"error":"a \"quoted\"\nsecond line","level":"ERROR","message":"in a span","span":{"id":7,"name":"request"},"spans":[{"id":7,"name":"request"}],"target":"presence_router::cli::log::tests","timestamp":null}
        "#);
    }

    #[test]
    fn text_is_without_colours_where_nobody_looks() {
        let text = logged(LogFormat::Text, || tracing::info!(module = "broadcast", "loaded"));
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(
            text.contains("INFO") && text.contains("loaded module=\"broadcast\""),
            "{text:?}"
        );
    }
}

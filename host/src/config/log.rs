//! `log`: what is logged, and in which form.

use tracing_subscriber::EnvFilter;

use crate::config::known_keys::{self, nearest};
use crate::config::reader::{Field, Reader};

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The section `log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `level`: `error`, `warn`, `info`, `debug`, `trace` or `off`, or the directives of a tracing
    /// [`EnvFilter`] such as `info,presence_router::modules=debug`. Default: `info`.
    pub level: String,
    /// `format`: `text` or `json`. Default: `text`.
    pub format: LogFormat,
}

/// What `log.format` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Log {
    let mut log = Log::default();
    let Some(section) = field.and_then(|field| reader.section(&field, &known_keys::LOG)) else {
        return log;
    };
    reader.set(&mut log.level, section.get("level"), read_level);
    reader.set(&mut log.format, section.get("format"), read_format);
    log
}

fn read_level(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<String> {
    let text = reader.text(field)?;
    let word = text.trim().to_lowercase();
    if LEVELS.contains(&word.as_str()) {
        return Some(word);
    }
    // Alone, a word that is no level would be taken for the name of a target, and all else go silent.
    let is_one_word = word
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_one_word {
        let advice = match nearest(&word, LEVELS) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write one of {}", LEVELS.join(", ")),
        };
        return reader.refuse(field, format!("{text:?} is not a level; {advice}"));
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            let message = format!(
                "{text:?} is not a level or filter ({error}); write one such as info,presence_router=debug"
            );
            reader.refuse(field, message)
        }
    }
}

fn read_format(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<LogFormat> {
    match reader.text(field)? {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        other => reader.refuse(field, format!("{other:?} is not a format; write text or json")),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::config::checks;

    fn check(log: &str) -> String {
        checks::check(&format!("server_name: a\nlog: {log}"))
    }

    #[test]
    fn levels_filters_and_formats_are_read() {
        for (written, expected) in [
            ("debug", "debug"),
            ("WARN", "warn"),
            ("off", "off"),
            ("'info,a::b=debug'", "info,a::b=debug"),
        ] {
            let log = checks::config(&format!(
                "server_name: a\nlog: {{level: {written}, format: json}}"
            ))
            .log;
            assert_eq!(
                log,
                Log {
                    level: expected.to_owned(),
                    format: LogFormat::Json
                }
            );
        }
    }

    #[test]
    fn slips_do_not_silence_the_log() {
        assert_snapshot!(check("{level: inof}"), @r#"log.level: "inof" is not a level; did you mean "info"? (homeserver.yaml:2)"#);
        assert_snapshot!(check("{level: verbose}"), @r#"log.level: "verbose" is not a level; write one of error, warn, info, debug, trace, off (homeserver.yaml:2)"#);
        assert_snapshot!(check("{level: ''}"), @r#"log.level: "" is not a level; write one of error, warn, info, debug, trace, off (homeserver.yaml:2)"#);
        assert_snapshot!(check("{level: 'presence_router=loud'}"), @r#"log.level: "presence_router=loud" is not a level or filter (error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5); write one such as info,presence_router=debug (homeserver.yaml:2)"#);
        assert_snapshot!(check("{level: 3, format: xml}"), @r#"
        log.level: expected a string, found an integer; put it in quotes (homeserver.yaml:2)
        log.format: "xml" is not a format; write text or json (homeserver.yaml:2)
        "#);
        assert_snapshot!(check("debug"), @"log: expected a mapping, found a string (homeserver.yaml:2)");
    }
}

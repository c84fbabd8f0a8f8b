//! Durations as Synapse writes them: `30s`, `5m`, or an integer of milliseconds.

use std::time::Duration;

use presence_router_api::deserialize_duration;
use serde::de::IntoDeserializer;
use serde::de::value::Error;
use serde_yaml::Value;

use crate::config::reader::{Field, Reader};

/// Reads it as modules do in their own config.
pub(super) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Duration> {
    let duration: Result<_, Error> = match field.value {
        Value::Number(number) if !number.is_f64() => match number.as_u64() {
            Some(milliseconds) => deserialize_duration(milliseconds.into_deserializer()),
            None => deserialize_duration(number.to_string().into_deserializer()),
        },
        Value::String(text) => deserialize_duration(text.as_str().into_deserializer()),
        _ => return reader.wrong_type(field, "a duration such as 30s or 5m"),
    };
    match duration {
        Ok(duration) => Some(duration),
        Err(error) => reader.refuse(field, error.to_string()),
    }
}

/// As [`read`], for what would make no sense without any time.
pub(super) fn read_above_zero(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Duration> {
    match read(reader, field)? {
        Duration::ZERO => reader.refuse(field, "has to be longer than 0; write a duration such as 1s"),
        duration => Some(duration),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use crate::config::checks;

    fn milliseconds(written: &str) -> u128 {
        let yaml = format!("server_name: a\npresence: {{idle_timeout: {written}}}");
        checks::config(&yaml).presence.idle_timeout.as_millis()
    }

    fn check(written: &str) -> String {
        checks::check(&format!("server_name: a\npresence: {{idle_timeout: {written}}}"))
    }

    #[test]
    fn all_units_are_those_of_synapse() {
        let cases = [
            ("250", 250),
            ("'250'", 250),
            ("250ms", 250),
            ("0", 0),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
            ("1y", 31_536_000_000),
            ("100y", 3_153_600_000_000),
        ];
        for (written, expected) in cases {
            assert_eq!(milliseconds(written), expected, "{written}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for written in ["5 m", "5min", "m", "''", "-5", "-5s", "1.5s", "5M", "٣s", "+5s"] {
            let error = check(written);
            assert!(error.contains("is not a duration"), "{written}: {error}");
        }
        assert_snapshot!(check("5 minutes"), @r#"presence.idle_timeout: "5 minutes" is not a duration; write an integer with a unit (ms, s, m, h, d, w, y) such as 30s or 5m, or an integer of milliseconds (homeserver.yaml:2)"#);
        assert_snapshot!(check("101y"), @r#"presence.idle_timeout: "101y" is too long; write at most 100y (homeserver.yaml:2)"#);
        assert_snapshot!(check("99999999999999999999999s"), @r#"presence.idle_timeout: "99999999999999999999999s" is too long; write at most 100y (homeserver.yaml:2)"#);
        assert_snapshot!(check("18446744073709551615"), @"presence.idle_timeout: 18446744073709551615 is too long; write at most 100y (homeserver.yaml:2)");
        assert_snapshot!(check("1.5"), @"presence.idle_timeout: expected a duration such as 30s or 5m, found a number with a fraction (homeserver.yaml:2)");
        assert_snapshot!(check("[5m]"), @"presence.idle_timeout: expected a duration such as 30s or 5m, found a list (homeserver.yaml:2)");
        assert_snapshot!(check("yes"), @r#"presence.idle_timeout: "yes" is not a duration; write an integer with a unit (ms, s, m, h, d, w, y) such as 30s or 5m, or an integer of milliseconds (homeserver.yaml:2)"#);
    }
}

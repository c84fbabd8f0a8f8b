//! Durations as Synapse writes them: `30s`, `5m`, or an integer of milliseconds.

use std::time::Duration;

use serde_yaml::Value;

use crate::config::reader::{Field, Reader};

const UNITS: [(&str, u64); 7] = [
    ("ms", 1),
    ("s", 1000),
    ("m", 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("w", 7 * 24 * 60 * 60 * 1000),
    ("y", YEAR),
];
const YEAR: u64 = 365 * 24 * 60 * 60 * 1000;
/// Longer ones are slips, and could overflow the clock that they are added to.
const MAX: u64 = 100 * YEAR;

pub(super) fn read(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Duration> {
    let milliseconds = match field.value {
        Value::Number(number) if !number.is_f64() => match number.as_u64() {
            Some(milliseconds) => Ok(milliseconds),
            None => Err(Refused::NotADuration),
        },
        Value::String(text) => parse(text),
        _ => return reader.wrong_type(field, "a duration such as 30s or 5m"),
    };
    let written = || match field.value {
        Value::String(text) => format!("{text:?}"),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    match milliseconds {
        Ok(milliseconds) if milliseconds <= MAX => Some(Duration::from_millis(milliseconds)),
        Ok(_) | Err(Refused::TooLong) => {
            reader.refuse(field, format!("{} is too long; write at most 100y", written()))
        }
        Err(Refused::NotADuration) => {
            let message = format!(
                "{} is not a duration; write an integer with a unit (ms, s, m, h, d, w, y) such as 30s or 5m, \
                 or an integer of milliseconds",
                written()
            );
            reader.refuse(field, message)
        }
    }
}

/// As [`read`], for what would make no sense without any time.
pub(super) fn read_above_zero(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<Duration> {
    match read(reader, field)? {
        Duration::ZERO => reader.refuse(field, "has to be longer than 0; write a duration such as 1s"),
        duration => Some(duration),
    }
}

enum Refused {
    NotADuration,
    TooLong,
}

fn parse(text: &str) -> Result<u64, Refused> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit {
        "" => 1,
        _ => {
            UNITS
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or(Refused::NotADuration)?
                .1
        }
    };
    if digits.is_empty() {
        return Err(Refused::NotADuration);
    }
    let number: u64 = digits.parse().map_err(|_| Refused::TooLong)?;
    number.checked_mul(factor).ok_or(Refused::TooLong)
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

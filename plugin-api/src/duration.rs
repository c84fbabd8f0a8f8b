//! Durations in a module's config, written as the host's own keys are: `30s`, `5m`, or an integer of milliseconds.

use std::fmt;
use std::time::Duration;

use serde::Deserializer;
use serde::de::{Error, Visitor};

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

/// Reads a duration as Synapse's config and the host's have it: an integer with a unit (`ms`, `s`, `m`, `h`, `d`, `w`,
/// `y`), or an integer of milliseconds; at most 100 years. For a field of a module's config.
///
/// ```
/// use std::time::Duration;
///
/// use presence_router_api::ConfigValue;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Config {
///     #[serde(default = "half_a_minute", deserialize_with = "presence_router_api::deserialize_duration")]
///     interval: Duration,
/// }
///
/// fn half_a_minute() -> Duration {
///     Duration::from_secs(30)
/// }
///
/// let config: Config = ConfigValue::from_json(r#"{"interval": "5m"}"#)?.parse()?;
/// assert_eq!(config.interval, Duration::from_secs(300));
/// let config: Config = ConfigValue::from_json("{}")?.parse()?;
/// assert_eq!(config.interval, Duration::from_secs(30));
/// # Ok::<(), presence_router_api::ConfigError>(())
/// ```
///
/// # Errors
/// When it is no duration, or too long.
pub fn deserialize_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

struct DurationVisitor;

impl Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as 30s or 5m")
    }

    fn visit_u64<E: Error>(self, milliseconds: u64) -> Result<Duration, E> {
        if milliseconds > MAX {
            return Err(too_long(milliseconds));
        }
        Ok(Duration::from_millis(milliseconds))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let factor = match unit {
            "" => Some(1),
            _ => UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| *ms),
        };
        let Some(factor) = factor.filter(|_| !digits.is_empty()) else {
            return Err(E::custom(format_args!(
                "{text:?} is not a duration; write an integer with a unit (ms, s, m, h, d, w, y) such as 30s or 5m, \
                 or an integer of milliseconds"
            )));
        };
        // What is no number here has too many digits.
        let number = digits.parse::<u64>().ok();
        match number.and_then(|number| number.checked_mul(factor)) {
            Some(milliseconds) if milliseconds <= MAX => Ok(Duration::from_millis(milliseconds)),
            _ => Err(too_long(format_args!("{text:?}"))),
        }
    }
}

fn too_long<E: Error>(written: impl fmt::Display) -> E {
    E::custom(format_args!("{written} is too long; write at most 100y"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::config::ConfigValue;

    #[derive(Debug, Deserialize)]
    struct Config {
        #[serde(deserialize_with = "deserialize_duration")]
        after: Duration,
    }

    fn read(written: &str) -> Result<Duration, String> {
        let config = ConfigValue::from_json(&format!(r#"{{"after": {written}}}"#)).expect("JSON");
        match config.parse::<Config>() {
            Ok(config) => Ok(config.after),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn durations_read_as_in_the_host_s_config() {
        let cases = [
            ("250", 250),
            (r#""250""#, 250),
            (r#""250ms""#, 250),
            ("0", 0),
            (r#""30s""#, 30_000),
            (r#""5m""#, 300_000),
            (r#""1h""#, 3_600_000),
            (r#""1d""#, 86_400_000),
            (r#""1w""#, 604_800_000),
            (r#""1y""#, 31_536_000_000),
            (r#""100y""#, 3_153_600_000_000),
        ];
        for (written, expected) in cases {
            assert_eq!(read(written), Ok(Duration::from_millis(expected)), "{written}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_key() {
        for written in ["5 m", "5min", "m", "", "-5s", "1.5s", "5M", "٣s", "+5s"] {
            let error = read(&format!("{written:?}")).expect_err(written);
            assert!(error.contains("is not a duration"), "{written}: {error}");
        }
        insta::assert_snapshot!(read(r#""101y""#).expect_err("too long"), @r#"after: "101y" is too long; write at most 100y"#);
        insta::assert_snapshot!(read(r#""99999999999999999999999s""#).expect_err("too long"), @r#"after: "99999999999999999999999s" is too long; write at most 100y"#);
        insta::assert_snapshot!(read("18446744073709551615").expect_err("too long"), @"after: 18446744073709551615 is too long; write at most 100y");
        for written in ["-5", "1.5", "true", "[5]", "null"] {
            let error = read(written).expect_err(written);
            assert!(
                error.contains("a duration such as 30s or 5m"),
                "{written}: {error}"
            );
        }
    }
}

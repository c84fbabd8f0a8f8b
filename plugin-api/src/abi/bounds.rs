//! How much a module may ask for, and of what form it is: checked by the host, and by the fake host of tests as the host
//! does. None of it crosses.

use super::failure::{Failure, FailureKind};
use super::requests::{Metric, MetricKind};

/// The most users in a list that a module gives.
pub const MAX_USERS: usize = 1_000_000;
/// The longest room id, in bytes ([specification]).
///
/// [specification]: https://spec.matrix.org/v1.16/appendices/#room-ids
pub const MAX_ROOM_ID_BYTES: usize = 255;
/// The longest key of the storage, in bytes.
pub const MAX_KEY_BYTES: usize = 512;
/// The longest value of the storage, in bytes.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;
/// The most keys that a scan answers.
pub const MAX_SCAN: u32 = 1_000;
/// The longest name of a metric or label, in bytes.
pub const MAX_METRIC_NAME_BYTES: usize = 128;
/// The longest help text of a metric, in bytes.
pub const MAX_METRIC_HELP_BYTES: usize = 1_024;
/// The most labels of a series.
pub const MAX_LABELS: usize = 16;
/// The longest value of a label, in bytes.
pub const MAX_LABEL_VALUE_BYTES: usize = 256;
/// The most metrics of an instance.
pub const MAX_METRICS: usize = 100;
/// The most series of an instance: metrics with a set of labels.
pub const MAX_SERIES: usize = 1_000;

fn too_large(message: String) -> Failure {
    Failure::new(FailureKind::TOO_LARGE, message)
}

/// Whether a list of users may be so long.
///
/// # Errors
/// A failure that says how long it may be, as all of this file.
pub fn check_users(count: usize) -> Result<(), Failure> {
    if count > MAX_USERS {
        return Err(too_large(format!(
            "the list has {count} users, {MAX_USERS} are allowed; split it"
        )));
    }
    Ok(())
}

/// Whether a key of the storage is one.
pub fn check_key(key: &str) -> Result<(), Failure> {
    match key.len() {
        0 => Err(Failure::error("a key of the storage has at least one byte")),
        1..=MAX_KEY_BYTES => Ok(()),
        bytes => Err(too_large(format!(
            "the key has {bytes} bytes, {MAX_KEY_BYTES} are allowed"
        ))),
    }
}

/// Whether a value of the storage may be stored.
pub fn check_value(value: &[u8]) -> Result<(), Failure> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(too_large(format!(
            "the value has {} bytes, {MAX_VALUE_BYTES} are allowed; split it",
            value.len()
        )));
    }
    Ok(())
}

/// Whether a scan may ask for so much. A prefix or an `after` beyond the length of keys is none that a key can have.
pub fn check_scan(prefix: &str, after: Option<&str>, limit: u32) -> Result<(), Failure> {
    let longest = prefix.len().max(after.map_or(0, str::len));
    if longest > MAX_KEY_BYTES {
        return Err(too_large(format!(
            "a scan by {longest} bytes of a key, {MAX_KEY_BYTES} are allowed"
        )));
    }
    match limit {
        0 => Err(Failure::error("a scan for 0 keys; ask for at least 1")),
        1..=MAX_SCAN => Ok(()),
        _ => Err(too_large(format!(
            "a scan for {limit} keys, {MAX_SCAN} are allowed; go on after the last key of the answer"
        ))),
    }
}

/// Whether a metric and its labels have names that can be used, and no more than is allowed.
pub fn check_metric(metric: &Metric) -> Result<(), Failure> {
    let name = metric.name.as_str();
    if metric.kind > MetricKind::HISTOGRAM {
        return Err(Failure::error(format!(
            "{name:?} is a metric of a kind that the host does not know"
        )));
    }
    check_name("metric", name)?;
    if metric.help.len() > MAX_METRIC_HELP_BYTES {
        return Err(too_large(format!(
            "the help text of metric {name:?} has {} bytes, {MAX_METRIC_HELP_BYTES} are allowed",
            metric.help.len()
        )));
    }
    if metric.labels.len() > MAX_LABELS {
        return Err(too_large(format!(
            "metric {name:?} has {} labels, {MAX_LABELS} are allowed",
            metric.labels.len()
        )));
    }
    for (number, label) in metric.labels.iter().enumerate() {
        let (label, value) = (label.name.as_str(), label.value.as_str());
        check_name("label", label)?;
        if label.starts_with("__") || ["module", "le", "quantile"].contains(&label) {
            return Err(Failure::error(format!(
                "label {label:?} of metric {name:?} is reserved; take another name"
            )));
        }
        if metric.labels[..number].iter().any(|other| other.name == label) {
            return Err(Failure::error(format!(
                "metric {name:?} has label {label:?} twice"
            )));
        }
        if value.len() > MAX_LABEL_VALUE_BYTES {
            return Err(too_large(format!(
                "the value of label {label:?} of metric {name:?} has {} bytes, {MAX_LABEL_VALUE_BYTES} are allowed",
                value.len()
            )));
        }
    }
    Ok(())
}

fn check_name(what: &str, name: &str) -> Result<(), Failure> {
    if name.len() > MAX_METRIC_NAME_BYTES {
        return Err(too_large(format!(
            "the name of a {what} has {} bytes, {MAX_METRIC_NAME_BYTES} are allowed",
            name.len()
        )));
    }
    let mut bytes = name.bytes();
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if bytes.next().is_some_and(is_first) && bytes.all(|byte| is_first(byte) || byte.is_ascii_digit()) {
        Ok(())
    } else {
        Err(Failure::error(format!(
            "{name:?} is not the name of a {what}: letters, digits and `_`, not a digit first"
        )))
    }
}

#[cfg(test)]
mod tests {
    use abi_stable::std_types::RString;

    use super::*;
    use crate::abi::requests::MetricLabel;

    fn metric(name: &str, labels: &[(&str, &str)]) -> Metric {
        Metric {
            kind: MetricKind::COUNTER,
            name: RString::from(name),
            help: RString::from("Something."),
            labels: labels
                .iter()
                .map(|(name, value)| MetricLabel {
                    name: RString::from(*name),
                    value: RString::from(*value),
                })
                .collect(),
        }
    }

    #[track_caller]
    fn refused(outcome: Result<(), Failure>, kind: FailureKind, text: &str) {
        let failure = outcome.expect_err("is refused");
        assert_eq!(failure.kind, kind);
        assert!(failure.message.contains(text), "{}", failure.message);
    }

    #[test]
    fn names_of_metrics_and_labels_are_those_of_prometheus() {
        for name in ["polls_total", "_x", "A9"] {
            assert_eq!(check_metric(&metric(name, &[(name, "")])), Ok(()));
        }
        for name in ["", "9a", "a-b", "a:b", "ä", "a b"] {
            refused(
                check_metric(&metric(name, &[])),
                FailureKind::ERROR,
                "not the name of a metric",
            );
            refused(
                check_metric(&metric("a", &[(name, "")])),
                FailureKind::ERROR,
                "not the name of a label",
            );
        }
        for name in ["module", "le", "quantile", "__name"] {
            refused(
                check_metric(&metric("a", &[(name, "")])),
                FailureKind::ERROR,
                "is reserved",
            );
        }
        let twice = metric("a", &[("b", "1"), ("c", "2"), ("b", "3")]);
        refused(check_metric(&twice), FailureKind::ERROR, "twice");
    }

    #[test]
    fn what_is_too_long_is_refused_and_what_just_fits_is_not() {
        let name = "a".repeat(MAX_METRIC_NAME_BYTES);
        let value = "v".repeat(MAX_LABEL_VALUE_BYTES);
        assert_eq!(check_metric(&metric(&name, &[(&name, &value)])), Ok(()));
        let large = |metric: &Metric| refused(check_metric(metric), FailureKind::TOO_LARGE, "allowed");
        large(&metric(&format!("{name}a"), &[]));
        large(&metric("a", &[("b", &format!("{value}v"))]));
        large(&Metric {
            help: "h".repeat(MAX_METRIC_HELP_BYTES + 1).into(),
            ..metric("a", &[])
        });
        let names: Vec<String> = (0..=MAX_LABELS).map(|n| format!("l{n}")).collect();
        let labels: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(check_metric(&metric("a", &labels[1..])), Ok(()));
        large(&metric("a", &labels));

        let key = "k".repeat(MAX_KEY_BYTES);
        assert_eq!(check_key(&key), Ok(()));
        refused(check_key(&format!("{key}k")), FailureKind::TOO_LARGE, "513 bytes");
        refused(check_key(""), FailureKind::ERROR, "at least one byte");
        assert_eq!(check_value(&vec![0; MAX_VALUE_BYTES]), Ok(()));
        refused(
            check_value(&vec![0; MAX_VALUE_BYTES + 1]),
            FailureKind::TOO_LARGE,
            "split",
        );
        assert_eq!(check_scan("", None, 1), Ok(()));
        assert_eq!(check_scan(&key, Some(&key), MAX_SCAN), Ok(()));
        refused(check_scan("", None, 0), FailureKind::ERROR, "at least 1");
        refused(
            check_scan("", None, MAX_SCAN + 1),
            FailureKind::TOO_LARGE,
            "1000 are allowed",
        );
        refused(
            check_scan("", Some(&format!("{key}k")), 1),
            FailureKind::TOO_LARGE,
            "513",
        );
        assert_eq!(check_users(MAX_USERS), Ok(()));
        refused(check_users(MAX_USERS + 1), FailureKind::TOO_LARGE, "split");
    }

    #[test]
    fn a_kind_of_metric_that_is_not_known_is_refused() {
        // SAFETY: `MetricKind` is transparent over `u8`, every value of which is one.
        let kind: MetricKind = unsafe { std::mem::transmute(3_u8) };
        let unknown = Metric {
            kind,
            ..metric("a", &[])
        };
        refused(check_metric(&unknown), FailureKind::ERROR, "does not know");
    }
}

//! `rc_presence`: how often a user may set their presence.

use crate::config::known_keys;
use crate::config::reader::{Field, Reader};

/// A bucket that fills by `per_second`, and holds `burst_count`; each request takes one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// `per_second`: how many requests may come in a second in the long run; finite and above 0.
    pub per_second: f64,
    /// `burst_count`: how many requests may come at once; above 0.
    pub burst_count: u32,
}

/// `rc_presence.per_user`. Synapse limits to 0.1 a second and 1 at once when nothing is said; we do not, as a
/// change of presence costs us little.
pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Option<RateLimit> {
    let section = reader.section(&field?, &known_keys::RC_PRESENCE)?;
    let section = reader.section(&section.get("per_user")?, &known_keys::RATE_LIMIT)?;
    let mut required = |key, what| {
        let field = section.get(key);
        if field.is_none() {
            reader.error(&section.path.key(key), format!("missing; write {what}"));
        }
        field
    };
    let per_second = required("per_second", "how many requests a second, such as 0.1");
    let burst_count = required("burst_count", "how many requests may come at once, such as 5");
    let per_second = per_second.and_then(|field| read_per_second(reader, &field));
    let burst_count = burst_count.and_then(|field| reader.integer(&field, 1..=u64::from(u32::MAX)));
    Some(RateLimit {
        per_second: per_second?,
        burst_count: u32::try_from(burst_count?).ok()?,
    })
}

fn read_per_second(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<f64> {
    let number = reader.number(field)?;
    if number > 0.0 && number.is_finite() {
        return Some(number);
    }
    reader.refuse(field, "has to be finite and above 0; write a number such as 0.1")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::config::checks;

    fn limit(yaml: &str) -> Option<RateLimit> {
        checks::config(&format!("server_name: a\n{yaml}")).rc_presence
    }

    fn check(per_user: &str) -> String {
        checks::check(&format!("server_name: a\nrc_presence:\n  per_user: {per_user}"))
    }

    #[test]
    fn it_is_off_unless_it_is_given() {
        for nothing in ["", "rc_presence:", "rc_presence: {}", "rc_presence: {per_user: }"] {
            assert_eq!(limit(nothing), None, "{nothing}");
        }
        for (written, per_second) in [("0.1", 0.1), ("5", 5.0), ("1e-3", 0.001)] {
            let yaml = format!("rc_presence: {{per_user: {{per_second: {written}, burst_count: 7}}}}");
            let expected = RateLimit {
                per_second,
                burst_count: 7,
            };
            assert_eq!(limit(&yaml), Some(expected), "{written}");
        }
    }

    #[test]
    fn a_limit_that_lets_nothing_through_is_refused() {
        assert_snapshot!(check("{}"), @"
        rc_presence.per_user.per_second: missing; write how many requests a second, such as 0.1 (homeserver.yaml:3)
        rc_presence.per_user.burst_count: missing; write how many requests may come at once, such as 5 (homeserver.yaml:3)
        ");
        assert_snapshot!(check("{per_second: 0, burst_count: 0}"), @"
        rc_presence.per_user.per_second: has to be finite and above 0; write a number such as 0.1 (homeserver.yaml:3)
        rc_presence.per_user.burst_count: 0 is out of range; write an integer from 1 to 4294967295 (homeserver.yaml:3)
        ");
        assert_snapshot!(check("{per_second: -1, burst_count: -1}"), @"
        rc_presence.per_user.per_second: has to be finite and above 0; write a number such as 0.1 (homeserver.yaml:3)
        rc_presence.per_user.burst_count: -1 is out of range; write an integer from 1 to 4294967295 (homeserver.yaml:3)
        ");
        assert_snapshot!(check("{per_second: .inf, burst_count: 1.5}"), @"
        rc_presence.per_user.per_second: has to be finite and above 0; write a number such as 0.1 (homeserver.yaml:3)
        rc_presence.per_user.burst_count: expected an integer, found a number with a fraction (homeserver.yaml:3)
        ");
        assert_snapshot!(check("{per_second: .nan, burst_count: 4294967296}"), @"
        rc_presence.per_user.per_second: has to be finite and above 0; write a number such as 0.1 (homeserver.yaml:3)
        rc_presence.per_user.burst_count: 4294967296 is out of range; write an integer from 1 to 4294967295 (homeserver.yaml:3)
        ");
        assert_snapshot!(check("{per_second: '1', burst_cuont: 1}"), @r#"
        rc_presence.per_user.burst_cuont: unknown key "burst_cuont"; did you mean "burst_count"? (homeserver.yaml:3)
        rc_presence.per_user.burst_count: missing; write how many requests may come at once, such as 5 (homeserver.yaml:3)
        rc_presence.per_user.per_second: expected a number, found a string (homeserver.yaml:3)
        "#);
        assert_snapshot!(check("5"), @"rc_presence.per_user: expected a mapping, found an integer (homeserver.yaml:3)");
        assert_snapshot!(checks::check("server_name: a\nrc_presence: {per_second: 1, burst_count: 1}"), @r#"
        rc_presence.per_second: unknown key "per_second"; it belongs under "rc_presence.per_user" (homeserver.yaml:2)
        rc_presence.burst_count: unknown key "burst_count"; it belongs under "rc_presence.per_user" (homeserver.yaml:2)
        "#);
    }
}

//! `crash_budget` and `automatic_rollback` of a module: when the host steps in.

use std::time::Duration;

use crate::config::reader::{Field, Reader};
use crate::config::{duration, known_keys};

const MAX_CRASHES: u64 = 10_000;

/// How often a module may crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashBudget {
    /// `crashes`: with so many, it is switched off; above 0. Default: 20.
    pub crashes: u32,
    /// `within`: only crashes that are not older count; above 0. Default: `1h`.
    pub within: Duration,
}

/// When a new generation of a module is taken back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AutomaticRollback {
    /// `error_rate`: when more than this share of its calls fail; above 0, at most 1. Default: 0.5.
    pub error_rate: f64,
    /// `within`: for how long from its start it is watched; above 0. Default: `5m`.
    pub within: Duration,
}

impl CrashBudget {
    pub(super) const DEFAULT: Self = Self {
        crashes: 20,
        within: Duration::from_hours(1),
    };

    /// Nothing when it may crash without end.
    pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Option<Self> {
        let Self {
            mut crashes,
            mut within,
        } = Self::DEFAULT;
        let section = field.and_then(|field| reader.section(&field, &known_keys::CRASH_BUDGET));
        let Some(section) = section else {
            return Some(Self::DEFAULT);
        };
        reader.set(&mut crashes, section.get("crashes"), |reader, field| {
            u32::try_from(reader.integer(field, 0..=MAX_CRASHES)?).ok()
        });
        reader.set(&mut within, section.get("within"), duration::read_above_zero);
        (crashes > 0).then_some(Self { crashes, within })
    }
}

impl AutomaticRollback {
    pub(super) const DEFAULT: Self = Self {
        error_rate: 0.5,
        within: Duration::from_mins(5),
    };

    /// Nothing when it is never taken back.
    pub(super) fn read(reader: &mut Reader<'_>, field: Option<Field<'_>>) -> Option<Self> {
        let Self {
            mut error_rate,
            mut within,
        } = Self::DEFAULT;
        let section = field.and_then(|field| reader.section(&field, &known_keys::AUTOMATIC_ROLLBACK));
        let Some(section) = section else {
            return Some(Self::DEFAULT);
        };
        reader.set(&mut error_rate, section.get("error_rate"), read_share);
        reader.set(&mut within, section.get("within"), duration::read);
        (!within.is_zero()).then_some(Self { error_rate, within })
    }
}

fn read_share(reader: &mut Reader<'_>, field: &Field<'_>) -> Option<f64> {
    let number = reader.number(field)?;
    if number > 0.0 && number <= 1.0 {
        return Some(number);
    }
    reader.refuse(
        field,
        "has to be above 0 and at most 1; write a share of the calls such as 0.5, or `within: 0` for no rollback",
    )
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use crate::config::{Module, checks};

    fn module(keys: &str) -> Module {
        let yaml = format!("server_name: a\nmodules:\n- {{module: m, {keys}}}");
        checks::config(&yaml).modules.remove(0)
    }

    fn check(keys: &str) -> String {
        checks::check(&format!("server_name: a\nmodules:\n- {{module: m, {keys}}}"))
    }

    #[test]
    fn each_key_has_its_own_default() {
        let budget = |keys| {
            module(keys)
                .crash_budget
                .map(|budget| (budget.crashes, budget.within.as_secs()))
        };
        assert_eq!(budget("crash_budget: {}"), Some((20, 3_600)));
        assert_eq!(budget("crash_budget: {crashes: 3}"), Some((3, 3_600)));
        assert_eq!(budget("crash_budget: {within: 10s}"), Some((20, 10)));
        let rollback = |keys| {
            let rollback = module(keys).automatic_rollback?;
            Some((rollback.error_rate, rollback.within.as_secs()))
        };
        assert_eq!(rollback("automatic_rollback: {}"), Some((0.5, 300)));
        assert_eq!(rollback("automatic_rollback: {error_rate: 1}"), Some((1.0, 300)));
        assert_eq!(rollback("automatic_rollback: {within: 10s}"), Some((0.5, 10)));
    }

    #[test]
    fn nought_switches_it_off() {
        assert_eq!(module("crash_budget: {crashes: 0}").crash_budget, None);
        assert_eq!(module("automatic_rollback: {within: 0}").automatic_rollback, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_snapshot!(check("crash_budget: {crashes: 10001, within: 0}"), @"
        modules[0].crash_budget.crashes: 10001 is out of range; write an integer from 0 to 10000 (homeserver.yaml:3)
        modules[0].crash_budget.within: has to be longer than 0; write a duration such as 1s (homeserver.yaml:3)
        ");
        assert_snapshot!(check("crash_budget: false"), @"modules[0].crash_budget: expected a mapping, found a boolean (homeserver.yaml:3)");
        for share in ["0", "-0.5", "1.01", ".nan", ".inf"] {
            let error = check(&format!("automatic_rollback: {{error_rate: {share}}}"));
            assert!(
                error.contains("error_rate: has to be above 0 and at most 1"),
                "{share}: {error}"
            );
        }
        assert_snapshot!(check("automatic_rollback: {error_rate: 50%, whithin: 5m}"), @r#"
        modules[0].automatic_rollback.whithin: unknown key "whithin"; did you mean "within"? (homeserver.yaml:3)
        modules[0].automatic_rollback.error_rate: expected a number, found a string (homeserver.yaml:3)
        "#);
    }
}

//! What one instance may do before the host steps in.

use std::time::Duration;

use crate::config;

/// The limits of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a call may take, from when the module begins with it.
    pub call_timeout: Duration,
    /// How often it may crash; nothing for without end.
    pub crash_budget: Option<CrashBudget>,
}

/// How often an instance may crash before it is switched off. A call that panicked is a crash, and so is one that overran;
/// calls that overran together are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashBudget {
    /// With so many, it is off; at least 1.
    pub crashes: u32,
    /// Only those that are not older count.
    pub within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(1),
            crash_budget: Some(CrashBudget {
                crashes: 20,
                within: Duration::from_hours(1),
            }),
        }
    }
}

impl From<&config::Module> for Limits {
    fn from(module: &config::Module) -> Self {
        Self {
            call_timeout: module.call_timeout,
            crash_budget: module.crash_budget.map(|budget| CrashBudget {
                crashes: budget.crashes,
                within: budget.within,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_config() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let yaml = "server_name: a\nmodules:\n- module: m\n- {module: n, crash_budget: {crashes: 0}}\n";
        std::io::Write::write_all(&mut file, yaml.as_bytes()).unwrap();
        let (config, _) = config::load(&[file.path().to_owned()]).unwrap();
        assert_eq!(Limits::from(&config.modules[0]), Limits::default());
        assert_eq!(Limits::from(&config.modules[1]).crash_budget, None);
    }
}

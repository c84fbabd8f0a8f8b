//! Step 5: has the module check its config. Nothing is started.

use std::sync::mpsc;
use std::time::Duration;

use abi_stable::std_types::RStr;
use presence_router_api::abi::module::ConfigBox;
use presence_router_api::abi::{Failure, FailureKind};

use crate::modules::identity::Identity;
use crate::modules::open::Opened;
use crate::modules::refusal::{Advice, Who};

/// How long a module may take to check its config, and to start.
pub const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A module that has accepted its config.
pub struct Configured {
    pub(super) opened: Opened,
    pub(super) config: ConfigBox,
}

/// Why a module's config was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The module found a fault in it.
    #[error("{message}")]
    Refused {
        /// The key at fault, inside the module's config; empty for the whole.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The module panicked.
    #[error("{0}")]
    Panicked(String),
    /// It did not answer within [`START_TIMEOUT`].
    #[error("parse_config did not answer within {} s", START_TIMEOUT.as_secs())]
    TimedOut,
    /// No thread could be started to ask it.
    #[error("no thread can be started to ask the module")]
    Thread(#[source] std::io::Error),
}

impl Advice for ConfigureError {
    fn who(&self) -> Who {
        match self {
            Self::Refused { .. } | Self::Thread(_) => Who::Operator,
            Self::Panicked(_) | Self::TimedOut => Who::Author,
        }
    }

    fn fix(&self) -> String {
        match self {
            Self::Refused { .. } => "mend the module's `config`".into(),
            Self::Panicked(_) => "return a ConfigError from parse_config instead".into(),
            Self::TimedOut => "check the config alone in parse_config; start what takes time in new".into(),
            Self::Thread(_) => "ulimit -u, and what else bounds this user's threads".into(),
        }
    }
}

impl From<Failure> for ConfigureError {
    fn from(failure: Failure) -> Self {
        let message = failure.message.into_string();
        match failure.kind {
            FailureKind::PANIC => Self::Panicked(message),
            _ => Self::Refused {
                path: failure.path.into_string(),
                message,
            },
        }
    }
}

impl Configured {
    /// Asks the module, on a thread of its own: one that does not come back holds up nothing.
    pub fn new(opened: Opened, config: &serde_json::Value) -> Result<Self, ConfigureError> {
        let (root, router, config) = (opened.root, opened.identity.router.clone(), config.to_string());
        let (answer, answered) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("parse_config".to_owned())
            .spawn(move || {
                let parse_config = root.parse_config();
                // The receiver is gone when the module is too late; the config is dropped then.
                let _ = answer.send(parse_config(
                    RStr::from(router.as_str()),
                    RStr::from(config.as_str()),
                ));
            })
            .map_err(ConfigureError::Thread)?;
        let config = answered
            .recv_timeout(START_TIMEOUT)
            .map_err(|_| ConfigureError::TimedOut)?
            .into_result()
            .map_err(ConfigureError::from)?;
        Ok(Self { opened, config })
    }

    /// The library.
    pub fn opened(&self) -> &Opened {
        &self.opened
    }

    /// What this module is.
    pub fn identity(&self) -> &Identity {
        self.opened.identity()
    }
}

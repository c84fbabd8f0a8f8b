//! What every check works with, inside of the child: the host's own loader, instances with a scripted server each, and
//! the journal. The steps from a file to a running instance are those of the real server.

use std::error::Error;
use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use presence_router_api::{InterestedUsers, UserId, UserPresenceState};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::clock::SystemClock;
use crate::modules::{
    CallError, ConfigureError, Configured, HostFacts, Limits, Loader, Opened, Refusal, Routed, Running,
    Signers, Source, StartError, Trust,
};
use crate::verify::journal::Journal;
use crate::verify::outcome::Finding;
use crate::verify::people::People;
use crate::verify::random::Random;
use crate::verify::resources::Resources;
use crate::verify::server::{Mood, Server};
use crate::verify::task::{Subject, Task};

/// How long an instance may take to shut down: as long as in the real server.
pub(super) const SHUTDOWN: Duration = Duration::from_secs(5);
/// How long what has been told to end may take to be gone.
const GONE: Duration = Duration::from_secs(5);
/// An instance that has asked the server nothing for so long has come to rest.
const REST: Duration = Duration::from_millis(100);
/// One that has not come to rest by then asks all the time.
const RESTLESS: Duration = Duration::from_secs(2);
/// How often it is looked whether a state has come about that nothing tells of.
const LOOK: Duration = Duration::from_millis(5);

/// What every check works with.
pub(super) struct Bench {
    pub(super) subject: Subject,
    pub(super) people: Arc<People>,
    seed: u64,
    loader: Loader,
    journal: Journal,
}

/// A running instance and its server.
pub(super) struct Instance {
    pub(super) running: Running,
    pub(super) server: Arc<Server>,
}

/// What is left of an instance that has been dropped: its server, as long as the module keeps the `ModuleApi`.
pub(super) struct Remains(Weak<Server>);

impl Remains {
    /// Whether nothing is left.
    pub(super) fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Bench {
    pub(super) fn new(task: Task, journal: Journal) -> Result<Self, Finding> {
        let loader = Loader::new_in(&task.copies).map_err(|error| {
            Finding::failure("the module cannot be copied").detail(Refusal::from(error).to_string())
        })?;
        let people = People::of(&task.subject, &mut Random::of(task.seed));
        Ok(Self {
            people: Arc::new(people),
            subject: task.subject,
            seed: task.seed,
            loader,
            journal,
        })
    }

    /// What begins now: it is told when the module does not survive it.
    pub(super) fn step(&self, step: impl Into<String>) {
        self.journal.step(step);
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Numbers for this check.
    pub(super) fn random(&self) -> Random {
        Random::of(self.seed)
    }

    pub(super) fn inspect(&self, path: &Path) -> Result<crate::modules::Report, Refusal> {
        self.loader.inspect(path)
    }

    /// A new generation of the library: a copy of its own.
    pub(super) fn open(&self) -> Result<Opened, Finding> {
        let file = self.subject.file.display();
        let source = Source {
            module: match &self.subject.router {
                Some(router) => format!("{file}.{router}"),
                None => file.to_string(),
            },
            base_dir: "/".into(),
            module_path: Vec::new(),
            // Whoever asks for the file to be verified runs it as themselves.
            trust: Trust::Anyone,
            pinned: None,
            signed_by: Signers::Anyone,
        };
        self.step("opening the library");
        let opened = self.loader.open(&source);
        opened.map_err(|refusal| lines(Finding::failure("it cannot be opened"), refusal))
    }

    /// Starts an instance with the given config, on a server that answers.
    pub(super) async fn start(&self, opened: &Opened, name: &str) -> Result<Instance, Finding> {
        self.start_with(opened, name, &self.subject.config.clone()).await
    }

    /// The same with another config.
    pub(super) async fn start_with(
        &self,
        opened: &Opened,
        name: &str,
        config: &Value,
    ) -> Result<Instance, Finding> {
        self.step("having parse_config check the config");
        let configured = configure(opened, config).map_err(|error| config_refused(&error))?;
        self.step("starting an instance");
        self.start_on(configured, name, Mood::Answer)
            .await
            .map_err(|error| Finding::failure("it does not start").detail(error.to_string()))
    }

    /// Starts an instance on a server in this mood.
    pub(super) async fn start_on(
        &self,
        configured: Configured,
        name: &str,
        mood: Mood,
    ) -> Result<Instance, StartError> {
        let server = Server::new(Arc::clone(&self.people), mood);
        let facts = HostFacts {
            server_name: Arc::from(self.subject.server_name.as_str()),
            clock: Arc::new(SystemClock),
            timers: Handle::current(),
            services: Arc::<Server>::clone(&server),
            http: Arc::new(self.subject.http.clone()),
            worker_name: None,
        };
        let limits = Limits {
            call_timeout: self.subject.call_timeout,
            // Each crash is a finding; that others follow is to be seen.
            crash_budget: None,
        };
        let running = Running::start(configured, Arc::from(name), facts, limits).await?;
        Ok(Instance { running, server })
    }

    /// Shuts an instance down and drops it.
    pub(super) async fn end(&self, instance: Instance) -> Result<Remains, Finding> {
        self.step("shutting an instance down");
        let Instance { running, server } = instance;
        let ended = running.shutdown(SHUTDOWN).await;
        drop(running);
        let remains = Remains(Arc::downgrade(&server));
        if ended {
            Ok(remains)
        } else {
            Err(Finding::failure(format!(
                "shutdown did not come to an end within {} s",
                SHUTDOWN.as_secs()
            )))
        }
    }
}

impl Instance {
    pub(super) async fn route(
        &self,
        batch: &[UserPresenceState],
        only_for: Option<&UserId>,
    ) -> Result<Routed, CallError> {
        self.running.get_users_for_states(batch.to_vec(), only_for).await
    }

    pub(super) async fn interested(&self, user: &UserId) -> Result<InterestedUsers, CallError> {
        self.running.get_interested_users(user).await
    }

    /// Waits until the instance asks the server nothing any more: what it looks up at its start is there then.
    pub(super) async fn rest(&self) {
        let begun = Instant::now();
        let (mut asked, mut since) = (self.server.asked(), begun);
        while since.elapsed() < REST && begun.elapsed() < RESTLESS {
            sleep(LOOK).await;
            if self.server.asked() != asked {
                (asked, since) = (self.server.asked(), Instant::now());
            }
        }
    }
}

/// Has the module check a config.
pub(super) fn configure(opened: &Opened, config: &Value) -> Result<Configured, ConfigureError> {
    Configured::new(opened.clone(), config)
}

/// Waits until it is so, for a bounded time. What is waited for tells nobody when it comes about: a thread that ends, a
/// descriptor that is closed.
pub(super) async fn until_gone(is_gone: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !is_gone() {
        if begun.elapsed() > GONE {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}

/// Waits until this process holds no more than before; what it still does then.
pub(super) async fn left_over(before: &Resources) -> Result<Vec<String>, Finding> {
    let beyond = || Resources::now().map(|now| now.beyond(before));
    until_gone(|| beyond().is_ok_and(|beyond| beyond.is_empty())).await;
    beyond().map_err(|error| unreadable(&error))
}

/// What this process holds.
pub(super) fn resources() -> Result<Resources, Finding> {
    Resources::now().map_err(|error| unreadable(&error))
}

fn unreadable(error: &std::io::Error) -> Finding {
    Finding::failure("/proc/self cannot be read, so nothing can be said").detail(error.to_string())
}

/// The given config was not accepted.
pub(super) fn config_refused(error: &ConfigureError) -> Finding {
    let (message, detail) = match error {
        ConfigureError::Refused { path, message } if path.is_empty() => {
            ("it refuses its config; give one with --config", message.clone())
        }
        ConfigureError::Refused { path, message } => (
            "it refuses its config; give another with --config",
            format!("{path}: {message}"),
        ),
        error => ("it does not check its config", error.to_string()),
    };
    Finding::failure(message).detail(detail)
}

/// A call failed that should not have.
pub(super) fn call_failed(method: &str, error: &CallError) -> Finding {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let text = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string));
    Finding::failure(format!("{method}: {}", text.collect::<Vec<_>>().join(": ")))
}

/// Adds a text of several lines, a detail each.
pub(super) fn lines(finding: Finding, text: impl Display) -> Finding {
    let text = text.to_string();
    text.lines()
        .fold(finding, |finding, line| finding.detail(line.trim()))
}

//! A module changes in steps: open, configure, start, probe; then another generation takes over, and the one before ends. Until
//! the last step has passed, the one before serves.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config, Origins};
use crate::engine::Retired;
use crate::modules::{Configured, Limits, Refusal, Running};
use crate::operations::prepare::{accept, refused};
use crate::operations::{Accepted, Changed, Inner, Loaded, NotDone, Shunned, Step, Version, What, watch};
use crate::problems::Problems;

/// How long calls into a generation that routes no more may take to end.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a generation has to shut down.
pub(super) const SHUTDOWN: Duration = Duration::from_secs(5);

impl Inner {
    /// Starts a module that is new.
    pub(super) async fn begin(&self, accepted: Accepted, origins: &Origins) -> Result<(), NotDone> {
        let (version, running) = self.start(accepted, Some(origins)).await?;
        self.engine
            .attach(&version.module.name, &version.fingerprint, running);
        self.loaded.write().push(Loaded::of(version));
        Ok(())
    }

    pub(super) async fn reload(self: &Arc<Self>, name: &str) -> Result<Changed, NotDone> {
        self.find(name)?;
        let (config, origins) = self.read_config().await?;
        self.reload_from(&config, &origins, name).await
    }

    /// The same, with a config that has been read.
    pub(super) async fn reload_from(
        self: &Arc<Self>,
        config: &Config,
        origins: &Origins,
        name: &str,
    ) -> Result<Changed, NotDone> {
        let before = self.find(name)?;
        let accepted = self.accept(config, origins, name).await?;
        let (now, running) = self.start(accepted, Some(origins)).await?;
        self.probe(&now, Some(origins), &running).await?;
        let retired = self.take_over(&now, running).await?;
        self.replace(name, |loaded| {
            loaded.before = Some(std::mem::replace(&mut loaded.now, now.clone()));
            loaded.shunned = None;
            loaded.is_watched = now.module.automatic_rollback.is_some();
        });
        watch::begin(self, &now);
        Ok(self.end(What::Reloaded, Some(&now), &before, retired).await)
    }

    pub(super) async fn roll_back(self: &Arc<Self>, name: &str) -> Result<Changed, NotDone> {
        let before = self.find(name)?;
        let target = {
            let loaded = self.loaded.read();
            let found = loaded.iter().find(|loaded| loaded.name() == name);
            found.and_then(|loaded| loaded.before.clone())
        };
        let Some(target) = target else {
            return Err(NotDone::at(
                Step::Find,
                Problems::other(format!(
                    "there is no generation of the module `{name}` before the one that serves: nothing was swapped since \
                     the start, or it was rolled back already"
                )),
            ));
        };
        let (opened, config) = (target.opened.clone(), target.module.config.clone());
        let configured = blocking(move || Configured::new(opened, &config)).await;
        let configured = configured.map_err(|error| {
            let refusal = Refusal::from(error).of(&target.identity().path);
            NotDone::at(Step::Configure, refused(None, &target.key, &refusal))
        })?;
        let accepted = Accepted {
            key: target.key.clone(),
            module: target.module.clone(),
            configured,
        };
        let (now, running) = self.start(accepted, None).await?;
        self.probe(&now, None, &running).await?;
        let retired = self.take_over(&now, running).await?;
        self.replace(name, |loaded| {
            let from = std::mem::replace(&mut loaded.now, now.clone());
            loaded.before = None;
            loaded.shunned = Some(Shunned {
                sha256: from.identity().sha256,
                module: from.module,
            });
            loaded.is_watched = false;
        });
        Ok(self.end(What::RolledBack, Some(&now), &before, retired).await)
    }

    pub(super) async fn load(self: &Arc<Self>, name: &str) -> Result<Changed, NotDone> {
        let (config, origins) = self.read_config().await?;
        self.load_from(&config, &origins, name).await
    }

    /// The same, with a config that has been read.
    pub(super) async fn load_from(
        self: &Arc<Self>,
        config: &Config,
        origins: &Origins,
        name: &str,
    ) -> Result<Changed, NotDone> {
        if self.find(name).is_ok() {
            return Err(NotDone::at(
                Step::Find,
                Problems::other(format!(
                    "the module `{name}` is loaded already; `modules reload {name}` takes its file and its config anew"
                )),
            ));
        }
        let accepted = self.accept(config, origins, name).await?;
        let (now, running) = self.start(accepted, Some(origins)).await?;
        self.probe(&now, Some(origins), &running).await?;
        self.engine.attach(name, &now.fingerprint, running);
        let changed = Changed {
            name: name.to_owned(),
            what: What::Loaded,
            now: Some(now.identity().clone()),
            before: None,
            before_has_ended: true,
        };
        self.loaded.write().push(Loaded::of(now));
        log(&changed);
        Ok(changed)
    }

    pub(super) async fn unload(self: &Arc<Self>, name: &str) -> Result<Changed, NotDone> {
        let before = self.find(name)?;
        let Some(retired) = self.engine.detach(name) else {
            return Err(self.not_loaded(name));
        };
        self.loaded.write().retain(|loaded| loaded.name() != name);
        Ok(self.end(What::Unloaded, None, &before, retired).await)
    }

    /// What serves under a name.
    fn find(&self, name: &str) -> Result<Version, NotDone> {
        let loaded = self.loaded.read();
        let found = loaded.iter().find(|loaded| loaded.name() == name);
        found
            .map(|loaded| loaded.now.clone())
            .ok_or_else(|| self.not_loaded(name))
    }

    fn not_loaded(&self, name: &str) -> NotDone {
        let loaded = self.loaded.read();
        let names: Vec<_> = loaded
            .iter()
            .map(|loaded| format!("`{}`", loaded.name()))
            .collect();
        let there_are = if names.is_empty() {
            "none is".to_owned()
        } else {
            format!("loaded: {}", names.join(", "))
        };
        NotDone::at(
            Step::Find,
            Problems::other(format!("no module `{name}` is loaded ({there_are})")),
        )
    }

    /// Reads the config files.
    pub(super) async fn read_config(&self) -> Result<(Config, Origins), NotDone> {
        let files = self.files.clone();
        let read = blocking(move || config::load(&files)).await;
        read.map_err(|errors| NotDone::at(Step::Config, errors))
    }

    /// Opens what a config names, and has it check its config.
    async fn accept(
        self: &Arc<Self>,
        config: &Config,
        origins: &Origins,
        name: &str,
    ) -> Result<Accepted, NotDone> {
        let found = config.all_modules().find(|(_, module)| module.name == name);
        let Some((key, module)) = found else {
            let names: Vec<_> = config
                .all_modules()
                .map(|(_, module)| format!("`{}`", module.name))
                .collect();
            let there_are = if names.is_empty() {
                "it names none".to_owned()
            } else {
                format!("it names {}", names.join(", "))
            };
            return Err(NotDone::at(
                Step::Config,
                Problems::other(format!("the config names no module `{name}` ({there_are})")),
            ));
        };
        let (inner, config, origins, module) =
            (Arc::clone(self), config.clone(), origins.clone(), module.clone());
        blocking(move || accept(&inner.loader, &config, &origins, &key, &module)).await
    }

    async fn start(
        &self,
        accepted: Accepted,
        origins: Option<&Origins>,
    ) -> Result<(Version, Running), NotDone> {
        let fingerprint = accepted.fingerprint();
        let Accepted {
            key,
            module,
            configured,
        } = accepted;
        let opened = configured.opened().clone();
        let name = Arc::from(module.name.as_str());
        let started = Running::start(configured, name, self.facts.clone(), Limits::from(&module)).await;
        let running = started.map_err(|error| {
            let refusal = Refusal::from(error).of(&opened.identity().path);
            NotDone::at(Step::Start, refused(origins, &key, &refusal))
        })?;
        let version = Version {
            key,
            module,
            opened,
            fingerprint,
        };
        Ok((version, running))
    }

    /// Has an instance answer a few calls. One that does not is ended.
    async fn probe(
        &self,
        version: &Version,
        origins: Option<&Origins>,
        running: &Running,
    ) -> Result<(), NotDone> {
        let Err(error) = self.engine.probe(running).await else {
            return Ok(());
        };
        running.shutdown(SHUTDOWN).await;
        let refusal = Refusal::from(error).of(&version.identity().path);
        Err(NotDone::at(Step::Probe, refused(origins, &version.key, &refusal)))
    }

    async fn take_over(&self, version: &Version, running: Running) -> Result<Retired, NotDone> {
        let name = &version.module.name;
        match self.engine.take_over(name, &version.fingerprint, running) {
            Ok(retired) => Ok(retired),
            Err(running) => {
                running.shutdown(SHUTDOWN).await;
                Err(self.not_loaded(name))
            }
        }
    }

    /// Notes a change of what is loaded under a name.
    fn replace(&self, name: &str, change: impl FnOnce(&mut Loaded)) {
        let mut loaded = self.loaded.write();
        if let Some(loaded) = loaded.iter_mut().find(|loaded| loaded.name() == name) {
            change(loaded);
        }
    }

    /// Ends the generation that routes no more.
    async fn end(&self, what: What, now: Option<&Version>, before: &Version, retired: Retired) -> Changed {
        let changed = Changed {
            name: before.module.name.clone(),
            what,
            now: now.map(|now| now.identity().clone()),
            before: Some(before.identity().clone()),
            before_has_ended: retired.end(DRAIN, SHUTDOWN).await,
        };
        log(&changed);
        changed
    }
}

impl Loaded {
    fn of(now: Version) -> Self {
        Self {
            now,
            before: None,
            shunned: None,
            is_watched: false,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.now.module.name
    }
}

fn log(changed: &Changed) {
    let generation = |identity: &Option<_>| {
        identity
            .as_ref()
            .map(|identity: &crate::modules::Identity| identity.generation)
    };
    let (module, now, before) = (
        &*changed.name,
        generation(&changed.now),
        generation(&changed.before),
    );
    match changed.what {
        What::Loaded => tracing::info!(module, generation = now, "loaded"),
        What::Reloaded => tracing::info!(
            module,
            generation = now,
            before,
            "another generation has taken over"
        ),
        What::RolledBack => tracing::info!(module, generation = now, before, "rolled back"),
        What::Unloaded => tracing::info!(module, generation = before, "unloaded"),
    }
    if !changed.before_has_ended {
        tracing::warn!(
            module,
            generation = before,
            "the generation before did not end in time, and is left behind"
        );
    }
}

/// Runs what reads files or waits for a library on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is ending, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

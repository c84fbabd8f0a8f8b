//! Asks the registry again and again, and keeps the set of services that receive everything.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use presence_router_api::{ApiError, Audience, Gauge, HttpError, ModuleApi, UserId};

use crate::answer::Answer;
use crate::config::Config;
use crate::outcome::{Failed, Outcome, Polls};
use crate::services::{MAX_SERVICES, Services};

/// The key under which the services are stored.
const STORED: &str = "services";

/// Who receives everything. Both routing methods answer from one of these.
#[derive(Debug)]
pub(crate) struct Recipients {
    pub(crate) users: HashSet<UserId>,
    pub(crate) audience: Audience,
}

/// The registry, and the newest that is known of it.
#[derive(Debug)]
pub(crate) struct Registry {
    api: ModuleApi,
    config: Config,
    polls: Polls,
    size: Gauge,
    /// Nothing before there was a service.
    recipients: RwLock<Option<Arc<Recipients>>>,
    /// What is remembered from one poll to the next.
    memory: Mutex<Memory>,
    is_polling: AtomicBool,
}

#[derive(Debug, Default)]
struct Memory {
    services: Services,
    /// How the last poll ended: a change is logged.
    last: Option<Outcome>,
    /// Services that are to receive who is online, and have not been announced to the host yet.
    newcomers: BTreeSet<UserId>,
    /// What the host failed to do the last time: said once each.
    failing: BTreeSet<&'static str>,
}

impl Registry {
    /// Asks at once, and then at each interval, until the instance is shut down.
    pub(crate) fn start(config: Config, api: &ModuleApi) -> Result<Arc<Self>, ApiError> {
        let interval = config.interval;
        let registry = Arc::new(Self {
            polls: Polls::new(api)?,
            size: api.gauge("services", "How many service users receive every update.")?,
            api: api.clone(),
            config,
            recipients: RwLock::default(),
            memory: Mutex::default(),
            is_polling: AtomicBool::new(false),
        });
        registry.size.set(0.0);
        let first = Arc::clone(&registry);
        api.spawn(async move {
            if let Some(_polling) = Polling::begin(&first.is_polling) {
                first.restore().await;
                first.poll().await;
            }
        })?;
        let every = Arc::clone(&registry);
        api.looping_background_call(interval, move || {
            let registry = Arc::clone(&every);
            async move {
                // The first poll may take longer than the interval.
                if let Some(_polling) = Polling::begin(&registry.is_polling) {
                    registry.poll().await;
                }
            }
        })?;
        Ok(registry)
    }

    pub(crate) fn recipients(&self) -> Option<Arc<Recipients>> {
        let recipients = self.recipients.read().unwrap_or_else(PoisonError::into_inner);
        recipients.clone()
    }

    pub(crate) fn is_blacklisted(&self, user: &str) -> bool {
        self.config.blacklisted_users.contains(user)
    }

    /// The services of the life before serve until the registry has answered.
    async fn restore(&self) {
        match self.api.storage().get(STORED).await {
            Ok(None) => self.recovered("storage"),
            Ok(Some(stored)) => {
                self.recovered("storage");
                if let Some(services) = Services::decode(&stored, &self.config.url, self.api.now()) {
                    log::info!("{} services are known from before", services.users().len());
                    self.take(services);
                    self.announce().await;
                }
            }
            Err(error) => self.note_failure("storage", "services of before cannot be read", &error),
        }
    }

    async fn poll(&self) {
        let outcome = match self.ask().await {
            Ok(services) => {
                self.note_outcome(Outcome::Ok, "");
                let stored = services.encode(&self.config.url);
                self.take(services);
                // Announced first: a storage that is slow keeps no service waiting.
                self.announce().await;
                match self.api.storage().put(STORED, stored).await {
                    Ok(()) => self.recovered("storage"),
                    Err(error) => self.note_failure("storage", "services cannot be stored", &error),
                }
                Outcome::Ok
            }
            // The instance ends: that is no poll that failed.
            Err(None) => return,
            Err(Some(Failed { outcome, reason })) => {
                self.note_outcome(outcome, &reason);
                let mut services = self.memory().services.clone();
                services.expire(self.api.now());
                self.take(services);
                self.announce().await;
                outcome
            }
        };
        self.polls.count(outcome);
    }

    /// The services that the registry lists; `None` of an error when the instance has been shut down.
    async fn ask(&self) -> Result<Services, Option<Failed>> {
        let mut request = self.api.http().get(&self.config.url).timeout(self.config.timeout);
        for (name, value) in &self.config.headers {
            request = request.header(name, value.reveal());
        }
        let failed = |error: HttpError| match error {
            HttpError::ShutDown => None,
            error => Some(Failed::from(error)),
        };
        let response = request.send().await.map_err(failed)?;
        let response = response.error_for_status().map_err(failed)?;
        let answer: Answer = response.json().map_err(failed)?;
        let count = answer.0.len();
        if count > MAX_SERVICES {
            let reason = format!("the answer lists {count} services, {MAX_SERVICES} are allowed");
            return Err(Some(Failed::bad_answer(reason)));
        }
        Ok(Services::listed(answer, self.config.ttl, self.api.now()))
    }

    /// From now on, these services receive everything; if the host keeps no list of them, those of before.
    fn take(&self, services: Services) {
        let before = self.recipients();
        let users: HashSet<UserId> = services.users().cloned().collect();
        let nobody = HashSet::new();
        let known = before.as_ref().map_or(&nobody, |recipients| &recipients.users);
        self.memory().services = services;
        if users == *known {
            return;
        }
        let audience = match self.api.register_audience(users.iter().cloned()) {
            Ok(audience) => audience,
            Err(error) => return self.note_failure("audience", "services stay as they were", &error),
        };
        self.recovered("audience");
        let newcomers: Vec<UserId> = users.difference(known).cloned().collect();
        let (count, come, gone) = (users.len(), newcomers.len(), known.difference(&users).count());
        #[expect(
            clippy::cast_precision_loss,
            reason = "there are at most some thousand services"
        )]
        self.size.set(count as f64);
        {
            let mut memory = self.memory();
            memory.newcomers.retain(|user| users.contains(user));
            memory.newcomers.extend(newcomers);
        }
        let recipients = Some(Arc::new(Recipients { users, audience }));
        *self.recipients.write().unwrap_or_else(PoisonError::into_inner) = recipients;
        // Said when it is so.
        log::info!("{count} services receive every update: {come} have come, {gone} have gone");
    }

    /// Has services that have come receive who is online. Those whom the host does not take are tried again.
    async fn announce(&self) {
        let newcomers = std::mem::take(&mut self.memory().newcomers);
        if newcomers.is_empty() {
            return;
        }
        let sent = self.api.send_local_online_presence_to(newcomers.iter().cloned());
        match sent.await {
            Ok(()) => self.recovered("presence"),
            Err(error) => {
                self.note_failure(
                    "presence",
                    "new services do not receive yet who is online",
                    &error,
                );
                self.memory().newcomers.extend(newcomers);
            }
        }
    }

    /// Logs how a poll ended, when the one before ended otherwise.
    fn note_outcome(&self, outcome: Outcome, reason: &str) {
        let last = self.memory().last.replace(outcome);
        match (last, outcome) {
            (None | Some(Outcome::Ok), Outcome::Ok) => {}
            (Some(_), Outcome::Ok) => log::info!("the registry answers again"),
            (last, _) if last == Some(outcome) => {}
            _ => log::warn!(
                "the registry gave no list of services; those last listed are kept until they expire: {reason}"
            ),
        }
    }

    fn note_failure(&self, what: &'static str, consequence: &str, error: &ApiError) {
        if *error != ApiError::ShutDown && self.memory().failing.insert(what) {
            log::warn!("{consequence}; tried again at each poll: {error}");
        }
    }

    fn recovered(&self, what: &'static str) {
        if self.memory().failing.remove(what) {
            log::info!("the {what} of the host can be used again");
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, no other poll begins. Ends with a poll that panics, too.
struct Polling<'a>(&'a AtomicBool);

impl<'a> Polling<'a> {
    fn begin(is_polling: &'a AtomicBool) -> Option<Self> {
        let was_polling = is_polling.swap(true, Ordering::AcqRel);
        (!was_polling).then_some(Self(is_polling))
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

//! `run`: serves until it is told to stop.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::{Configured, Format, Outcome, federation, loader, log};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, Origins};
use crate::directory::StaticSource;
use crate::engine::{Engine, ROUTE_PACE, Setup};
use crate::http::admin::AdminSocket;
use crate::http::{self, Bound, Services};
use crate::metrics::Exposition;
use crate::modules::{HostFacts, Identity};
use crate::operations::{self, Operations, accept_all};
use crate::problems::Problems;
use crate::storage::{Location, Restored, Storage};

/// Where the config names the database.
const DATABASE_KEY: &str = "database.args.database";
/// What the admin socket serves, as the lines on stdout say it.
const ADMIN: &str = "admin";
/// How long a module may take to shut down.
const MODULE_SHUTDOWN: Duration = Duration::from_secs(5);

/// A line on stdout.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Module(&'a Identity),
    Listening { address: String, resources: Vec<String> },
    Ready,
}

pub(super) fn run(arguments: &Configured) -> Outcome {
    let (config, origins) = config::load(&arguments.config)?;
    log::start(&config.log)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(config.worker_threads.get())
        .enable_all()
        .build()
        .context("no threads can be started")?;
    let outcome = runtime.block_on(serve(arguments, &config, &origins));
    // What is still running has had its deadline.
    runtime.shutdown_background();
    outcome
}

async fn serve(arguments: &Configured, config: &Config, origins: &Origins) -> Outcome {
    let format = arguments.output.format;
    let mut signals = Signals::listen()?;
    // First: what fetches its handles before counts nothing.
    let metrics = Exposition::install(SystemClock.now_ms()).context("metrics cannot be recorded")?;
    tokio::spawn(metrics.clone().keep_up());
    // Told of at the start, not when the first server is called.
    let others = federation::identity(config, origins)?;
    let others = others
        .map(|identity| federation::client(config, identity))
        .transpose()?;
    let loader = loader()?;
    let accepted = accept_all(&loader, config, origins)?;
    let directory = Arc::new(StaticSource::new(&config.directory));
    let engine = Engine::start(Setup {
        clock: Arc::new(SystemClock),
        server_name: config.server_name.clone(),
        source: Arc::<StaticSource>::clone(&directory),
        presence: config.presence.clone(),
        excluded_rooms: config.exclude_rooms_from_presence.iter().cloned().collect(),
        storage: open_storage(&config.database, origins)?,
        rc_presence: config.rc_presence,
        route_pace: ROUTE_PACE,
    });
    if others.is_none() {
        engine.send_nothing();
    }
    let operations = Operations::new(operations::Setup {
        files: arguments.config.clone(),
        config: config.clone(),
        loader,
        engine: engine.clone(),
        directory,
        facts: facts(config, &engine),
    });
    // Bound before anything is said: a line on stdout is true.
    let started = async {
        let identities = operations.start(accepted, origins).await?;
        let bound = http::bind(&config.listeners).await.map_err(anyhow::Error::new)?;
        let admin = match &config.admin_socket {
            Some(path) => Some(AdminSocket::bind(path).await.map_err(anyhow::Error::new)?),
            None => None,
        };
        Ok::<_, Problems>((identities, bound, admin))
    };
    let (identities, bound, admin) = match started.await {
        Ok(started) => started,
        Err(problems) => {
            engine.shutdown(MODULE_SHUTDOWN).await;
            return Err(problems);
        }
    };
    tell(format, &identities, &bound, admin.as_ref());
    // Once the modules are there: what is sent may be theirs.
    let federation = match others {
        Some((identity, client)) => {
            let (federation, sender) = federation::begin(config, &engine, identity, client);
            operations.sends_by(sender);
            Some(federation)
        }
        None => None,
    };
    let (stopping, listeners) = (CancellationToken::new(), TaskTracker::new());
    for listener in bound {
        let services = Services {
            engine: engine.clone(),
            metrics: metrics.clone(),
            federation: federation.clone(),
        };
        listeners.spawn(listener.serve(services, stopping.clone()));
    }
    if let Some(socket) = admin {
        listeners.spawn(socket.serve(operations.clone(), listeners.clone(), stopping.clone()));
    }
    listeners.close();
    say(format, &Event::Ready);

    let name = loop {
        match signals.next().await {
            Asked::Reload => operations.reload_config().await,
            Asked::Stop(name) => break name,
        }
    };
    tracing::info!("{name}: letting running requests end");
    stopping.cancel();
    let drained = async {
        listeners.wait().await;
        engine.shutdown(MODULE_SHUTDOWN).await;
    };
    tokio::select! {
        () = drained => {
            tracing::info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        name = signals.stop() => Err(Problems::other(format!("a second {name}: stopped at once"))),
    }
}

fn open_storage(database: &config::Database, origins: &Origins) -> Result<(Storage, Restored), Problems> {
    let location = match database {
        config::Database::Memory => Location::Memory,
        config::Database::File(path) => Location::File(path.clone()),
    };
    Storage::open(&location).map_err(|error| {
        let place = origins.locate(DATABASE_KEY);
        let place = place.map(|origin| format!(" ({origin})")).unwrap_or_default();
        let error = anyhow::Error::new(error);
        Problems::other(format!("{DATABASE_KEY}{place}: {error:#}"))
    })
}

/// What the server is to its modules.
fn facts(config: &Config, engine: &Engine) -> HostFacts {
    HostFacts {
        server_name: Arc::from(config.server_name.as_str()),
        clock: Arc::new(SystemClock),
        timers: Handle::current(),
        services: engine.services(),
        http: Arc::new(config.outgoing.clone()),
        worker_name: None,
    }
}

/// Says what was loaded, and where requests are taken.
fn tell(format: Format, identities: &[Identity], bound: &[Bound], admin: Option<&AdminSocket>) {
    for identity in identities {
        say(format, &Event::Module(identity));
    }
    let listening = |address, resources| Event::Listening { address, resources };
    for listener in bound {
        let resources = listener.resources().iter().map(ToString::to_string).collect();
        say(format, &listening(listener.to_string(), resources));
    }
    if let Some(socket) = admin {
        say(format, &listening(socket.to_string(), vec![ADMIN.to_owned()]));
    }
}

fn say(format: Format, event: &Event<'_>) {
    let line = match (format, event) {
        (Format::Json, event) => serde_json::to_string(event).unwrap_or_default(),
        (Format::Text, Event::Module(identity)) => format!("module {identity}"),
        (Format::Text, Event::Listening { address, resources }) => {
            format!("listening on {address} ({})", resources.join(", "))
        }
        (Format::Text, Event::Ready) => "ready".to_owned(),
    };
    // Whoever read this may have gone; the server goes on.
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// SIGTERM and SIGINT, which stop the server, and SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
enum Asked {
    Stop(&'static str),
    Reload,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Asked::Stop("SIGINT"),
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// The next one that stops; a SIGHUP comes too late.
    async fn stop(&mut self) -> &'static str {
        loop {
            if let Asked::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}

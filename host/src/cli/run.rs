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

use crate::cli::modules::Accepted;
use crate::cli::problem::Problems;
use crate::cli::{Configured, Format, Outcome, log, modules};
use crate::clock::SystemClock;
use crate::config::{self, Config, Origins};
use crate::directory::StaticSource;
use crate::engine::{Engine, Setup};
use crate::http;
use crate::modules::{HostFacts, Identity, Loader, Refusal, Running};
use crate::storage::{Location, Storage};

/// How long a module may take to shut down.
const MODULE_SHUTDOWN: Duration = Duration::from_secs(5);

/// A line on stdout.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event<'a> {
    Module(&'a Identity),
    Listening {
        address: String,
        resources: &'a [config::Resource],
    },
    Ready,
}

pub(super) fn run(arguments: &Configured) -> Outcome {
    let (config, origins) = config::load(&arguments.config)?;
    log::start(&config.log)?;
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads can be started")?;
    let outcome = runtime.block_on(serve(arguments.output.format, &config, &origins));
    // What is still running has had its deadline.
    runtime.shutdown_background();
    outcome
}

async fn serve(format: Format, config: &Config, origins: &Origins) -> Outcome {
    let mut stop = StopSignals::listen()?;
    let loader = modules::loader()?;
    let modules = start_modules(&loader, config, origins).await?;
    // Bound before anything is said: a line on stdout is true.
    let bound = match http::bind(&config.listeners).await {
        Ok(bound) => bound,
        Err(error) => {
            shut_down(&modules).await;
            return Err(anyhow::Error::new(error).into());
        }
    };
    for module in &modules {
        say(format, &Event::Module(module.identity()));
    }
    for listener in &bound {
        let resources: Vec<_> = listener.resources().iter().copied().collect();
        say(
            format,
            &Event::Listening {
                address: listener.to_string(),
                resources: &resources,
            },
        );
    }
    let engine = Engine::start(Setup {
        clock: Arc::new(SystemClock),
        server_name: config.server_name.clone(),
        source: Arc::new(StaticSource::new(&config.directory)),
        presence: config.presence.clone(),
        excluded_rooms: Vec::new(),
        storage: Storage::open(&Location::Memory).context("x")?,
    });
    for module in modules {
        engine.attach(&module.identity().name.clone(), "", module);
    }
    let (stopping, listeners) = (CancellationToken::new(), TaskTracker::new());
    for listener in bound {
        listeners.spawn(listener.serve(engine.clone(), stopping.clone()));
    }
    listeners.close();
    say(format, &Event::Ready);

    let name = stop.next().await;
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
        name = stop.next() => Err(Problems::other(format!("a second {name}: stopped at once"))),
    }
}

/// Starts all modules in order, once each has accepted its config. When one does not start, none is left running.
async fn start_modules(
    loader: &Loader,
    config: &Config,
    origins: &Origins,
) -> Result<Vec<Running>, Problems> {
    let accepted = modules::configure(loader, config, origins)?;
    let mut running = Vec::with_capacity(accepted.len());
    for Accepted {
        key,
        module,
        configured,
    } in accepted
    {
        let facts =
            HostFacts::without_services(&config.server_name, Arc::new(SystemClock), Handle::current());
        let file = configured.identity().path.clone();
        match Running::start(
            configured,
            Arc::from(module.name.as_str()),
            facts,
            module.call_timeout,
        )
        .await
        {
            Ok(started) => running.push(started),
            Err(error) => {
                shut_down(&running).await;
                return Err(modules::refused(origins, &key, &Refusal::from(error).of(&file)));
            }
        }
    }
    Ok(running)
}

async fn shut_down(modules: &[Running]) {
    for module in modules {
        module.shutdown(MODULE_SHUTDOWN).await;
    }
}

fn say(format: Format, event: &Event<'_>) {
    let line = match (format, event) {
        (Format::Json, event) => serde_json::to_string(event).unwrap_or_default(),
        (Format::Text, Event::Module(identity)) => format!("module {identity}"),
        (Format::Text, Event::Listening { address, resources }) => {
            let names: Vec<_> = resources.iter().map(ToString::to_string).collect();
            format!("listening on {address} ({})", names.join(", "))
        }
        (Format::Text, Event::Ready) => "ready".to_owned(),
    };
    // Whoever read this may have gone; the server goes on.
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

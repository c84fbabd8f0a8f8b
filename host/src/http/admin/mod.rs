//! The operator's API: looks at a running server and changes its modules. JSON over a Unix socket of its own, which only the
//! server's user and root may use; it knows no other authentication, and no browser.
//!
//! Owns its paths, and what its answers and errors look like; `cli` reads them by the same types. What is done, and whether,
//! is up to the operations.

mod error;
mod socket;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use presence_router_api::{SDK_VERSION, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::engine::Explanation;
use crate::http::front::{Browsers, Front};
use crate::http::routes::Routes;
use crate::operations::{Changed, DestinationStatus, ModuleStatus, NotDone, Operations};

pub use crate::http::admin::error::Refused;
pub use crate::http::admin::socket::AdminSocket;

use crate::http::admin::error::{AdminError, panicked};

/// How many operations and explanations may run, or wait for their turn, at once.
const MAX_AT_ONCE: usize = 16;

/// `GET /modules`: the modules, in the order of the config.
pub const MODULES: &str = "/modules";
/// `GET /explain?from=..&to=..`: why one sees the other's presence, or why not.
pub const EXPLAIN: &str = "/explain";
/// `GET /destinations`: how other homeservers are reached, by name.
pub const DESTINATIONS: &str = "/destinations";
/// `GET /version`: which server this is.
const VERSION: &str = "/version";

/// What `POST /modules/{name}/{operation}` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Loads a module that the config names.
    Load,
    /// Replaces it by its file and its config as they are now.
    Reload,
    /// Replaces it by the generation before.
    Rollback,
    /// Ends it.
    Unload,
}

/// As the path has it.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Load => "load",
            Self::Reload => "reload",
            Self::Rollback => "rollback",
            Self::Unload => "unload",
        })
    }
}

/// The answer to `GET /modules`.
#[derive(Debug, Serialize, Deserialize)]
pub struct ModuleList {
    /// In the order of the config.
    pub modules: Vec<ModuleStatus>,
}

/// The answer to `GET /destinations`.
#[derive(Debug, Serialize, Deserialize)]
pub struct DestinationList {
    /// By name.
    pub destinations: Vec<DestinationStatus>,
}

/// The answer to `GET /version`.
#[derive(Debug, Serialize)]
struct Server {
    name: &'static str,
    version: &'static str,
    /// The version of the contract with modules.
    api: &'static str,
}

/// What is asked of a running server.
pub trait Operate: Clone + Send + Sync + 'static {
    /// The modules, in the order of the config.
    fn modules(&self) -> Vec<ModuleStatus>;

    /// How other homeservers are reached, by name; nothing where there is no federation.
    fn destinations(&self) -> Option<Vec<DestinationStatus>>;

    /// Changes a module.
    fn operate(
        &self,
        operation: Operation,
        name: &str,
    ) -> impl Future<Output = Result<Changed, NotDone>> + Send;

    /// Why `to` sees the presence of `from`, or why not.
    fn explain(&self, from: &UserId, to: &UserId) -> impl Future<Output = Explanation> + Send;
}

impl Operate for Operations {
    fn modules(&self) -> Vec<ModuleStatus> {
        Self::modules(self)
    }

    fn destinations(&self) -> Option<Vec<DestinationStatus>> {
        Self::destinations(self)
    }

    async fn operate(&self, operation: Operation, name: &str) -> Result<Changed, NotDone> {
        match operation {
            Operation::Load => self.load(name).await,
            Operation::Reload => self.reload(name).await,
            Operation::Rollback => self.roll_back(name).await,
            Operation::Unload => self.unload(name).await,
        }
    }

    async fn explain(&self, from: &UserId, to: &UserId) -> Explanation {
        self.engine().explain(from, to).await
    }
}

/// What the handlers work with.
#[derive(Clone)]
struct Admin<O> {
    operations: O,
    /// Operations run here, so that one goes on when its client goes.
    tasks: TaskTracker,
    places: Arc<Semaphore>,
}

impl<O: Operate> Admin<O> {
    fn place(&self) -> Result<OwnedSemaphorePermit, AdminError> {
        let places = Arc::clone(&self.places);
        places.try_acquire_owned().map_err(|_| AdminError::Busy)
    }

    fn module(&self, name: &str) -> Result<ModuleStatus, AdminError> {
        let mut modules = self.operations.modules();
        match modules.iter().position(|module| module.name == name) {
            Some(place) => Ok(modules.swap_remove(place)),
            None => Err(AdminError::NoSuchModule {
                name: name.to_owned(),
                loaded: modules.into_iter().map(|module| module.name).collect(),
            }),
        }
    }
}

/// The routes. Operations run among `tasks`: whoever stops the server waits for these.
fn routes<O: Operate>(operations: O, tasks: TaskTracker) -> Front {
    let admin = Admin {
        operations,
        tasks,
        places: Arc::new(Semaphore::new(MAX_AT_ONCE)),
    };
    let module = format!("{MODULES}/{{name}}");
    let routes = Routes::new()
        .route(MODULES, get(list::<O>))
        .route(&module, get(one::<O>))
        .route(&format!("{module}/{{operation}}"), post(operate::<O>))
        .route(EXPLAIN, get(explain::<O>))
        .route(DESTINATIONS, get(destinations::<O>))
        .route(VERSION, get(version))
        .with_state(admin)
        .or_else(
            async || AdminError::UnknownEndpoint,
            async || AdminError::MethodNotAllowed,
        );
    dress(routes)
}

/// For who may not use the socket.
fn refusal() -> Front {
    dress(Routes::new().or_else(async || AdminError::Forbidden, async || AdminError::Forbidden))
}

/// Adds what is the same for every route.
fn dress(routes: Routes) -> Front {
    Front::of(routes, Browsers::Unknown, panicked)
}

async fn list<O: Operate>(State(admin): State<Admin<O>>) -> Json<ModuleList> {
    Json(ModuleList {
        modules: admin.operations.modules(),
    })
}

async fn one<O: Operate>(
    State(admin): State<Admin<O>>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<ModuleStatus>, AdminError> {
    let Path(name) = name.map_err(|_| AdminError::UnknownEndpoint)?;
    admin.module(&name).map(Json)
}

async fn operate<O: Operate>(
    State(admin): State<Admin<O>>,
    path: Result<Path<(String, Operation)>, PathRejection>,
) -> Result<Json<Changed>, AdminError> {
    let Path((name, operation)) = path.map_err(|_| AdminError::UnknownEndpoint)?;
    let place = admin.place()?;
    let operating = {
        let (operations, name) = (admin.operations.clone(), name.clone());
        admin.tasks.spawn(async move {
            let done = operations.operate(operation, &name).await;
            drop(place);
            done
        })
    };
    match operating.await {
        Ok(Ok(changed)) => Ok(Json(changed)),
        Ok(Err(not_done)) => {
            let serving = admin.module(&name).ok().map(|serving| Box::new(serving.library));
            Err(AdminError::NotDone(not_done, serving))
        }
        // It panicked, and the log has said so.
        Err(_) => Err(AdminError::Internal),
    }
}

/// The query of `GET /explain`.
#[derive(Debug, Deserialize)]
struct Between {
    from: Option<String>,
    to: Option<String>,
}

async fn explain<O: Operate>(
    State(admin): State<Admin<O>>,
    between: Result<Query<Between>, QueryRejection>,
) -> Result<Json<Explanation>, AdminError> {
    let Query(Between { from, to }) =
        between.map_err(|rejection| AdminError::BadQuery(rejection.body_text()))?;
    let (from, to) = (user("from", from)?, user("to", to)?);
    let _place = admin.place()?;
    Ok(Json(admin.operations.explain(&from, &to).await))
}

async fn destinations<O: Operate>(
    State(admin): State<Admin<O>>,
) -> Result<Json<DestinationList>, AdminError> {
    let destinations = admin.operations.destinations();
    let destinations = destinations.ok_or(AdminError::NoFederation)?;
    Ok(Json(DestinationList { destinations }))
}

fn user(key: &str, value: Option<String>) -> Result<UserId, AdminError> {
    let value = value.ok_or_else(|| {
        AdminError::BadQuery(format!(
            "`{key}` is missing; give a user id such as @alice:example.org"
        ))
    })?;
    UserId::parse(value).map_err(|error| AdminError::BadQuery(format!("`{key}`: {error}")))
}

async fn version() -> Json<Server> {
    Json(Server {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        api: SDK_VERSION,
    })
}

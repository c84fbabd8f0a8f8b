//! The router that is measured, `broadcast`: linked into the benchmark, and opened as the server opens it. It looks each
//! update up in a hash set.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use broadcast::PresenceRouterLibrary;
use presence_router::clock::SystemClock;
use presence_router::modules::{
    Configured, HostFacts, Identity, Limits, Loader, Opened, Running, Signers, Source, Trust,
};
use presence_router::sha256::Sha256;
use presence_router_api::__private::root_module;
use presence_router_api::UserId;
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// How many users are on the list in which each update is looked up.
const BLACKLISTED: usize = 1_000;
/// Far beyond what a call takes on a machine that does other things too.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The module, linked statically.
pub(crate) fn linked() -> Opened {
    let identity = Identity {
        name: "broadcast".to_owned(),
        version: "linked".to_owned(),
        router: "Broadcast".to_owned(),
        generation: 0,
        sha256: Sha256::of(b""),
        path: PathBuf::from("broadcast"),
    };
    Opened::linked(identity, root_module::<PresenceRouterLibrary>())
}

/// The module, built by cargo in the profile of this benchmark and opened by the server's loader. The loader is to be
/// kept, for it owns the copy that is open.
pub(crate) fn opened() -> (Loader, Opened) {
    let loader = Loader::new().expect("a directory for copies can be made");
    let source = Source {
        module: build().display().to_string(),
        base_dir: PathBuf::from("."),
        module_path: Vec::new(),
        trust: Trust::Anyone,
        pinned: None,
        signed_by: Signers::Anyone,
    };
    let opened = loader.open(&source).unwrap_or_else(|refusal| panic!("{refusal}"));
    (loader, opened)
}

/// Starts an instance that sends everything to these users.
pub(crate) async fn start(opened: &Opened, always_send_to: &[UserId]) -> Running {
    let facts = HostFacts::without_services("example.org", Arc::new(SystemClock), Handle::current());
    let limits = Limits {
        call_timeout: CALL_TIMEOUT,
        crash_budget: None,
    };
    let configured = Configured::new(opened.clone(), &config(always_send_to)).expect("the config is valid");
    let name = Arc::from("broadcast");
    let running = Running::start(configured, name, facts, limits).await;
    running.expect("the module starts")
}

fn config(always_send_to: &[UserId]) -> Value {
    let always: Vec<_> = always_send_to.iter().map(UserId::as_str).collect();
    let blacklisted: Vec<_> = (0..BLACKLISTED)
        .map(|number| format!("@hidden{number}:example.org"))
        .collect();
    json!({ "always_send_to_users": always, "blacklisted_users": blacklisted })
}

/// Where cargo put this benchmark: it is `deps/NAME` in the directory of a profile there.
fn target_dir() -> PathBuf {
    let program = std::env::current_exe().expect("a program has a path");
    let target = program.ancestors().nth(3);
    target
        .expect("cargo builds below its target directory")
        .to_owned()
}

/// Has cargo build the library, which takes a moment when it is there.
fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "-p", "presence-router-broadcast"])
        .args(["--message-format", "json-render-diagnostics"])
        .arg("--target-dir")
        .arg(target_dir())
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.output().expect("cargo can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed:\n{said}");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut built = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "broadcast")
        .filter_map(|message| message["filenames"].as_array().cloned())
        .flatten()
        .filter_map(|file| Some(PathBuf::from(file.as_str()?)));
    let library = built.find(|file| file.extension().is_some_and(|end| end == "so"));
    library.expect("cargo says where it put the library")
}

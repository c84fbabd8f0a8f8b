//! A real client: matrix-nio, from `PyPI`, in a virtual environment below the target directory.
//!
//! Without Python the test is skipped, and says so loudly; where `CI=true` it then fails.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use presence_router_tests::process::Process;
use presence_router_tests::{Config, GOBBLER, Host, artifacts, id_of, python};
use serde_json::json;

const NIO: &str = "matrix-nio==0.26.0";

/// The script's own deadline is shorter.
const SCRIPT_DEADLINE: Duration = Duration::from_mins(1);

#[test]
fn matrix_nio_sets_presence_and_receives_it_by_its_callbacks() {
    let Some(python) = python_with_nio() else {
        return;
    };
    let module_config = json!({"always_send_to_users": [GOBBLER]});
    let host = Host::start(&Config::neighbours().module(artifacts::broadcast(), module_config));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("it/nio_client.py");
    let mut command = Command::new(python);
    command.arg(script).arg(&host.listeners()[0].address);
    let output = Process::start(command).wait(SCRIPT_DEADLINE);
    let saw = output.expect_code(0).json();

    let alice = id_of("alice");
    assert_eq!(saw["whoami"], json!(alice));
    assert_eq!(saw["got"], "unavailable");
    let online = json!([alice, "online", "hello from nio"]);
    for reader in ["bob", "presence_gobbler"] {
        let events = saw["seen"][reader]
            .as_array()
            .expect("what a reader saw is a list");
        assert!(events.contains(&online), "{reader} saw {events:?}");
    }
    assert_eq!(
        saw["seen"]["carol"],
        json!([]),
        "carol shares no room and is not routed to"
    );
    host.terminate().expect_code(0);
}

/// The Python of an environment that has nio; made when it is not there.
fn python_with_nio() -> Option<PathBuf> {
    python::with("matrix-nio", NIO).map_or_else(|why| skip(&why), Some)
}

fn skip(why: &str) -> Option<PathBuf> {
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "in CI this test must not be skipped: {why}"
    );
    let message = format!(
        "
*** SKIPPED: the test with a real client, matrix-nio: {why}
\
         *** Install Python 3 with its module venv (Debian: apt install python3-venv) to run it.

"
    );
    // Not by `eprintln!`, as the test harness keeps what a passing test prints with it to itself.
    let _ = std::io::stderr().write_all(message.as_bytes());
    None
}

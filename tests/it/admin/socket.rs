//! Who may use the admin socket, and what the commands say when they cannot.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use presence_router_tests::cli::run_cli;
use presence_router_tests::process::{Output, Process};
use presence_router_tests::{Admin, Config, Host, PATIENCE, artifacts};
use rustix::process::geteuid;
use serde_json::json;

/// A user that is neither root nor, in all likelihood, whoever runs the tests.
const NOBODY: u32 = 65_534;

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_server() {
    let mut host = Host::start(&Config::neighbours().admin());
    let admin = Admin::of(&host);
    let mode = fs::metadata(admin.socket()).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let told = host.listeners().last().expect("listeners are told");
    assert_eq!(told.address, format!("unix:{}", admin.socket().display()));
    assert_eq!(told.resources, ["admin"]);
    let (status, version) = admin.ask("GET", "/version");
    assert_eq!((status, &version["name"]), (200, &json!("presence-router")));
    // Nothing of it is on the listeners that others reach.
    let answer = host
        .client()
        .send(&presence_router_tests::Request::new("GET", "/modules"));
    assert_eq!(answer.status, 404);

    host.kill();
    let stale = admin.run(&["modules", "list"]);
    stale.expect_refusal(&["nobody listens on it; the server is not running"]);
    host.start_again();
    let empty = admin.run(&["modules", "list"]);
    assert_eq!(empty.expect_code(0).stdout, "no module is loaded");
    host.stop();
    let gone = admin.run(&["modules", "list", "--format", "json"]);
    gone.expect_refusal(&["there is no such socket", "is the server running"]);
    assert_eq!(gone.json()["ok"], json!(false));
}

#[test]
fn without_the_key_there_is_no_socket() {
    let host = Host::start(&Config::neighbours());
    assert_eq!(host.listeners().len(), 1);
    assert!(!Admin::of(&host).socket().exists());
}

#[test]
fn a_socket_in_use_is_a_reason_not_to_start() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = Config::empty().admin().write_into(directory.path());
    let _other = UnixListener::bind(directory.path().join("admin.sock")).expect("bound");
    let output = run_cli(["run".as_ref(), "-c".as_ref(), file.as_os_str()]);
    output.expect_stderr(&["admin.sock: a process listens on it already"]);
    output.expect_code(1);
}

#[test]
fn commands_want_to_know_which_server() {
    for arguments in [
        &["modules", "list"][..],
        &["modules", "list", "-c", "a.yaml", "--socket", "a.sock"],
        &["modules", "reload", "--socket", "a.sock"],
        &[
            "explain",
            "--from",
            "alice",
            "--to",
            "@bob:example.org",
            "--socket",
            "a.sock",
        ],
    ] {
        run_cli(arguments).expect_code(2);
    }
}

/// Runs `modules list` as another user.
fn list_as_nobody(program: &Path, socket: &Path) -> Output {
    let mut command = Command::new(program);
    command.args(["modules", "list", "--socket"]).arg(socket);
    Process::start({
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
        command
    })
    .wait(PATIENCE)
}

#[test]
fn another_user_is_refused_even_when_the_mode_lets_them_in() {
    if !geteuid().is_root() {
        eprintln!("only root can be another user: not tested here");
        return;
    }
    let host = Host::start(&Config::neighbours().admin());
    let admin = Admin::of(&host);
    // Where another user can reach both.
    fs::set_permissions(host.directory(), Permissions::from_mode(0o711)).expect("set");
    let program = host.directory().join("presence-router");
    fs::copy(artifacts::host(), &program).expect("copied");
    fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("set");

    let denied = list_as_nobody(&program, admin.socket());
    denied.expect_refusal(&["this user may not use it", "as the server's user or as root"]);
    fs::set_permissions(admin.socket(), Permissions::from_mode(0o666)).expect("set");
    let refused = list_as_nobody(&program, admin.socket());
    refused.expect_refusal(&["only the server's own user and root may use the admin socket"]);
    admin.run(&["modules", "list"]).expect_code(0);
    let log = host.log().text();
    assert!(log.contains("refused a connection of another user"), "{log}");
    assert!(log.contains("uid=65534"), "{log}");
}

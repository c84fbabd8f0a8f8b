//! Tests of the search for a module's file.

use std::os::unix::net::UnixListener;
use std::process::Command;

use insta::assert_snapshot;

use super::*;
use crate::modules::refusal::Refusal;

/// A directory with two directories of modules in it; what `module` finds there, or the refusal.
fn check(module: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    fs::create_dir_all(at("first/libdir.so")).unwrap();
    fs::create_dir_all(at("second/pair")).unwrap();
    for file in [
        "liblocal.so",
        "first/both.so",
        "second/libboth.so",
        "second/libonly.so",
        "second/pair.so",
        "second/a.b.so",
    ] {
        fs::write(at(file), "").unwrap();
    }
    assert!(
        Command::new("mkfifo")
            .arg(at("fifo.so"))
            .status()
            .unwrap()
            .success()
    );
    let _socket = UnixListener::bind(at("socket.so")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling.so")).unwrap();
    std::os::unix::fs::symlink("/dev/null", at("null.so")).unwrap();

    let found = Located::find(module, root.path(), &[PathBuf::from("first"), at("second")]);
    let text = match found {
        Ok(located) => format!("{} router={:?}", located.path().display(), located.router()),
        Err(error) => Refusal::from(error).to_string(),
    };
    text.replace(&root.path().display().to_string(), "DIR")
}

#[test]
fn a_path_is_relative_to_the_config() {
    assert_snapshot!(check("./liblocal.so"), @"DIR/liblocal.so router=None");
    assert_snapshot!(check("second/../liblocal.so"), @"DIR/second/../liblocal.so router=None");
    assert_snapshot!(check("./liblocal"), @"DIR/liblocal.so router=None");
}

#[test]
fn a_name_is_searched_directory_by_directory() {
    assert_snapshot!(check("both"), @"DIR/first/both.so router=None");
    assert_snapshot!(check("only"), @"DIR/second/libonly.so router=None");
    assert_snapshot!(check("libonly.so"), @"DIR/second/libonly.so router=None");
}

#[test]
fn the_last_dot_picks_a_router_when_the_whole_is_not_found() {
    assert_snapshot!(check("only.RouterA"), @r#"DIR/second/libonly.so router=Some("RouterA")"#);
    assert_snapshot!(check("./liblocal.so.RouterA"), @r#"DIR/liblocal.so router=Some("RouterA")"#);
    assert_snapshot!(check("./liblocal.RouterA"), @r#"DIR/liblocal.so router=Some("RouterA")"#);
    assert_snapshot!(check("./second/pair.Left"), @r#"DIR/second/pair.so router=Some("Left")"#);
    assert_snapshot!(check("a.b"), @"DIR/second/a.b.so router=None");
    assert_snapshot!(check("a.b.C"), @r#"DIR/second/a.b.so router=Some("C")"#);
}

#[test]
fn what_is_not_found_lists_every_path() {
    assert_snapshot!(check("absent"), @r"
    module `absent` not found; tried DIR/first/libabsent.so, DIR/first/absent.so, DIR/second/libabsent.so, DIR/second/absent.so
      change: the operator of this server
      fix:    add the directory of libabsent.so to `module_path`, or build it: cargo build --release
    ");
    assert_snapshot!(check("absent.Router"), @r"
    module `absent.Router` not found; tried DIR/first/libabsent.Router.so, DIR/first/absent.Router.so, DIR/second/libabsent.Router.so, DIR/second/absent.Router.so, DIR/first/libabsent.so, DIR/first/absent.so, DIR/second/libabsent.so, DIR/second/absent.so
      change: the operator of this server
      fix:    add the directory of libabsent.so to `module_path`, or build it: cargo build --release
    ");
    assert_snapshot!(check("two-words"), @r"
    module `two-words` not found; tried DIR/first/libtwo-words.so, DIR/first/two-words.so, DIR/second/libtwo-words.so, DIR/second/two-words.so
      change: the operator of this server
      fix:    cargo names a library with underscores: write `module: two_words`, or add its directory to `module_path`
    ");
    assert_snapshot!(check("./absent.so"), @r"
    module `./absent.so` not found; tried DIR/absent.so
      change: the operator of this server
      fix:    correct `module:`, or build the module there: cargo build --release
    ");
    assert_snapshot!(check("./liblocal.so/x.so"), @r"
    module `./liblocal.so/x.so` not found; tried DIR/liblocal.so/x.so
      change: the operator of this server
      fix:    correct `module:`, or build the module there: cargo build --release
    ");
    assert_snapshot!(check("./dangling.so"), @r"
    module `./dangling.so` not found; tried DIR/dangling.so
      change: the operator of this server
      fix:    correct `module:`, or build the module there: cargo build --release
    ");
    assert_snapshot!(check(".."), @r"
    module `..` not found; tried DIR/first/lib...so, DIR/first/...so, DIR/second/lib...so, DIR/second/...so
      change: the operator of this server
      fix:    add the directory of lib...so to `module_path`, or build it: cargo build --release
    ");
    assert_snapshot!(check(""), @r"
    `module` is empty
      change: the operator of this server
      fix:    set `module:` to a path (./libNAME.so) or to a name found in `module_path`
    ");
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    assert_snapshot!(check("dir"), @r"
    `DIR/first/libdir.so` is a directory, not a module
      change: the operator of this server
      fix:    name the file: `module: DIR/first/libdir.so/libNAME.so`, or add the directory to `module_path`
    ");
    assert_snapshot!(check("./first"), @r"
    `DIR/first` is a directory, not a module
      change: the operator of this server
      fix:    name the file: `module: DIR/first/libNAME.so`, or add the directory to `module_path`
    ");
    assert_snapshot!(check("./fifo.so"), @r"
    `DIR/fifo.so` is a pipe, not a regular file
      change: the operator of this server
      fix:    point `module:` at the .so file itself
    ");
    assert_snapshot!(check("./socket.so"), @r"
    `DIR/socket.so` is a socket, not a regular file
      change: the operator of this server
      fix:    point `module:` at the .so file itself
    ");
    assert_snapshot!(check("./null.so"), @r"
    `DIR/null.so` is a device, not a regular file
      change: the operator of this server
      fix:    point `module:` at the .so file itself
    ");
    assert_snapshot!(check("./nul\0.so"), @r"
    `DIR/nul�.so` cannot be read
      cause:  file name contained an unexpected NUL byte
      change: the operator of this server
      fix:    correct `module:`, or look after the disk
    ");
}

#[test]
fn a_name_without_a_module_path_says_what_to_add() {
    let error = Located::find("broadcast", Path::new("."), &[]).unwrap_err();
    assert_snapshot!(Refusal::from(error), @r"
    `broadcast` is a name, and `module_path` lists no directory to search it in
      change: the operator of this server
      fix:    add to the config: `module_path: [DIR]`, where DIR holds libbroadcast.so
    ");
}

#[test]
fn a_path_of_a_command_line_is_not_searched() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("libabsent.so");
    let refusal = Refusal::from(Located::at(&path).unwrap_err()).to_string();
    assert_snapshot!(refusal.replace(&root.path().display().to_string(), "DIR"), @r"
    `DIR/libabsent.so` not found
      change: the operator of this server
      fix:    correct the path, or build the module: cargo build --release
    ");
}

//! Tests of inspection: real modules, damaged ones, and ones of other kinds.
//! Over 400 lines because the text of every refusal stands in it.

use std::path::Path;

use insta::assert_snapshot;
use proptest::prelude::{ProptestConfig, Strategy, any, proptest};

use super::*;
use crate::modules::elf::HOST_MACHINE;
use crate::modules::fixture::{Bench, MANIFEST, Recipe, host, valid};
use crate::modules::locate::Located;
use crate::modules::refusal::Refusal;
use crate::modules::trust::Trust;

fn inspected(bench: &Bench, path: &Path) -> Result<Inspected, InspectError> {
    Inspected::new(bench.stage(path), &host(), &LibrarySearch::of_this_process())
}

fn fault_of(bytes: &[u8]) -> Option<Fault> {
    let bench = Bench::new();
    let staged = bench.stage_bytes(bytes);
    Inspected::new(staged, &host(), &LibrarySearch::of_this_process())
        .err()
        .map(|error| error.fault)
}

/// What a person reads about the file, with the directory's and the machine's names taken out.
fn refusal(bench: &Bench, path: &Path) -> String {
    match inspected(bench, path) {
        Ok(inspected) => format!("passed: {}", inspected.manifest().name),
        Err(error) => {
            let text = Refusal::from(error).to_string();
            assert!(text.lines().count() <= 5, "{text}");
            plain(bench, &text)
        }
    }
}

fn plain(bench: &Bench, text: &str) -> String {
    text.replace(&bench.dir.path().display().to_string(), "DIR")
        .replace(HOST_MACHINE, "MACHINE")
}

fn check_bytes(bytes: &[u8]) -> String {
    let bench = Bench::new();
    let path = bench.dir.path().join("libtiny.so");
    fs::write(&path, bytes).unwrap();
    refusal(&bench, &path)
}

fn check(recipe: &Recipe<'_>) -> String {
    let bench = Bench::new();
    let path = recipe.build(bench.dir.path());
    refusal(&bench, &path)
}

fn check_manifest(from: &str, to: &str) -> String {
    assert!(MANIFEST.contains(from));
    check(&Recipe {
        manifest: Some(&MANIFEST.replace(from, to)),
        ..Recipe::default()
    })
}

/// The valid module with `bytes` written at `offset`.
fn patched(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = valid().to_vec();
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
    file
}

#[test]
fn a_module_passes_and_is_described() {
    let bench = Bench::new();
    let inspected = Inspected::new(
        bench.stage_bytes(valid()),
        &host(),
        &LibrarySearch::of_this_process(),
    )
    .unwrap();
    assert!(inspected.report().is_ok(), "{}", inspected.report());
    assert_eq!(inspected.manifest().name, "tiny");
    let mut report = inspected.report().clone();
    assert!(
        report
            .needed
            .iter()
            .all(|library| library.resolution.path().is_some_and(Path::exists))
    );
    (report.size, report.sha256) = (7, crate::sha256::Sha256::of(b"content"));
    report.needed.truncate(1);
    report.needed[0].resolution = Resolution::Found("/lib/libgcc_s.so.1".into());
    for result in report
        .checks
        .iter_mut()
        .filter(|result| result.check == Check::Libraries)
    {
        result.detail = "1 found".into();
    }
    assert_snapshot!(plain(&bench, &report.to_string()), @r"
    file         DIR/libtiny.so
    size         7 bytes
    sha256       ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73
    machine      MACHINE
    crate type   cdylib
    module       tiny 1.2.3
    description  a fixture
    routers      Left, Right
    api          presence-router-api 0.1.0
    abi hash     0123456789abcdef
    rustc        rustc 1.95.0
    target       the-host-target
    panic        unwind
    needs        libgcc_s.so.1 => /lib/libgcc_s.so.1

    checks
      ok      machine         MACHINE
      ok      complete
      ok      shared library
      ok      manifest        tiny
      ok      target
      ok      api version
      ok      panic
      ok      root symbol
      ok      static tls
      ok      libraries       1 found
      ok      router          none asked for
    ");
    report.file = "libtiny.so".into();
    report.machine = Some("MACHINE");
    report.checks.truncate(1);
    report.checks[0].detail = "MACHINE".into();
    assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "file": "libtiny.so",
      "size": 7,
      "sha256": "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73",
      "machine": "MACHINE",
      "crate_type": "cdylib",
      "manifest": {
        "name": "tiny",
        "version": "1.2.3",
        "description": "a fixture",
        "routers": [
          "Left",
          "Right"
        ],
        "sdk_version": "0.1.0",
        "abi_hash": "0123456789abcdef",
        "rustc": "rustc 1.95.0",
        "target": "the-host-target",
        "panic": "unwind"
      },
      "needed": [
        {
          "name": "libgcc_s.so.1",
          "path": "/lib/libgcc_s.so.1"
        }
      ],
      "checks": [
        {
          "check": "machine",
          "verdict": "ok",
          "detail": "MACHINE"
        }
      ]
    }
    "#);
}

#[test]
fn a_broken_file_is_described_as_far_as_it_goes() {
    let report = |bytes: &[u8]| {
        let bench = Bench::new();
        let report = inspect(
            &bench.stage_bytes(bytes),
            &host(),
            &LibrarySearch::of_this_process(),
        );
        assert!(!report.is_ok());
        let text = report.to_string();
        plain(&bench, &text[text.find("checks").unwrap()..])
    };
    assert_snapshot!(report(b"hello"), @r"
    checks
      refused machine         a text file, not a shared library of Linux (ELF)
      skipped complete
      skipped shared library
      skipped manifest
      skipped target
      skipped api version
      skipped panic
      skipped root symbol
      skipped static tls
      skipped libraries
      skipped router
    ");
    assert_snapshot!(report(&valid()[..100]), @r"
    checks
      ok      machine         MACHINE
      refused complete        the file is cut short: the table of segments ends at byte 680, the file at 100
      skipped shared library
      skipped manifest
      skipped target
      skipped api version
      skipped panic
      skipped root symbol
      skipped static tls
      skipped libraries
      skipped router
    ");
    let bench = Bench::new();
    let strange = Recipe {
        manifest: Some("{}"),
        root_symbol: "other",
        ..Recipe::default()
    };
    assert_snapshot!(report(&fs::read(strange.build(bench.dir.path())).unwrap()), @r"
    checks
      ok      machine         MACHINE
      ok      complete
      ok      shared library
      refused manifest        what it says of itself, in its section `.presence_router`, cannot be read: it lacks the key `format`
      skipped target
      skipped api version
      skipped panic
      refused root symbol     does not export `_1as_0lib_1header_0root_bmodule_bloader`, the root module of abi_stable
      ok      static tls
      ok      libraries       3 found
      skipped router
    ");
}

#[test]
fn files_of_other_kinds_are_named() {
    assert_snapshot!(check_bytes(b""), @r"
    `DIR/libtiny.so`: the file is empty
      change: the operator of this server
      fix:    copy it again beside, then rename it: cp NEW.so DIR/x && mv DIR/x DIR/libNAME.so
    ");
    assert_snapshot!(check_bytes(b"presence: {}\n"), @r"
    `DIR/libtiny.so`: a text file, not a shared library of Linux (ELF)
      change: the operator of this server
      fix:    point `module:` at what `cargo build --release` makes: target/release/libNAME.so
    ");
    assert_snapshot!(check_bytes(b"#!/bin/sh\n"), @r"
    `DIR/libtiny.so`: a script, not a shared library of Linux (ELF)
      change: the operator of this server
      fix:    point `module:` at what `cargo build --release` makes: target/release/libNAME.so
    ");
    assert_snapshot!(check_bytes(b"\xcf\xfa\xed\xfe\x0c\0\0\x01"), @r"
    `DIR/libtiny.so`: a macOS library, not a shared library of Linux (ELF)
      change: the operator of this server
      fix:    point `module:` at what `cargo build --release` makes: target/release/libNAME.so
    ");
    assert_snapshot!(check_bytes(b"\x01\x02\x03\0"), @r"
    `DIR/libtiny.so`: a file of an unknown kind, not a shared library of Linux (ELF)
      change: the operator of this server
      fix:    point `module:` at what `cargo build --release` makes: target/release/libNAME.so
    ");
    assert_snapshot!(check_bytes(b"\x7fEL"), @r"
    `DIR/libtiny.so`: the file is cut short: the file header ends at byte 64, the file at 3
      change: the operator of this server
      fix:    copy it again beside, then rename it: cp NEW.so DIR/x && mv DIR/x DIR/libNAME.so
    ");
}

#[test]
fn libraries_for_other_machines_are_named() {
    assert_snapshot!(check_bytes(&patched(4, &[1])), @r"
    `DIR/libtiny.so`: built for MACHINE (32-bit, little-endian), this host runs on MACHINE
      change: the author of the module, or who builds it
      fix:    cargo build --release --target MACHINE-unknown-linux-gnu
    ");
    let reversed = if cfg!(target_endian = "little") { [2] } else { [1] };
    assert!(matches!(
        fault_of(&patched(5, &reversed)),
        Some(Fault::OtherMachine { .. })
    ));
    assert_snapshot!(check_bytes(&patched(18, &243_u16.to_ne_bytes())), @r"
    `DIR/libtiny.so`: built for riscv64 (64-bit, little-endian), this host runs on MACHINE
      change: the author of the module, or who builds it
      fix:    cargo build --release --target MACHINE-unknown-linux-gnu
    ");
    assert_snapshot!(check_bytes(&patched(18, &9999_u16.to_ne_bytes())), @r"
    `DIR/libtiny.so`: built for machine 9999 (64-bit, little-endian), this host runs on MACHINE
      change: the author of the module, or who builds it
      fix:    cargo build --release --target MACHINE-unknown-linux-gnu
    ");
}

#[test]
fn programs_and_object_files_are_no_libraries() {
    assert_snapshot!(check_bytes(&patched(16, &2_u16.to_ne_bytes())), @r#"
    `DIR/libtiny.so`: a program, not a shared library
      change: the author of the module, or who builds it
      fix:    in Cargo.toml: [lib] crate-type = ["cdylib"]; then cargo build --release
    "#);
    assert_snapshot!(check_bytes(&patched(16, &1_u16.to_ne_bytes())), @r#"
    `DIR/libtiny.so`: an unlinked object file, not a shared library
      change: the author of the module, or who builds it
      fix:    in Cargo.toml: [lib] crate-type = ["cdylib"]; then cargo build --release
    "#);
    let this_program = fs::read("/proc/self/exe").unwrap();
    assert!(matches!(
        fault_of(&this_program),
        Some(Fault::NotShared { found: "a program" })
    ));
}

#[test]
fn a_library_without_our_section_or_symbol_is_no_module() {
    assert_snapshot!(check(&Recipe { manifest: None, ..Recipe::default() }), @r"
    `DIR/libtiny.so`: no presence-router module: it has no section `.presence_router`
      change: the author of the module, or who builds it
      fix:    in lib.rs: presence_router_api::export_router!(YourRouter); then cargo build --release
    ");
    assert_snapshot!(check(&Recipe { root_symbol: "other", ..Recipe::default() }), @r"
    `DIR/libtiny.so`: does not export `_1as_0lib_1header_0root_bmodule_bloader`, the root module of abi_stable
      change: the author of the module, or who builds it
      fix:    in lib.rs: presence_router_api::export_router!(YourRouter); then cargo build --release
    ");
}

#[test]
fn what_the_manifest_says_must_suit() {
    assert_snapshot!(check_manifest(r#""format":1"#, r#""format":2"#), @r"
    `DIR/libtiny.so`: what it says of itself, in its section `.presence_router`, cannot be read
      cause:  it has format 2, this host reads format 1
      change: the operator of this server
      fix:    install a newer presence-router
    ");
    assert_snapshot!(check_manifest(r#","abi_hash":"0123456789abcdef""#, ""), @r"
    `DIR/libtiny.so`: what it says of itself, in its section `.presence_router`, cannot be read
      cause:  it lacks the key `abi_hash`
      change: the author of the module, or who builds it
      fix:    cargo update -p presence-router-api && cargo build --release
    ");
    assert_snapshot!(check_manifest("the-host-target", "another-target"), @r"
    `DIR/libtiny.so`: built for another-target, this host is built for the-host-target
      change: the author of the module, or who builds it
      fix:    cargo build --release --target the-host-target
    ");
    assert_snapshot!(check_manifest(r#""panic":"unwind""#, r#""panic":"abort""#), @r#"
    `DIR/libtiny.so`: built with panic = "abort": a panic in it would end the whole server
      change: the author of the module, or who builds it
      fix:    in Cargo.toml: [profile.release] panic = "unwind"; then cargo build --release
    "#);
    assert_snapshot!(check_manifest(r#""sdk_version":"0.1.0""#, r#""sdk_version":"0.0.9""#), @r"
    `DIR/libtiny.so`: built with presence-router-api 0.0.9, this host speaks 0.1.7
      change: the author of the module, or who builds it
      fix:    cargo add presence-router-api@0.1 && cargo build --release
    ");
    assert_snapshot!(check_manifest(r#""sdk_version":"0.1.0""#, r#""sdk_version":"0.2.0""#), @r"
    `DIR/libtiny.so`: built with presence-router-api 0.2.0, this host speaks 0.1.7
      change: the operator of this server
      fix:    install a presence-router that speaks 0.2
    ");
}

#[test]
fn versions_are_compatible_as_cargo_has_it() {
    let host = |text: &str| HostAbi {
        sdk_version: text.parse().unwrap(),
        target: String::new(),
    };
    let speaks = |host_version: &str, sdk: &str| host(host_version).speaks(&sdk.parse().unwrap());
    assert!(speaks("0.1.7", "0.1.0") && speaks("0.1.0", "0.1.7"));
    assert!(!speaks("0.1.0", "0.2.0") && !speaks("0.2.0", "0.1.0") && !speaks("1.0.0", "0.1.0"));
    assert!(speaks("1.2.0", "1.0.0") && speaks("1.0.0", "1.2.0") && !speaks("2.0.0", "1.0.0"));
}

#[test]
fn a_module_that_aborts_is_found_out_though_it_says_otherwise() {
    let aborts = Recipe {
        rustc: &["--crate-type=cdylib", "-Cpanic=abort"],
        ..Recipe::default()
    };
    assert_snapshot!(check(&aborts), @r#"
    `DIR/libtiny.so`: built with panic = "abort": a panic in it would end the whole server
      change: the author of the module, or who builds it
      fix:    in Cargo.toml: [profile.release] panic = "unwind"; then cargo build --release
    "#);
}

#[test]
fn a_dylib_is_told_from_a_cdylib() {
    let bench = Bench::new();
    let dylib = Recipe {
        rustc: &["--crate-type=dylib"],
        ..Recipe::default()
    }
    .build(bench.dir.path());
    let report = inspect(&bench.stage(&dylib), &host(), &LibrarySearch::of_this_process());
    assert_eq!(report.crate_type, Some(CrateType::Dylib));
}

#[test]
fn a_missing_standard_library_has_its_own_advice() {
    let shared = Recipe {
        rustc: &["--crate-type=cdylib", "-Cprefer-dynamic"],
        ..Recipe::default()
    };
    let bench = Bench::new();
    let staged = bench.stage(&shared.build(bench.dir.path()));
    let search = LibrarySearch::default();
    let error = Inspected::new(staged, &host(), &search).unwrap_err();
    assert_snapshot!(error.fix(), @"build without -C prefer-dynamic: cargo build --release");
}

#[test]
fn a_needed_library_must_be_found_from_the_copy() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    let needed = Recipe {
        body: "#[unsafe(no_mangle)] pub extern \"C\" fn from_afar() {}",
        ..Recipe::default()
    };
    fs::rename(needed.build(dir), dir.join("libneeded_by_tiny.so")).unwrap();
    let here = format!("-L{}", dir.display());
    let recipe = Recipe {
        body: "#[link(name = \"needed_by_tiny\")] unsafe extern \"C\" { fn from_afar(); }\n\
               #[unsafe(no_mangle)] pub extern \"C\" fn reach() { unsafe { from_afar() } }",
        rustc: &["--crate-type=cdylib", &here, "-Clink-arg=-Wl,-rpath,$ORIGIN"],
        ..Recipe::default()
    };
    let path = recipe.build(dir);
    assert_snapshot!(refusal(&bench, &path), @r"
    `DIR/libtiny.so`: needs libneeded_by_tiny.so from `DIR`, which is not searched: a module runs from a private copy elsewhere
      change: the operator of this server
      fix:    start with LD_LIBRARY_PATH=DIR, or link with -C link-arg=-Wl,-rpath,DIR
    ");
    fs::remove_file(dir.join("libneeded_by_tiny.so")).unwrap();
    assert_snapshot!(refusal(&bench, &path), @r"
    `DIR/libtiny.so`: needs libneeded_by_tiny.so, which this system does not have
      change: the operator of this server
      fix:    install their packages, or start with LD_LIBRARY_PATH=DIR, where DIR holds them
    ");
}

#[test]
fn static_thread_local_storage_is_refused() {
    let bench = Bench::new();
    let initial_exec = Recipe {
        // Position-independent code that reaches a thread-local of the C library by the initial-exec model.
        body: "#[cfg(target_arch = \"x86_64\")] std::arch::global_asm!(\".globl touch\", \"touch: mov errno@gottpoff(%rip), %rax\", \"ret\", options(att_syntax));\n\
               #[cfg(target_arch = \"x86_64\")] unsafe extern \"C\" { fn touch(); }\n\
               #[cfg(target_arch = \"x86_64\")] #[unsafe(no_mangle)] pub extern \"C\" fn reach() { unsafe { touch() } }",
        ..Recipe::default()
    };
    if cfg!(target_arch = "x86_64") {
        let path = initial_exec.build(bench.dir.path());
        assert_snapshot!(refusal(&bench, &path), @r"
        `DIR/libtiny.so`: uses static thread-local storage (DF_STATIC_TLS), which runs out when modules are reloaded
          change: the author of the module, or who builds it
          fix:    build without an allocator that uses it (jemalloc: feature disable_initial_exec_tls); then cargo build --release
        ");
    }
}

#[test]
fn the_router_asked_for_must_be_there() {
    let bench = Bench::new();
    fs::write(bench.dir.path().join("libtiny.so"), valid()).unwrap();
    let find = |module: &str| {
        let located = Located::find(module, bench.dir.path(), &[]).unwrap();
        let staged = bench.cache.stage(located, Trust::Anyone, None).unwrap();
        Inspected::new(staged, &host(), &LibrarySearch::of_this_process())
    };
    assert_eq!(find("./libtiny.Left").unwrap().staged().router(), Some("Left"));
    let error = find("./libtiny.so.Middle").unwrap_err();
    assert_snapshot!(plain(&bench, &Refusal::from(error).to_string()), @r"
    `DIR/libtiny.so`: has no router `Middle`, only Left, Right
      change: the operator of this server
      fix:    end `module:` in .Left
    ");
}

#[test]
fn inspection_runs_no_code_of_the_module() {
    let bench = Bench::new();
    let marker = bench.dir.path().join("ran");
    let body = format!(
        "extern \"C\" fn ran() {{ std::fs::write({marker:?}, \"\").unwrap() }}\n\
         #[used] #[unsafe(link_section = \".init_array\")] static RAN: extern \"C\" fn() = ran;"
    );
    let path = Recipe {
        body: &body,
        ..Recipe::default()
    }
    .build(bench.dir.path());
    assert!(inspected(&bench, &path).is_ok());
    assert!(!marker.exists());
}

#[test]
fn a_file_cut_short_anywhere_is_refused_as_such() {
    let whole = valid();
    for cut in (0..64)
        .map(|part| whole.len() * part / 64)
        .chain(0..80)
        .chain([whole.len() - 1])
    {
        let fault = fault_of(&whole[..cut]);
        let named = matches!(fault, Some(Fault::Truncated { .. }))
            || (cut == 0 && matches!(fault, Some(Fault::Empty)));
        assert!(named, "cut at {cut}: {fault:?}");
    }
    assert_snapshot!(check_bytes(&whole[..50]), @r"
    `DIR/libtiny.so`: the file is cut short: the file header ends at byte 64, the file at 50
      change: the operator of this server
      fix:    copy it again beside, then rename it: cp NEW.so DIR/x && mv DIR/x DIR/libNAME.so
    ");
}

/// Where a random byte tells most: in the headers, in the tables at the end, anywhere.
fn offsets() -> impl Strategy<Value = usize> {
    let size = valid().len();
    proptest::prop_oneof![0..1024_usize, (size - 3000)..size, 0..size]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_cut_at_random_is_refused(cut in 1..valid().len()) {
        assert!(matches!(fault_of(&valid()[..cut]), Some(Fault::Truncated { .. })), "cut at {cut}");
    }

    #[test]
    fn a_file_with_random_bytes_never_panics(
        changes in proptest::collection::vec((offsets(), any::<u8>()), 1..24)
    ) {
        let mut bytes = valid().to_vec();
        for (offset, byte) in changes {
            bytes[offset] = byte;
        }
        let _ = fault_of(&bytes);
    }
}

//! The panic hook of a library. It is the process's, so these tests run in processes of their own.

use std::process::Command;

use crate::export::guard::{guard, install_panic_hook};

const CHILD: &str = "PRESENCE_ROUTER_API_HOOK_TEST";

/// Runs `body` in a process of its own, where the hook is installed, and returns what it prints.
fn in_a_process(test: &str, body: fn()) -> Option<String> {
    if std::env::var_os(CHILD).is_some() {
        install_panic_hook(|text| println!("record: {text}"));
        body();
        return None;
    }
    let child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "--nocapture", test])
        .env(CHILD, "1")
        .output()
        .expect("this program starts");
    let (out, err) = (
        String::from_utf8_lossy(&child.stdout),
        String::from_utf8_lossy(&child.stderr),
    );
    assert!(child.status.success(), "{out}\n{err}");
    assert_eq!(err, "", "the hook is silent");
    let records = out.lines().filter_map(|line| line.split_once("record: "));
    Some(
        records
            .map(|(_, text)| check_place(text))
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

/// Replaces the place in a record by `HERE` when the line that it names has the panic's text.
fn check_place(record: &str) -> String {
    let Some((before, rest)) = record.split_once(&format!("{}:", file!())) else {
        return record.to_owned();
    };
    let mut rest = rest.splitn(3, ':');
    let line = rest.next().and_then(|line| line.parse().ok());
    let text = rest.nth(1).unwrap_or_default();
    let source = line.and_then(|line: usize| include_str!("hook.rs").lines().nth(line - 1));
    let panics = format!("panic!(\"{}\")", text.trim());
    if source.is_some_and(|source| source.contains(&panics)) {
        format!("{before}HERE:{text}")
    } else {
        format!("{record} (not there)")
    }
}

fn record(failure: Result<(), crate::abi::Failure>) {
    println!("record: {}", failure.expect_err("panicked").message);
}

struct GuardsInDrop;
impl Drop for GuardsInDrop {
    fn drop(&mut self) {
        record(guard("a drop", None, || panic!("in the drop")));
    }
}

#[test]
fn a_guarded_panic_is_told_with_its_place_and_not_printed() {
    let told = in_a_process(
        "export::tests::hook::a_guarded_panic_is_told_with_its_place_and_not_printed",
        || {
            record(guard("a method", None, || panic!("boom")));
            // Nested, and caught by the author: the place is that of the panic that reached the guard.
            record(guard("an outer method", None, || {
                record(guard("an inner method", None, || panic!("inner")));
                let _ = std::panic::catch_unwind(|| panic!("caught"));
                panic!("outer")
            }));
            // A drop that runs guards while a panic unwinds must not take its place away.
            record(guard("a method with a drop", None, || {
                let _guards = GuardsInDrop;
                panic!("unwinds")
            }));
            // Thrown on without the hook: no place is known, and none of before is told.
            record(guard("a method that throws", None, || {
                std::panic::resume_unwind(Box::new("thrown"))
            }));
        },
    );
    if let Some(told) = told {
        insta::assert_snapshot!(told, @r"
        panicked in a method at HERE: boom
        panicked in an inner method at HERE: inner
        panicked in an outer method at HERE: outer
        panicked in a drop at HERE: in the drop
        panicked in a method with a drop at HERE: unwinds
        panicked in a method that throws: thrown
        ");
    }
}

#[test]
fn a_panic_on_a_thread_of_the_module_is_a_record() {
    let told = in_a_process(
        "export::tests::hook::a_panic_on_a_thread_of_the_module_is_a_record",
        || {
            let thread = std::thread::Builder::new().name("own".to_owned());
            let ended = thread.spawn(|| panic!("boom")).expect("starts").join();
            assert!(ended.is_err());
        },
    );
    if let Some(told) = told {
        insta::assert_snapshot!(told, @r#"the module's own thread "own" panicked at HERE: boom"#);
    }
}

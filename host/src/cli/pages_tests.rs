//! The commands that the pages show are commands of this program.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::Arguments;

#[test]
fn the_pages_show_commands_that_there_are() {
    let mut wrong = Vec::new();
    let mut found = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page can be read");
        for command in commands(&text) {
            found += 1;
            if let Err(error) = Arguments::try_parse_from(command.split_whitespace()) {
                let reason = error.to_string();
                let reason = reason.lines().next().unwrap_or_default();
                wrong.push(format!("{}: `{command}`: {reason}", page.display()));
            }
        }
    }
    assert!(found > 30, "the commands are not found: only {found}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_where_they_stand() {
    let page = "\
presence-router is no command here, nor is `presence-router run`
```console
$ presence-router run -c a.yaml 2>log
presence-router in an output
$ cat log
```
```sh
presence-router check -c a.yaml     # starts nothing
```
```yaml
presence-router: no
```
";
    assert_eq!(
        commands(page),
        ["presence-router run -c a.yaml", "presence-router check -c a.yaml"]
    );
}

/// The commands of this program in a page's blocks of code: behind a prompt, or anywhere in a script.
fn commands(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block: Option<&str> = None;
    for line in page.lines() {
        let line = line.trim_start();
        if let Some(language) = line.strip_prefix("```") {
            block = block.is_none().then_some(language);
            continue;
        }
        let command = match block {
            Some("sh") => Some(line),
            Some("text" | "console") => line.strip_prefix("$ "),
            _ => None,
        };
        let ours = command.filter(|command| command.starts_with("presence-router "));
        found.extend(ours.map(|command| {
            let words = command.split_whitespace();
            let words = words.take_while(|word| *word != "#" && *word != "|");
            let words = words.filter(|word| !word.contains('>'));
            words.collect::<Vec<_>>().join(" ")
        }));
    }
    found
}

/// The pages that show commands.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("README.md")];
    for folder in ["docs", "docs/decisions", "host/src/cli/new/files"] {
        for entry in fs::read_dir(root.join(folder)).expect("the pages can be read") {
            let path = entry.expect("the pages can be read").path();
            let name = path.to_string_lossy();
            if name.ends_with(".md") || name.ends_with(".md.in") {
                pages.push(path);
            }
        }
    }
    pages
}

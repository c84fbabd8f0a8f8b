//! The pages of this repository: each link in them leads to a file and a heading that are there, and `docs/SUMMARY.md`
//! has every page of the book once.
//!
//! Reads the pages as text. Headings get the anchors that mdBook and GitHub give them. What lies on the network is not
//! looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

#[test]
fn every_link_leads_somewhere() {
    let pages: BTreeMap<PathBuf, String> = pages()
        .into_iter()
        .map(|page| (page.clone(), read(&page)))
        .collect();
    assert!(pages.len() > 30, "the pages are not found: {:?}", pages.keys());
    let anchors: BTreeMap<&Path, BTreeSet<String>> = pages
        .iter()
        .map(|(page, text)| (page.as_path(), anchors(text)))
        .collect();
    let mut dead = Vec::new();
    let mut followed = 0;
    for (page, text) in &pages {
        for (line, link) in links(text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            followed += 1;
            if let Err(reason) = follow(page, &link, &anchors) {
                dead.push(format!("{}:{line}: `{link}`: {reason}", page.display()));
            }
        }
    }
    assert!(followed > 200, "the links are not found: only {followed}");
    assert!(dead.is_empty(), "these links are dead:\n{}", dead.join("\n"));
}

#[test]
fn the_summary_has_every_page_once() {
    let mut listed: Vec<PathBuf> = links(&read(Path::new("docs/SUMMARY.md")))
        .into_iter()
        .map(|(_, link)| Path::new("docs").join(link))
        .collect();
    listed.sort();
    let is_of_the_book =
        |page: &PathBuf| page.starts_with("docs") && page.as_path() != Path::new("docs/SUMMARY.md");
    let mut there: Vec<PathBuf> = pages().into_iter().filter(is_of_the_book).collect();
    there.sort();
    assert_eq!(
        listed, there,
        "on the left is docs/SUMMARY.md, on the right what is in docs/"
    );
}

#[test]
fn links_and_anchors_are_read_as_mdbook_reads_them() {
    let page = "\
# A `title`, and more: *twice*
[one](a.md#b) and [`two`](c.rs), but not `[three](d.md)`.

```text
# no heading
[four](e.md)
```

## With [a link](f.md), `snake_case` 1.85
### Again
## Again
[five]: g.md
";
    let found = links(page);
    let found: Vec<_> = found.iter().map(|(line, link)| (*line, link.as_str())).collect();
    assert_eq!(found, [(2, "a.md#b"), (2, "c.rs"), (9, "f.md"), (12, "g.md")]);
    let anchors = anchors(page);
    let anchors: Vec<_> = anchors.iter().map(String::as_str).collect();
    assert_eq!(
        anchors,
        [
            "a-title-and-more-twice",
            "again",
            "again-1",
            "with-a-link-snake_case-185"
        ]
    );
}

/// Whether a link leads somewhere, and else why not.
fn follow(page: &Path, link: &str, anchors: &BTreeMap<&Path, BTreeSet<String>>) -> Result<(), String> {
    let (path, anchor) = link
        .split_once('#')
        .map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() {
        page.to_owned()
    } else {
        normal(&page.parent().expect("a page is in a directory").join(path))
            .ok_or("it leads out of the repository")?
    };
    if !root().join(&target).exists() {
        return Err(format!("there is no `{}`", target.display()));
    }
    match (anchor, anchors.get(target.as_path())) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(format!(
            "`{}` is no page, so it has no headings",
            target.display()
        )),
        (Some(anchor), Some(known)) if known.contains(anchor) => Ok(()),
        (Some(anchor), Some(_)) => Err(format!("`{}` has no heading for `#{anchor}`", target.display())),
    }
}

/// A path without `..` in it; nothing when it leads out of the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::ParentDir => drop(parts.pop()?),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.into_iter().collect())
}

// --- A page --------------------------------------------------------------------------------------

/// The lines of a page that are text, with their numbers: no blocks of code.
fn prose(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    page.lines().enumerate().filter_map(move |(index, line)| {
        let ticks = line.trim_start();
        let ticks = &ticks[..ticks.len() - ticks.trim_start_matches('`').len()];
        match fence {
            None if ticks.len() >= 3 => fence = Some(ticks),
            Some(open) if ticks.len() >= open.len() && line.trim().len() == ticks.len() => fence = None,
            None => return Some((index + 1, line)),
            Some(_) => {}
        }
        None
    })
}

/// Where the links of a page lead, with the number of the line.
fn links(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(page) {
        let line = without_code(line);
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        found.extend(definition.map(|(_, link)| (number, link.trim().to_owned())));
        for (at, _) in line.match_indices("](") {
            let target = line[at + 2..].split(')').next();
            found.extend(target.map(|target| (number, target.to_owned())));
        }
    }
    found
}

/// A line without what stands between backticks. A run of them ends at the next run of the same length.
fn without_code(line: &str) -> String {
    let (mut kept, mut rest) = (String::new(), line);
    while let Some(at) = rest.find('`') {
        kept.push_str(&rest[..at]);
        let after = rest[at..].trim_start_matches('`');
        let fence = &rest[at..rest.len() - after.len()];
        let end = after
            .match_indices(fence)
            .map(|(end, _)| end)
            .find(|end| !after[..*end].ends_with('`') && !after[end + fence.len()..].starts_with('`'));
        rest = end.map_or(after, |end| &after[end + fence.len()..]);
    }
    kept.push_str(rest);
    kept
}

/// The anchors of a page's headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, line) in prose(page) {
        let hashes = line.len() - line.trim_start_matches('#').len();
        let Some(heading) = line[hashes..]
            .strip_prefix(' ')
            .filter(|_| (1..=6).contains(&hashes))
        else {
            continue;
        };
        let name: String = without_links(heading.trim())
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let mut anchor = name.clone();
        let mut before = 0;
        while !found.insert(anchor) {
            before += 1;
            anchor = format!("{name}-{before}");
        }
    }
    found
}

/// A heading with the text of its links, without where they lead.
fn without_links(heading: &str) -> String {
    let mut parts = heading.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once(')').map_or("", |(_, after)| after));
    }
    text
}

// --- The repository ------------------------------------------------------------------------------

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file, by its path in the repository.
fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Every page, by its path in the repository. What builds have left is not looked at, nor what lies among sources: pages
/// are made of it, which are looked at.
fn pages() -> Vec<PathBuf> {
    let (mut found, mut directories) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root().join(&directory)).expect("the repository can be read") {
            let entry = entry.expect("the repository can be read");
            let name = entry.file_name().into_string().expect("names are text");
            let path = directory.join(&name);
            let is_passed_by = name == "target" || name == "src" || name.starts_with('.');
            if entry.file_type().expect("has a type").is_dir() {
                if !is_passed_by {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    found
}

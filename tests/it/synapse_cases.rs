//! `docs/synapse-cases.md` is true: each test that it names is there, and no case is without one or a reason.

use std::fs;
use std::path::{Path, PathBuf};

/// The columns of a row: the case, what it pins, and our test or the reason why there is none.
const COLUMNS: usize = 3;

#[test]
fn every_test_that_the_table_names_is_there() {
    let mut named = 0;
    for row in rows() {
        for reference in row.ours.split('`').skip(1).step_by(2) {
            let Some((file, name)) = reference.split_once("::") else {
                continue;
            };
            named += 1;
            let path = root().join(file);
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {file}: {error}", row.case));
            assert!(
                has_test(&text, file, name),
                "{}: {file} has no test {name:?}",
                row.case
            );
        }
    }
    assert!(named > 0, "no row names a test as `file::name`");
}

#[test]
fn every_case_has_a_test_or_a_reason() {
    for row in rows() {
        assert!(!row.pins.is_empty(), "{}: say what it pins", row.case);
        assert!(
            row.ours
                .chars()
                .filter(|character| character.is_alphabetic())
                .count()
                >= 4,
            "{}: name our test, or give the reason why there is none",
            row.case
        );
    }
}

/// A heading gives the number of its cases: `### Title (12)`. A row that gets lost is then noticed.
#[test]
fn every_section_has_as_many_cases_as_it_says() {
    let mut counted = 0;
    for section in page().split("\n### ").skip(1) {
        let heading = section.lines().next().unwrap_or_default();
        let said = heading
            .rsplit_once('(')
            .and_then(|(_, rest)| rest.strip_suffix(')'));
        let said: usize = said.and_then(|number| number.parse().ok()).unwrap_or_else(|| {
            panic!("the heading {heading:?} ends with the number of its cases in parentheses")
        });
        assert_eq!(rows_of(section).len(), said, "in the section {heading:?}");
        counted += said;
    }
    assert_eq!(rows().len(), counted, "a table stands outside of the sections");
}

struct Row {
    case: String,
    pins: String,
    ours: String,
}

fn has_test(text: &str, file: &str, name: &str) -> bool {
    let is_yaml = Path::new(file).extension().is_some_and(|ending| ending == "yaml");
    text.lines().any(|line| {
        let line = line.trim_start();
        if is_yaml {
            line.strip_prefix("- case: ")
                .or_else(|| line.strip_prefix("case: "))
                .is_some_and(|case| case.trim_matches('\'').replace("''", "'") == name)
        } else {
            let line = line.strip_prefix("async ").unwrap_or(line);
            line.strip_prefix("fn ")
                .and_then(|rest| rest.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with('('))
        }
    })
}

fn rows() -> Vec<Row> {
    rows_of(&page())
}

fn rows_of(text: &str) -> Vec<Row> {
    let cells = text
        .lines()
        .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let rows = cells.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    rows.filter(|cells| !cells[0].starts_with("---") && cells[0] != "case")
        .map(|cells| {
            assert_eq!(cells.len(), COLUMNS, "{cells:?}");
            let [case, pins, ours] = [0, 1, 2].map(|column| cells[column].to_owned());
            Row { case, pins, ours }
        })
        .collect()
}

fn page() -> String {
    let path = root().join("docs/synapse-cases.md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

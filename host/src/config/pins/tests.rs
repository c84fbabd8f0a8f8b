//! Tests of pinning: what changes in the texts, what does not, and what is left to do by hand.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::config::checks::load_texts;

/// A hash for each module, by the last digit of its name: `a1a1…` for `m1`.
fn hash_of(name: &str) -> Sha256 {
    [0xa0 | (name.bytes().next_back().unwrap_or_default() & 0xf); 32].into()
}

fn pins_of(config: &Config) -> Vec<Sha256> {
    let modules = config.all_modules();
    modules.map(|(_, module)| hash_of(&module.module)).collect()
}

fn pin_texts(files: &[(&str, &str)]) -> Result<Pinned, ConfigErrors> {
    let sources = files
        .iter()
        .map(|(file, text)| Source::new(PathBuf::from(file), (*text).to_owned()));
    let (config, _) = load_texts(files).unwrap_or_else(|errors| panic!("{errors}"));
    pin_sources(sources.collect(), &config, &pins_of(&config))
}

/// The lines that differ, or the errors; hashes shortened to two digits.
fn check_files(files: &[(&str, &str)]) -> String {
    let told = match pin_texts(files) {
        Ok(pinned) => {
            let told = pinned.files.iter().map(|edited| {
                let lines = edited.after.lines().enumerate();
                let new = lines.filter(|(_, line)| !edited.before.lines().any(|before| before == *line));
                let new: Vec<_> = new
                    .map(|(index, line)| format!("{}:{}|{line}", edited.file.display(), index + 1))
                    .collect();
                new.join("\n")
            });
            told.collect::<Vec<_>>().join("\n")
        }
        Err(errors) => errors.to_string(),
    };
    (1..4).fold(told, |told, number| {
        told.replace(&hash_of(&number.to_string()).to_string(), &format!("a{number}"))
    })
}

fn check(modules: &str) -> String {
    check_files(&[("h.yaml", &format!("server_name: a\n{modules}"))])
}

fn old() -> String {
    "AbCdEf00".repeat(8)
}

#[test]
fn a_pin_is_a_line_behind_the_module() {
    assert_snapshot!(check("presence:\n  presence_router:\n    module: m1 # ours\n    config: {}\n"), @r#"h.yaml:5|    sha256: "a1""#);
    assert_snapshot!(check("modules:\n- module: m1\n- name: x\n  module: m2\n-   'module' : m3"), @r#"
    h.yaml:4|  sha256: "a1"
    h.yaml:7|  sha256: "a2"
    h.yaml:9|    sha256: "a3"
    "#);
}

#[test]
fn a_pin_that_is_there_is_renewed_in_its_place() {
    let old = old();
    assert_snapshot!(check(&format!("modules:\n- module: m1\n  sha256: '{old}' # of May\n  name: a")), @"h.yaml:4|  sha256: 'a1' # of May");
    assert_snapshot!(check(&format!("modules: [{{module: m1, sha256: {old}}}, {{module: m2, name: b, sha256: \"{}\"}}]", "0".repeat(64))), @r#"h.yaml:2|modules: [{module: m1, sha256: a1}, {module: m2, name: b, sha256: "a2"}]"#);
    assert_snapshot!(check("modules:\n- module: m1\n  sha256:\n- module: m2\n  sha256: # later\n"), @r#"
    h.yaml:4|  sha256: "a1"
    h.yaml:6|  sha256: "a2" # later
    "#);
    assert_snapshot!(check(&format!("modules:\n- module: m1\n  sha256: '{}'", hash_of("m1"))), @"");
}

#[test]
fn mappings_in_braces_take_a_line_when_they_have_a_key_a_line() {
    assert_snapshot!(check_files(&[("h.json", "{\n  \"server_name\": \"a\",\n  \"modules\": [{\n    \"config\": {},\n    \"module\": \"m1\"\n  }]\n}\n")]), @r#"h.json:5|    "sha256": "a1","#);
    assert_snapshot!(check_files(&[("h.json", "{\"server_name\": \"a\", \"modules\": [{\n\t\"module\": \"m1\",\n\t\"config\": {}}]}")]), @r#"h.json:2|	"sha256": "a1","#);
}

#[test]
fn what_cannot_be_put_in_place_is_told_with_the_line_to_write() {
    assert_snapshot!(check("presence: {presence_router: {module: m1}}\nmodules:\n- {module: m2}\n- module: m3\n"), @r#"
    presence.presence_router.sha256: cannot be put in place without touching more than this line (braces, an alias, a value on several lines); write it by hand: sha256: "a1" (h.yaml:2)
    modules[0].sha256: cannot be put in place without touching more than this line (braces, an alias, a value on several lines); write it by hand: sha256: "a2" (h.yaml:4)
    "#);
    assert_snapshot!(check("modules:\n- module: >-\n    m1\n"), @r#"modules[0].sha256: cannot be put in place without touching more than this line (braces, an alias, a value on several lines); write it by hand: sha256: "a1" (h.yaml:3)"#);
    assert_snapshot!(check("modules:\n- module: m1\n  sha256: ~\n"), @r#"modules[0].sha256: cannot be put in place without touching more than this line (braces, an alias, a value on several lines); write it by hand: sha256: "a1" (h.yaml:4)"#);
    let old = old();
    assert_snapshot!(check(&format!("modules:\n- module: m1\n  sha256:\n    {old}\n")), @r#"modules[0].sha256: cannot be put in place without touching more than this line (braces, an alias, a value on several lines); write it by hand: sha256: "a1" (h.yaml:4)"#);
    assert_snapshot!(check(&format!("modules: [{{module: m1, sha256: {old}}}, {{module: m2, sha256: {old}}}]")), @r#"
    modules[0].sha256: cannot be put in place without touching more than this line (braces, an alias, a value on several lines); write it by hand: sha256: "a1" (h.yaml:2)
    modules[1].sha256: cannot be put in place without touching more than this line (braces, an alias, a value on several lines); write it by hand: sha256: "a2" (h.yaml:2)
    "#);
}

#[test]
fn what_an_alias_repeats_is_pinned_where_it_stands_once_when_it_is_one_library() {
    let base = |modules: &str| format!("modules:\n- &base\n  module: m1\n  config: {{}}\n{modules}");
    assert_snapshot!(check(&base("- <<: *base\n  name: other\n")), @r#"h.yaml:5|  sha256: "a1""#);
    assert_snapshot!(check(&base("- <<: *base\n  module: m2\n")), @r#"
    h.yaml:5|  sha256: "a1"
    h.yaml:9|  sha256: "a2"
    "#);
}

#[test]
fn a_pin_that_would_show_elsewhere_too_is_refused() {
    let modules = "modules:\n- &base\n  module: m1\n- module: m2\n  config: *base\n";
    assert_snapshot!(check(modules), @r#"modules[0].sha256: cannot be put in place without touching more than this line (braces, an alias, a value on several lines); write it by hand: sha256: "a1" (h.yaml:3)"#);
    let old = old();
    let modules = format!(
        "modules:\n- module: m2\n  config: {{a: &old {old}}}\n- {{module: m1, sha256: *old, config: {{b: {old}}}}}\n"
    );
    assert_snapshot!(check(&modules), @r#"modules[1].sha256: cannot be put in place without touching more than this line (braces, an alias, a value on several lines); write it by hand: sha256: "a1" (h.yaml:6)"#);
}

#[test]
fn a_pin_goes_into_the_file_that_names_the_module_or_has_its_pin() {
    let first = "server_name: a\npresence:\n  presence_router:\n    module: m1\n";
    let second = "presence:\n  presence_router:\n    call_timeout: 2s\n";
    assert_snapshot!(check_files(&[("1.yaml", first), ("2.yaml", second)]), @r#"1.yaml:5|    sha256: "a1""#);
    let pins = "presence:\n  presence_router:\n    sha256:\n";
    assert_snapshot!(check_files(&[("1.yaml", first), ("pins.yaml", pins)]), @r#"pins.yaml:3|    sha256: "a1""#);
    let lists = [
        "server_name: a\nmodules:\n- module: m1\n",
        "modules:\n- module: m2\n",
    ];
    assert_snapshot!(check_files(&[("1.yaml", lists[0]), ("2.yaml", lists[1])]), @r#"2.yaml:3|  sha256: "a2""#);
}

#[test]
fn line_ends_marks_and_the_last_line_stay_as_they_are() {
    let text = "\u{feff}server_name: a\r\nmodules:\r\n- module: m1\r\n  name: x";
    let pinned = pin_texts(&[("h.yaml", text)]).unwrap();
    let pin = format!("- module: m1\r\n  sha256: \"{}\"\r\n", hash_of("m1"));
    assert_eq!(pinned.files[0].after, text.replace("- module: m1\r\n", &pin));
    assert_eq!(pinned.files[0].before, text);
    let text = "server_name: a\nmodules:\n- module: m1";
    let pinned = pin_texts(&[("h.yaml", text)]).unwrap();
    assert_eq!(
        pinned.files[0].after,
        format!("{text}\n  sha256: \"{}\"", hash_of("m1"))
    );
    assert_eq!(
        pinned.pins[0].origin.as_ref().map(ToString::to_string),
        Some("h.yaml:4".to_owned())
    );
}

#[test]
fn a_config_that_is_not_what_was_read_is_not_touched() {
    let text = "server_name: a\nmodules:\n- module: m1\n";
    let (other, _) = load_texts(&[("h.yaml", &text.replace("m1", "m2"))]).unwrap();
    let refused = pin_sources(
        vec![Source::new("h.yaml".into(), text.to_owned())],
        &other,
        &pins_of(&other),
    );
    assert_snapshot!(refused.unwrap_err(), @"the config files changed while they were read; run the command again");
}

proptest! {
    /// However the modules are written: either each pin is in place and nothing else has changed, or all of it is refused.
    #[test]
    fn a_pin_is_right_or_refused(
        forms in prop::collection::vec(0..FORMS.len(), 1..5),
        comments in prop::collection::vec(prop::sample::select(vec!["", " # module: x", " # sha256: y"]), 5),
    ) {
        let mut text = "server_name: a\nmodules:\n".to_owned();
        for (number, form) in forms.iter().enumerate() {
            let form = FORMS[*form].replace("NUMBER", &number.to_string()).replace("OLD", &old());
            text += &form.replace("COMMENT", comments[number]);
        }
        let (before, _) = load_texts(&[("h.yaml", &text)]).unwrap();
        if let Ok(pinned) = pin_texts(&[("h.yaml", &text)]) {
            let after = pinned.files.first().map_or(&text, |edited| &edited.after);
            let (mut after, _) = load_texts(&[("h.yaml", after)]).unwrap();
            for (module, before) in after.modules.iter_mut().zip(&before.modules) {
                prop_assert_eq!(module.sha256.take(), Some(hash_of(&before.module)));
                module.sha256 = before.sha256;
            }
            prop_assert_eq!(after, before);
        } else {
            let left_to_do: [usize; 3] = [5, 6, 7];
            prop_assert!(forms.iter().any(|form| left_to_do.contains(form)), "{}", text);
        }
    }
}

/// Ways to write a module. The last three are refused.
const FORMS: [&str; 8] = [
    "- module: mNUMBERCOMMENT\n",
    "- name: nNUMBERCOMMENT\n  module: mNUMBER\n",
    "-\n  module: \"mNUMBER\"COMMENT\n  sha256: OLD\n",
    "- {module: mNUMBER, sha256: \"OLD\"}COMMENT\n",
    "- config:\n    module: x\n    sha256: y\n  module: mNUMBERCOMMENT\n  sha256:\n",
    "- {module: mNUMBER}COMMENT\n",
    "- module:\n    mNUMBERCOMMENT\n",
    "- module: 'm\n\n    NUMBER'\n  name: nNUMBER\n",
];

//! What the tests of all sections share: YAML in, config or error text out.

use std::path::PathBuf;

use crate::config::{Config, ConfigErrors, Origins, Parsed, parse, source::Source};

/// [`super::load`] without the disk.
pub(super) fn load_texts(files: &[(&str, &str)]) -> Result<(Config, Origins), ConfigErrors> {
    parse_texts(files)?.check()
}

/// The files, of which only the syntax has been checked.
pub(super) fn parse_texts(files: &[(&str, &str)]) -> Result<Parsed, ConfigErrors> {
    let sources: Vec<Source> = files
        .iter()
        .map(|(file, text)| Source::new(PathBuf::from(file), (*text).to_owned()))
        .collect();
    parse(&sources, Vec::new())
}

/// The errors of these files, or "fine".
pub(super) fn check_files(files: &[(&str, &str)]) -> String {
    load_texts(files).map_or_else(|errors| errors.to_string(), |_| "fine".to_owned())
}

/// The errors of this `homeserver.yaml`, or "fine".
pub(super) fn check(yaml: &str) -> String {
    check_files(&[("homeserver.yaml", yaml)])
}

/// What a `homeserver.yaml` without errors says.
pub(super) fn config(yaml: &str) -> Config {
    load_texts(&[("conf/homeserver.yaml", yaml)])
        .unwrap_or_else(|errors| panic!("{errors}"))
        .0
}

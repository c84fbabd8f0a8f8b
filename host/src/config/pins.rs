//! Puts `sha256` of modules into the texts of the config files, and changes nothing else in them.
//!
//! Each pin goes into the file that names the module, or that has its pin already. After each, all files are read
//! again: only when they say what they said before, and this pin, does it stay. So whatever YAML can do, with anchors,
//! merge keys or braces, a pin is right or is not put in place. Writes no file.

mod edit;

use std::path::PathBuf;

use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::origins::{Origin, Origins};
use crate::config::source::{self, Source};
use crate::config::{Config, Parsed, parse};
use crate::sha256::Sha256;

/// What the files are to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The files whose text differs, in the order in which they were given.
    pub files: Vec<Edited>,
    /// The pin of each module, in the order of [`Config::all_modules`].
    pub pins: Vec<Pin>,
}

/// A file whose text is to be another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The file, as its path was given.
    pub file: PathBuf,
    /// What is in it.
    pub before: String,
    /// What is to be in it.
    pub after: String,
}

/// The pin of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What is pinned now; `None` without a pin.
    pub before: Option<Sha256>,
    /// What is to be pinned.
    pub after: Sha256,
    /// Where it is to stand, once all pins are in place.
    pub origin: Option<Origin>,
}

/// Pins each module of `config`, which `files` say, to the hash in `wanted`, in the order of [`Config::all_modules`].
///
/// # Errors
/// A file cannot be read or says something else than `config`; or a pin cannot be put in place, with the line to write
/// by hand. Of those, all are told.
pub fn pin(files: &[PathBuf], config: &Config, wanted: &[Sha256]) -> Result<Pinned, ConfigErrors> {
    let sources: Vec<_> = files
        .iter()
        .map(|file| source::read(file))
        .collect::<Result<_, _>>()?;
    pin_sources(sources, config, wanted)
}

fn pin_sources(sources: Vec<Source>, config: &Config, wanted: &[Sha256]) -> Result<Pinned, ConfigErrors> {
    let (now, origins) = parse(&sources, Vec::new())?.check()?;
    if now != *config {
        return Err(
            ConfigError::new("the config files changed while they were read; run the command again").into(),
        );
    }
    let mut state = State {
        config: now,
        origins,
        sources: sources.clone(),
    };
    let modules: Vec<_> = config.all_modules().map(|(key, _)| key).zip(wanted).collect();
    // Each time any that can be put in place: what brings something in by a merge key may have to go first.
    for _ in wanted {
        let mut open = modules.iter().enumerate();
        match open.find_map(|(index, (key, pin))| state.with_pin(config, wanted, index, key, **pin)) {
            Some(next) => state = next,
            None => break,
        }
    }
    let is_open = |index: usize, pin: Sha256| state.pin(index) != Some(pin);
    let open = modules
        .iter()
        .enumerate()
        .filter(|(index, (_, pin))| is_open(*index, **pin));
    let errors = open.map(|(_, (key, pin))| by_hand(&state.origins, key, **pin));
    let errors = ConfigErrors::of(errors.collect());
    if let Some(errors) = errors {
        return Err(errors);
    }
    Ok(state.outcome(sources, config, wanted))
}

/// The files with the pins so far, and what they say.
struct State {
    config: Config,
    origins: Origins,
    sources: Vec<Source>,
}

impl State {
    fn pin(&self, index: usize) -> Option<Sha256> {
        let (_, module) = self.config.all_modules().nth(index)?;
        module.sha256
    }

    /// With one more pin; `None` when it is there, or cannot be put in place.
    fn with_pin(
        &self,
        config: &Config,
        wanted: &[Sha256],
        index: usize,
        key: &str,
        pin: Sha256,
    ) -> Option<Self> {
        if self.pin(index) == Some(pin) {
            return None;
        }
        let mut candidates = self.candidates(key, index, pin).into_iter();
        candidates.find_map(|sources| Self::accept(sources, config, wanted, index))
    }

    /// The files with one more pin, in the ways in which it could be written.
    fn candidates(&self, key: &str, index: usize, pin: Sha256) -> Vec<Vec<Source>> {
        let own = self.origins.place_of_key(&format!("{key}.sha256"));
        let place = own.or_else(|| self.origins.place_of_key(&format!("{key}.module")));
        let Some((place, source)) = place.and_then(|place| Some((place, self.sources.get(place.file)?)))
        else {
            return Vec::new();
        };
        let texts = match (own, self.pin(index)) {
            (Some(_), Some(old)) => vec![edit::renew(&source.text, place.line, old, pin)],
            (Some(_), None) => vec![edit::fill(&source.text, place.line, pin)],
            (None, _) => vec![
                edit::add_behind(&source.text, place.line, pin),
                edit::add_before(&source.text, place.line, pin),
            ],
        };
        let with = |text| {
            let mut sources = self.sources.clone();
            if let Some(source) = sources.get_mut(place.file) {
                source.text = text;
            }
            sources
        };
        texts.into_iter().flatten().map(with).collect()
    }

    /// `None` unless the sources say what `config` says, but for the pin of module number `index` and for pins of
    /// others, which may be as they were or as they are wanted: several modules may share a line by an alias.
    fn accept(sources: Vec<Source>, config: &Config, wanted: &[Sha256], index: usize) -> Option<Self> {
        let (new, origins) = parse(&sources, Vec::new()).and_then(Parsed::check).ok()?;
        let mut as_before = new.clone();
        let mut modules = as_before
            .presence
            .presence_router
            .iter_mut()
            .chain(&mut as_before.modules);
        for (number, (_, before)) in config.all_modules().enumerate() {
            let found = modules.next()?;
            let is_wanted = found.sha256.is_some() && found.sha256.as_ref() == wanted.get(number);
            if !is_wanted && (number == index || found.sha256 != before.sha256) {
                return None;
            }
            found.sha256 = before.sha256;
        }
        (as_before == *config).then_some(Self {
            config: new,
            origins,
            sources,
        })
    }

    fn outcome(self, before: Vec<Source>, config: &Config, wanted: &[Sha256]) -> Pinned {
        let files = before.into_iter().zip(self.sources);
        let files = files.filter(|(before, after)| before.text != after.text);
        let pins = config.all_modules().zip(wanted);
        Pinned {
            files: files
                .map(|(before, after)| Edited {
                    file: before.file,
                    before: before.text,
                    after: after.text,
                })
                .collect(),
            pins: pins
                .map(|((key, module), wanted)| Pin {
                    before: module.sha256,
                    after: *wanted,
                    origin: self.origins.locate(&format!("{key}.sha256")),
                })
                .collect(),
        }
    }
}

fn by_hand(origins: &Origins, key: &str, pin: Sha256) -> ConfigError {
    let key = format!("{key}.sha256");
    let error = ConfigError::new(format!(
        "cannot be put in place without touching more than this line (braces, an alias, a value on several lines); \
         write it by hand: sha256: \"{pin}\""
    ));
    origins.place(error.for_key(key.clone()), &key)
}

#[cfg(test)]
mod tests;

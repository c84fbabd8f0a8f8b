//! `directory.files`: users and rooms, a JSON object a line, for as many as do not fit into YAML.
//!
//! Read as a stream: a line at a time is in memory, and the roster. What is wrong is gathered, up to some errors. The tokens
//! are secrets: no error holds one, nor what may be one that stands in the wrong place.

mod line;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use presence_router_api::UserId;

use crate::config::directory::Directory;
use crate::config::directory_files::line::{Entry, Fault};
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::origins::Origins;
use crate::config::roster_builder::{Builder, Place};
use crate::config::{access_tokens, room_ids};

/// The most that is read of a line, so that a device or a wrong file cannot fill the memory.
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;
/// After so many errors the rest is not read: who wrote a file of millions of lines wrongly has made one mistake.
const MAX_ERRORS: usize = 10;
const BUFFER_BYTES: usize = 256 * 1024;

/// Reads the files that `directory.files` names, and puts what they and `directory.static` say into `listed`.
pub(super) fn read(
    directory: &mut Directory,
    server_name: &str,
    origins: &Origins,
) -> Result<(), ConfigErrors> {
    if directory.files.is_empty() {
        return Ok(());
    }
    let mut reading = Reading {
        files: &directory.files,
        server_name,
        builder: Builder::default(),
        errors: Vec::new(),
    };
    reading.builder.add_static(&directory.users, &directory.rooms);
    for (number, file) in (0..).zip(&directory.files) {
        if reading.errors.len() >= MAX_ERRORS {
            break;
        }
        if let Err(error) = reading.file(number, file) {
            let key = format!("directory.files[{number}]");
            let message = format!("{}: {}", file.display(), unreadable(&error));
            let error = origins.place(ConfigError::new(message).for_key(key.clone()), &key);
            reading.errors.push(error);
        }
    }
    let Reading { builder, errors, .. } = reading;
    if let Some(errors) = ConfigErrors::of(errors) {
        return Err(errors);
    }
    directory.listed = Some(Arc::new(builder.finish()));
    Ok(())
}

struct Reading<'a> {
    files: &'a [PathBuf],
    server_name: &'a str,
    builder: Builder,
    errors: Vec<ConfigError>,
}

/// What keeps the rest of a file from being read.
#[derive(Debug)]
enum Unreadable {
    Io(io::Error),
    NoFile,
}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn unreadable(error: &Unreadable) -> String {
    match error {
        Unreadable::NoFile => "not a regular file; name one of JSON lines".to_owned(),
        Unreadable::Io(error) => match error.kind() {
            io::ErrorKind::NotFound => "no such file; check the path".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "this user may not read the file; change its owner or mode, or run as another user".to_owned()
            }
            _ => format!("cannot be read: {error}"),
        },
    }
}

impl Reading<'_> {
    fn file(&mut self, number: u32, path: &Path) -> Result<(), Unreadable> {
        // Opening a pipe would wait for who writes into it.
        if !std::fs::metadata(path)?.is_file() {
            return Err(Unreadable::NoFile);
        }
        let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
        let mut line = Vec::new();
        let mut place = Place::Line {
            file: number,
            line: 0,
        };
        loop {
            line.clear();
            if file.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            place = place.next_line();
            let is_too_long = line.len() as u64 >= MAX_LINE_BYTES && !line.ends_with(b"\n");
            if is_too_long {
                let message = format!(
                    "longer than {} MiB; write one object a line",
                    MAX_LINE_BYTES / 1024 / 1024
                );
                self.refuse(place, Fault::of(message));
                return Ok(());
            }
            if self.builder.is_full() {
                let message = "more than 3 GiB of ids or tokens up to here; leave some of them out";
                self.refuse(place, Fault::of(message));
                return Ok(());
            }
            self.line(&line, place);
            if self.errors.len() >= MAX_ERRORS {
                let rest = ConfigError::new("what follows is not read, mend this first");
                self.errors.push(rest.in_file(path));
                return Ok(());
            }
        }
    }

    fn line(&mut self, line: &[u8], place: Place) {
        match line::read(line) {
            Ok(None) => {}
            Ok(Some(Entry::User { id, tokens })) => self.user(&id, tokens.iter().map(|text| &*text.0), place),
            Ok(Some(Entry::Room { id, members })) => {
                self.room(&id, members.iter().map(|text| &*text.0), place);
            }
            Err(faults) => {
                for fault in faults {
                    self.refuse(place, fault);
                }
            }
        }
    }

    fn user<'t>(&mut self, id: &str, tokens: impl Iterator<Item = &'t str>, place: Place) {
        let user = match self.local_user(id) {
            Ok(user) => user,
            Err(message) => return self.refuse(place, Fault::at("user_id", message)),
        };
        if let Err(before) = self.builder.declare(user, place) {
            let message = format!(
                "{id:?} stands in {} already; make it one entry",
                self.name(before)
            );
            return self.refuse(place, Fault::at("user_id", message));
        }
        for (index, token) in tokens.enumerate() {
            let fault = match access_tokens::fault(token) {
                Some(fault) => fault.to_owned(),
                None => match self.builder.add_token(user, token) {
                    Ok(()) => continue,
                    Err(owner) if owner == place => {
                        "stands in this line already; remove one of the two".to_owned()
                    }
                    Err(owner) => format!(
                        "the same token as of the user in {}; give each entry its own",
                        self.name(owner)
                    ),
                },
            };
            self.refuse(place, Fault::at(format!("access_tokens[{index}]"), fault));
        }
    }

    fn local_user(&mut self, id: &str) -> Result<u32, String> {
        // Without the sigil it may be a token that stands where the user id should: not shown.
        if !id.starts_with('@') {
            return Err("not a user id; write one such as \"@alice:example.org\"".to_owned());
        }
        let parsed = UserId::parse(id).map_err(|error| error.to_string())?;
        if parsed.server_name() != self.server_name {
            let (name, local) = (parsed.localpart(), self.server_name);
            return Err(format!(
                "not a local user; write \"@{name}:{local}\", or remove it"
            ));
        }
        Ok(self.builder.user(id))
    }

    fn room<'t>(&mut self, id: &str, members: impl Iterator<Item = &'t str>, place: Place) {
        if !room_ids::is_room_id(id) {
            return self.refuse(place, Fault::at("room_id", room_ids::not_one()));
        }
        let mut numbers = Vec::new();
        for (index, member) in members.enumerate() {
            // Who was named before has been checked.
            if let Some(known) = self.builder.known_user(member) {
                numbers.push(known);
                continue;
            }
            match UserId::parse(member) {
                Ok(_) => numbers.push(self.builder.user(member)),
                Err(error) => {
                    self.refuse(place, Fault::at(format!("members[{index}]"), error.to_string()));
                }
            }
        }
        if let Err(before) = self.builder.add_room(id, &numbers, place) {
            let message = format!(
                "{id:?} stands in {} already; make it one entry",
                self.name(before)
            );
            self.refuse(place, Fault::at("room_id", message));
        }
    }

    /// Keeps an error about a line, unless there are enough.
    fn refuse(&mut self, place: Place, fault: Fault) {
        if self.errors.len() >= MAX_ERRORS {
            return;
        }
        let mut error = ConfigError::new(fault.message);
        if let Place::Line { file, line } = place {
            if let Some(file) = self.files.get(file as usize) {
                error = error.in_file(file);
            }
            error = error.at_line(line as usize);
        }
        if let Some(column) = fault.column {
            error = error.at_column(column);
        }
        if let Some(key) = fault.key {
            error = error.for_key(key);
        }
        self.errors.push(error);
    }

    fn name(&self, place: Place) -> String {
        match place {
            Place::Static => "directory.static".to_owned(),
            Place::Line { file, line } => match self.files.get(file as usize) {
                Some(file) => format!("{}:{line}", file.display()),
                None => format!("line {line}"),
            },
        }
    }
}

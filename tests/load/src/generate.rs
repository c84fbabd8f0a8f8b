//! Users and rooms made up for a test: the targets file, and the directory of our host that matches it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ArgGroup;

use crate::layout::Layout;
use crate::targets::{Role, User};

/// Make up users and rooms: the targets file, and the directory of our host that matches it.
#[derive(Debug, Clone, clap::Args)]
#[command(group = ArgGroup::new("directory").args(["config", "jsonl"]))]
pub(crate) struct Args {
    /// Users
    #[arg(long)]
    users: usize,
    /// How many of them are in a room
    #[arg(long, default_value_t = 10)]
    rooms_of: usize,
    /// In how many rooms each user is; no two users share more than one, when there are enough
    #[arg(long, default_value_t = 1)]
    rooms_each: usize,
    /// Users in no room whom a module sends everything, by their localparts
    #[arg(long, value_delimiter = ',')]
    observers: Vec<String>,
    /// How many users stand in the targets file: whole rooms, spread over all; without it, all do
    #[arg(long)]
    sample: Option<usize>,
    /// Name of the server
    #[arg(long, default_value = "example.org")]
    server_name: String,
    /// Where the server listens
    #[arg(long, default_value = "http://127.0.0.1:8008")]
    base_url: String,
    /// Targets file to write
    #[arg(long)]
    out: PathBuf,
    /// Config file of our host to write, with `directory.static` alone: one more `--config` beside yours
    #[arg(long)]
    config: Option<PathBuf>,
    /// Directory as JSON Lines to write, a user or a room a line: for very many
    #[arg(long)]
    jsonl: Option<PathBuf>,
}

/// Writes the files.
pub(crate) fn run(args: &Args) -> Result<()> {
    let layout = Layout::new(args.users, args.rooms_of, args.rooms_each)
        .context("--rooms-of is to be 1 at least, and all numbers below 2^32")?;
    let made_up = MadeUp {
        args: args.clone(),
        layout,
    };
    write_to(&args.out, |file| made_up.targets(file))?;
    if let Some(path) = &args.config {
        write_to(path, |file| made_up.config(file))?;
    }
    if let Some(path) = &args.jsonl {
        write_to(path, |file| made_up.lines(file))?;
    }
    eprintln!(
        "{} users, {} rooms",
        args.users + args.observers.len(),
        layout.rooms()
    );
    Ok(())
}

fn write_to(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<()> {
    let written = File::create(path).and_then(|file| {
        let mut file = BufWriter::with_capacity(1 << 20, file);
        write(&mut file)?;
        file.flush()
    });
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// Everybody and everything, in order.
struct MadeUp {
    args: Args,
    layout: Layout,
}

impl MadeUp {
    fn user_id(&self, user: usize) -> String {
        format!("@u{user}:{}", self.args.server_name)
    }

    fn observer_id(&self, observer: &str) -> String {
        format!("@{observer}:{}", self.args.server_name)
    }

    /// Every user id with its access token.
    fn accounts(&self) -> impl Iterator<Item = (String, String)> {
        let users = (0..self.args.users).map(|user| (self.user_id(user), format!("t{user}")));
        let observers = self.args.observers.iter();
        users.chain(observers.map(|name| (self.observer_id(name), format!("t-{name}"))))
    }

    /// Every room id with its members.
    fn rooms(&self) -> impl Iterator<Item = (String, Vec<String>)> {
        (0..self.layout.rooms()).map(|room| {
            let members = self.layout.members(room).map(|user| self.user_id(user));
            (format!("!r{room}:{}", self.args.server_name), members.collect())
        })
    }

    fn targets(&self, to: &mut impl Write) -> io::Result<()> {
        let base_url = serde_json::to_string(&self.args.base_url)?;
        write!(to, "{{\"base_url\": {base_url},\n \"users\": [")?;
        let sample = self.args.sample.unwrap_or(self.args.users);
        let users = self.layout.sample(sample).map(|user| User {
            user_id: self.user_id(user),
            token: format!("t{user}"),
            rooms: self.layout.rooms_of(user).collect(),
            role: Role::User,
        });
        let observers = self.args.observers.iter().map(|name| User {
            user_id: self.observer_id(name),
            token: format!("t-{name}"),
            rooms: Vec::new(),
            role: Role::Observer,
        });
        let mut separator = "\n";
        for user in users.chain(observers) {
            write!(to, "{separator}  ")?;
            serde_json::to_writer(&mut *to, &user)?;
            separator = ",\n";
        }
        writeln!(to, "\n]}}")
    }

    /// JSON is YAML: ids and tokens stand in quotes.
    fn config(&self, to: &mut impl Write) -> io::Result<()> {
        writeln!(to, "directory:\n  static:\n    users:")?;
        for (user_id, token) in self.accounts() {
            let (user_id, token) = (serde_json::to_string(&user_id)?, serde_json::to_string(&token)?);
            writeln!(to, "      {user_id}: {{access_tokens: [{token}]}}")?;
        }
        writeln!(to, "    rooms:")?;
        for (room_id, members) in self.rooms() {
            let (room_id, members) = (serde_json::to_string(&room_id)?, serde_json::to_string(&members)?);
            writeln!(to, "      {room_id}: {members}")?;
        }
        Ok(())
    }

    fn lines(&self, to: &mut impl Write) -> io::Result<()> {
        for (user_id, token) in self.accounts() {
            let (user_id, token) = (serde_json::to_string(&user_id)?, serde_json::to_string(&token)?);
            writeln!(to, "{{\"user_id\":{user_id},\"access_tokens\":[{token}]}}")?;
        }
        for (room_id, members) in self.rooms() {
            let (room_id, members) = (serde_json::to_string(&room_id)?, serde_json::to_string(&members)?);
            writeln!(to, "{{\"room_id\":{room_id},\"members\":{members}}}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::targets::Targets;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn check(arguments: &str, write: impl Fn(&MadeUp, &mut Vec<u8>) -> io::Result<()>) -> String {
        let cli = Cli::parse_from(format!("targets --out x {arguments}").split(' '));
        let args = cli.args;
        let layout = Layout::new(args.users, args.rooms_of, args.rooms_each).expect("possible");
        let mut written = Vec::new();
        write(&MadeUp { args, layout }, &mut written).expect("memory takes all");
        String::from_utf8(written).expect("text")
    }

    const FOUR: &str = "--users 4 --rooms-of 2 --observers gobbler --server-name x";

    #[test]
    fn the_targets_are_what_the_load_reads() {
        let text = check(FOUR, MadeUp::targets);
        let targets: Targets = serde_json::from_str(&text).expect("targets");
        assert_eq!(targets.base_url, "http://127.0.0.1:8008");
        let users: Vec<_> = targets
            .users
            .iter()
            .map(|user| (&*user.user_id, &*user.token, &*user.rooms))
            .collect();
        let wanted: [(&str, &str, &[u32]); 5] = [
            ("@u0:x", "t0", &[0]),
            ("@u1:x", "t1", &[0]),
            ("@u2:x", "t2", &[1]),
            ("@u3:x", "t3", &[1]),
            ("@gobbler:x", "t-gobbler", &[]),
        ];
        assert_eq!(users, wanted);
        assert!(targets.users[4].is_observer());
    }

    #[test]
    fn a_sample_has_users_of_the_whole() {
        let text = check("--users 40 --rooms-of 2 --sample 4", MadeUp::targets);
        let targets: Targets = serde_json::from_str(&text).expect("targets");
        let tokens: Vec<_> = targets.users.iter().map(|user| &*user.token).collect();
        assert_eq!(tokens, ["t0", "t1", "t20", "t21"]);
    }

    #[test]
    fn each_line_is_an_object() {
        let text = check(FOUR, MadeUp::lines);
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("an object"))
            .collect();
        assert_eq!(lines[1], json!({"user_id": "@u1:x", "access_tokens": ["t1"]}));
        assert_eq!(
            lines[4],
            json!({"user_id": "@gobbler:x", "access_tokens": ["t-gobbler"]})
        );
        assert_eq!(
            lines[6],
            json!({"room_id": "!r1:x", "members": ["@u2:x", "@u3:x"]})
        );
        assert_eq!(lines.len(), 7);
    }

    #[test]
    fn the_config_has_the_directory_alone() {
        let wanted = "directory:\n  static:\n    users:\n      \"@u0:x\": {access_tokens: [\"t0\"]}\n      \
                      \"@u1:x\": {access_tokens: [\"t1\"]}\n    rooms:\n      \"!r0:x\": [\"@u0:x\",\"@u1:x\"]\n";
        let text = check("--users 2 --rooms-of 2 --server-name x", MadeUp::config);
        assert_eq!(text, wanted);
    }
}

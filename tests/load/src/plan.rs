//! Who writes and who syncs.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::load::{Args, Pick};
use crate::schedule::Schedule;
use crate::targets::User;

/// The users' numbers in the targets file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) writers: Vec<usize>,
    pub(crate) syncers: Vec<usize>,
}

impl Plan {
    pub(crate) fn new(users: &[User], args: &Args) -> Result<Self> {
        let numbered = || users.iter().enumerate();
        let plain: Vec<usize> = numbered()
            .filter(|(_, user)| !user.is_observer())
            .map(|(number, _)| number)
            .collect();
        if args.syncers >= plain.len() {
            bail!(
                "--syncers {} leaves no writer among {} users: name fewer",
                args.syncers,
                plain.len()
            );
        }
        let picked = pick(&plain, args.syncers, args.pick);
        let writers: Vec<usize> = plain.into_iter().filter(|user| !picked.contains(user)).collect();
        if args.connections == 0 || args.connections > writers.len() {
            bail!(
                "--connections is to be from 1 to {}: each has a writer at least",
                writers.len()
            );
        }
        let mut syncers = picked;
        if !args.no_observers && (args.syncers > 0 || args.observers) {
            syncers.extend(
                numbered()
                    .filter(|(_, user)| user.is_observer())
                    .map(|(number, _)| number),
            );
        }
        Ok(Self {
            writers,
            syncers: syncers.into_iter().collect(),
        })
    }
}

/// `count` of `users`, which has more.
pub(crate) fn pick(users: &[usize], count: usize, pick: Pick) -> BTreeSet<usize> {
    let at = |index: usize| match pick {
        Pick::Stride => index * users.len() / count,
        Pick::Head => index,
        Pick::Tail => users.len() - 1 - index,
    };
    (0..count)
        .filter_map(|index| users.get(at(index)).copied())
        .collect()
}

/// The users of each writing connection, and when it writes.
pub(crate) fn writers(users: &[usize], rate: f64, connections: usize) -> Vec<(Vec<usize>, Schedule)> {
    (0..connections)
        .map(|index| {
            let users = users.iter().copied().skip(index).step_by(connections);
            (users.collect(), Schedule::new(rate, index, connections))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::targets::Role;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn check(arguments: &[&str]) -> Result<Plan> {
        let users: Vec<User> = (0..9)
            .map(|number| User {
                user_id: format!("@{number}:x"),
                ..User::nameless(&[], if number == 4 { Role::Observer } else { Role::User })
            })
            .collect();
        let cli = Cli::try_parse_from([&["load", "--connections", "2"], arguments].concat())?;
        Plan::new(&users, &cli.args)
    }

    fn plan(arguments: &[&str]) -> (Vec<usize>, Vec<usize>) {
        let plan = check(arguments).expect("possible");
        (plan.writers, plan.syncers)
    }

    #[test]
    fn without_syncers_everybody_but_the_observers_writes() {
        assert_eq!(plan(&[]), (vec![0, 1, 2, 3, 5, 6, 7, 8], vec![]));
        assert_eq!(plan(&["--observers"]), (vec![0, 1, 2, 3, 5, 6, 7, 8], vec![4]));
    }

    #[test]
    fn syncers_are_picked_as_said_and_do_not_write() {
        assert_eq!(plan(&["--syncers", "2"]), (vec![1, 2, 3, 6, 7, 8], vec![0, 4, 5]));
        let head = ["--syncers", "2", "--pick", "head", "--no-observers"];
        assert_eq!(plan(&head), (vec![2, 3, 5, 6, 7, 8], vec![0, 1]));
        let tail = ["--syncers", "2", "--pick", "tail", "--no-observers"];
        assert_eq!(plan(&tail), (vec![0, 1, 2, 3, 5, 6], vec![7, 8]));
    }

    #[test]
    fn somebody_is_left_to_write_on_every_connection() {
        assert!(check(&["--syncers", "6"]).is_ok());
        assert!(check(&["--syncers", "7"]).is_err());
        assert!(check(&["--syncers", "8"]).is_err());
    }
}

//! What a process holds, as Linux shows it in `/proc/self`: threads, descriptors, signal handlers, memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// What the threads of the check itself are called. Those of a module are called otherwise: a thread without a name
/// of its own has that of the thread that started it, and no code of a module runs on these.
pub(super) const OWN_THREADS: &str = "verify";

/// What a process holds at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Resources {
    /// The names of the threads, by number.
    threads: BTreeMap<u32, String>,
    /// What the descriptors are of, by number.
    descriptors: BTreeMap<u32, String>,
    /// The signals that have a handler, and those that are ignored: a bit each, the lowest for signal 1.
    handled: u64,
    ignored: u64,
}

impl Resources {
    /// What this process holds now.
    pub(super) fn now() -> io::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let threads = entries("/proc/self/task", |directory| {
            fs::read_to_string(format!("{directory}/comm")).map(|name| name.trim_end().to_owned())
        })?;
        let descriptors = entries("/proc/self/fd", |link| {
            fs::read_link(link).map(|target| target.display().to_string())
        })?;
        Ok(Self {
            threads: threads
                .into_iter()
                .filter(|(_, name)| name != OWN_THREADS)
                .collect(),
            // The one by which this directory is read.
            descriptors: descriptors
                .into_iter()
                .filter(|(_, target)| !target.ends_with("/fd"))
                .collect(),
            handled: mask(&status, "SigCgt:"),
            ignored: mask(&status, "SigIgn:"),
        })
    }

    /// What there is beyond what there was, a line a kind; empty when nothing is.
    pub(super) fn beyond(&self, before: &Self) -> Vec<String> {
        // A thread may have named itself meanwhile; a number is not given to another for a long time.
        let threads = self
            .threads
            .iter()
            .filter(|(number, _)| !before.threads.contains_key(number))
            .map(|(_, name)| format!("thread `{name}`"));
        let descriptors = self
            .descriptors
            .iter()
            .filter(|(number, target)| before.descriptors.get(number) != Some(target))
            // Sockets and pipes differ by a number that tells nobody anything.
            .map(|(_, target)| format!("descriptor of {}", target.split(":[").next().unwrap_or(target)));
        let handled = signals(self.handled & !before.handled)
            .map(|signal| format!("a handler of {}", signal_name(signal)));
        let ignored = signals(self.ignored & !before.ignored)
            .map(|signal| format!("{} is ignored", signal_name(signal)));
        counted(threads)
            .chain(counted(descriptors))
            .chain(handled)
            .chain(ignored)
            .collect()
    }
}

/// The memory that this process has in use, in bytes.
pub(super) fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// The entries of a directory whose names are numbers. Those that go away meanwhile are left out.
fn entries(directory: &str, read: impl Fn(&str) -> io::Result<String>) -> io::Result<BTreeMap<u32, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Ok(what) = read(&format!("{directory}/{number}")) {
            found.insert(number, what);
        }
    }
    Ok(found)
}

/// Each once, with how often it is there: `3 x thread ...`.
fn counted(all: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts.into_iter().map(|(what, count)| match count {
        1 => what,
        _ => format!("{count} x {what}"),
    })
}

fn mask(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

fn signals(mask: u64) -> impl Iterator<Item = u32> {
    (1..=64).filter(move |signal| mask >> (signal - 1) & 1 == 1)
}

/// Its name, where one knows it: the numbers are the same on x86-64 and aarch64.
pub(super) fn signal_name(signal: u32) -> String {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    let index = signal
        .checked_sub(1)
        .and_then(|index| usize::try_from(index).ok());
    index
        .and_then(|index| NAMES.get(index))
        .map_or_else(|| format!("signal {signal}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_is_new_is_named() {
        let before = Resources {
            threads: [(1, "main".to_owned())].into(),
            descriptors: [(0, "/dev/null".to_owned())].into(),
            handled: 0b1,
            ignored: 0,
        };
        let after = Resources {
            threads: [(1, "main"), (2, "leaks"), (3, "leaks")]
                .map(|(n, name)| (n, name.to_owned()))
                .into(),
            descriptors: [(0, "/dev/null"), (4, "socket:[123]")]
                .map(|(n, name)| (n, name.to_owned()))
                .into(),
            handled: 0b11,
            ignored: 1 << 12,
        };
        insta::assert_snapshot!(after.beyond(&before).join("\n"), @"
        2 x thread `leaks`
        descriptor of socket
        a handler of SIGINT
        SIGPIPE is ignored
        ");
        assert!(before.beyond(&after).is_empty());
    }

    #[test]
    fn a_thread_that_has_named_itself_is_not_new() {
        let named = |name: &str| Resources {
            threads: [(7, name.to_owned())].into(),
            ..Resources::default()
        };
        assert!(named("late").beyond(&named("m:verified")).is_empty());
    }

    #[test]
    fn a_thread_and_a_descriptor_of_this_process_are_seen() {
        let (end, wait) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("seen-by-a-test".to_owned())
            .spawn(move || wait.recv())
            .expect("starts");
        let file = File::open("/proc/self/status").expect("opens");
        let now = Resources::now().expect("readable");
        // The new thread may not have named itself yet; that it is there counts.
        assert!(now.threads.len() >= 2);
        assert!(now.descriptors.values().any(|target| target.ends_with("/status")));
        drop((end, file));
        let _ = thread.join();
        assert!(memory() > 0);
    }
}

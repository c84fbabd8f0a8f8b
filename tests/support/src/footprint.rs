//! What a process takes of the system, as Linux tells it in `/proc`.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

/// What a host takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Memory, in kB: all that is resident.
    pub resident_kb: u64,
    /// Memory, in kB: what no file backs, which is the heap, the stacks, and what the dynamic linker has written.
    pub anonymous_kb: u64,
    /// Threads.
    pub threads: usize,
    /// Mappings, of which `vm.max_map_count` allows so many.
    pub mappings: usize,
    /// Open descriptors.
    pub descriptors: usize,
    /// Private copies of modules on the disk.
    pub copies: usize,
}

impl Footprint {
    pub(crate) fn of(process: u32) -> Self {
        let directory = Path::new("/proc").join(process.to_string());
        let read = |name: &str| {
            fs::read_to_string(directory.join(name))
                .unwrap_or_else(|error| panic!("/proc/{process}/{name}: {error}"))
        };
        let count = |name: &str| fs::read_dir(directory.join(name)).map_or(0, Iterator::count);
        let (status, maps) = (read("status"), read("maps"));
        let kb = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            number.unwrap_or_else(|| panic!("no {key} in {status}"))
        };
        // Libraries are mapped from the directory of the copies alone.
        let copies: BTreeSet<&Path> = maps
            .lines()
            .filter_map(|line| Some(Path::new(line.get(line.find('/')?..)?)))
            .filter_map(Path::parent)
            .filter(|parent| {
                let name = parent.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with("presence-router-"))
            })
            .collect();
        Self {
            resident_kb: kb("VmRSS:"),
            anonymous_kb: kb("RssAnon:"),
            threads: count("task"),
            mappings: maps.lines().count(),
            descriptors: count("fd"),
            copies: copies.into_iter().map(libraries).sum(),
        }
    }
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            resident_kb,
            anonymous_kb,
            threads,
            mappings,
            descriptors,
            copies,
        } = self;
        write!(
            f,
            "{resident_kb:>8} kB resident, {anonymous_kb:>8} kB anonymous, {threads:>3} threads, {mappings:>6} mappings, \
             {descriptors:>3} descriptors, {copies:>3} copies"
        )
    }
}

/// How many there are in a directory.
fn libraries(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let is_library = |path: &Path| path.extension().is_some_and(|extension| extension == "so");
    entries
        .flatten()
        .filter(|entry| is_library(&entry.path()))
        .count()
}

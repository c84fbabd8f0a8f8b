//! What a process and all that it started take of the machine, read from `/proc`.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use procfs::CurrentSI as _;
use procfs::process::{Stat, all_processes};
use serde::Serialize;

use crate::stats::{float, round};

/// What everybody takes, at one time.
#[derive(Debug)]
pub(crate) struct Usage {
    server: Vec<(u32, f64)>,
    own: f64,
    machine: Machine,
}

impl Usage {
    /// `server` are the processes of the server.
    pub(crate) fn now(server: &[u32]) -> Result<Self> {
        let of = |pid: &u32| Ok((*pid, cpu_seconds(*pid)?));
        Ok(Self {
            server: server.iter().map(of).collect::<Result<_>>()?,
            own: own_cpu_seconds()?,
            machine: Machine::now()?,
        })
    }

    /// What was taken since `before`, which is of the same processes, and what memory they have now.
    pub(crate) fn since(&self, before: &Self, seconds: f64) -> Result<Used> {
        let pairs = self.server.iter().zip(&before.server);
        let server = pairs.map(|((pid, now), (_, before))| {
            Ok(ServerUse {
                pid: *pid,
                cpu_seconds: round(now - before, 3),
                cpu_cores: round((now - before) / seconds, 3),
                memory: Memory::of(*pid)?,
            })
        });
        let mut used = Used {
            server: server.collect::<Result<_>>()?,
            own: self.own - before.own,
            others: self.machine.busy - before.machine.busy,
            stolen: self.machine.stolen - before.machine.stolen,
        };
        used.others -= used.own + used.server_cpu_seconds().unwrap_or(0.0);
        Ok(used)
    }
}

/// What everybody took, in CPU seconds.
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) server: Vec<ServerUse>,
    pub(crate) own: f64,
    /// All else on the machine.
    pub(crate) others: f64,
    /// What the hypervisor took.
    pub(crate) stolen: f64,
}

/// What a process of the server took.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ServerUse {
    pid: u32,
    cpu_seconds: f64,
    cpu_cores: f64,
    #[serde(flatten)]
    memory: Memory,
}

#[cfg(test)]
impl ServerUse {
    /// A process that took so many CPU seconds.
    pub(crate) fn of(pid: u32, cpu_seconds: f64) -> Self {
        Self {
            pid,
            cpu_seconds,
            cpu_cores: 0.0,
            memory: Memory::default(),
        }
    }
}

impl Used {
    /// That of all processes of the server; `None` when none was named.
    pub(crate) fn server_cpu_seconds(&self) -> Option<f64> {
        let sum = self.server.iter().map(|server| server.cpu_seconds).sum();
        (!self.server.is_empty()).then_some(sum)
    }

    /// The memory of all of them.
    pub(crate) fn server_rss_mib(&self) -> Option<f64> {
        let sum = self.server.iter().map(|server| server.memory.rss_mib).sum();
        (!self.server.is_empty()).then_some(sum)
    }
}

/// CPU seconds of a process since it started, with those of all that it started, ended ones included.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let table = table()?;
    let ticks = tree(pid, &table)?.into_iter().filter_map(|pid| table.get(&pid));
    let ticks = ticks.map(|stat| {
        let waited_for = u64::try_from(stat.cutime + stat.cstime).unwrap_or(0);
        stat.utime + stat.stime + waited_for
    });
    Ok(float(ticks.sum()) / float(procfs::ticks_per_second()))
}

/// CPU seconds of this process.
pub(crate) fn own_cpu_seconds() -> Result<f64> {
    let stat = procfs::process::Process::myself().and_then(|process| process.stat());
    let stat = stat.context("cannot read /proc/self/stat")?;
    Ok(float(stat.utime + stat.stime) / float(procfs::ticks_per_second()))
}

/// Resident memory of this process, in MiB.
pub(crate) fn own_memory() -> Result<f64> {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    let resident = status.context("cannot read /proc/self/status")?.vmrss;
    Ok(round(float(resident.unwrap_or(0)) / 1024.0, 3))
}

/// What all cores together did since the machine started.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Machine {
    /// Seconds that they worked.
    pub(crate) busy: f64,
    /// Seconds that the hypervisor took from them.
    pub(crate) stolen: f64,
}

impl Machine {
    pub(crate) fn now() -> Result<Self> {
        let time = procfs::KernelStats::current()
            .context("cannot read /proc/stat")?
            .total;
        let busy = time.user + time.nice + time.system + time.irq.unwrap_or(0) + time.softirq.unwrap_or(0);
        let seconds = |ticks| float(ticks) / float(procfs::ticks_per_second());
        Ok(Self {
            busy: seconds(busy),
            stolen: seconds(time.steal.unwrap_or(0)),
        })
    }
}

/// The memory of a process and all that it started. Pages that they share count once for each.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Memory {
    pub(crate) rss_mib: f64,
    pub(crate) peak_rss_mib: f64,
    pub(crate) processes: usize,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let (mut resident, mut peak, mut processes) = (0, 0, 0);
        for pid in tree(pid, &table()?)? {
            // It may have ended meanwhile.
            let status = procfs::process::Process::new(pid).and_then(|process| process.status());
            let Ok(status) = status else { continue };
            resident += status.vmrss.unwrap_or(0);
            peak += status.vmhwm.unwrap_or(0);
            processes += 1;
        }
        Ok(Self {
            rss_mib: round(float(resident) / 1024.0, 3),
            peak_rss_mib: round(float(peak) / 1024.0, 3),
            processes,
        })
    }
}

fn table() -> Result<HashMap<i32, Stat>> {
    let processes = all_processes().context("cannot read /proc")?;
    let stats = processes.filter_map(|process| process.and_then(|process| process.stat()).ok());
    Ok(stats.map(|stat| (stat.pid, stat)).collect())
}

fn tree(root: u32, table: &HashMap<i32, Stat>) -> Result<Vec<i32>> {
    let gone = || format!("there is no process {root}");
    let root = i32::try_from(root).with_context(gone)?;
    table.get(&root).with_context(gone)?;
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(
            table
                .values()
                .filter(|stat| stat.ppid == parent)
                .map(|stat| stat.pid),
        );
        at += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_counts_with_those_that_it_started() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("cat is there");
        let with_child = Memory::of(std::process::id()).expect("we are there");
        let alone = Memory::of(child.id()).expect("it is there");
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert!(with_child.processes >= 2, "{with_child:?}");
        assert_eq!(alone.processes, 1);
        assert!(with_child.rss_mib > alone.rss_mib && alone.rss_mib > 0.0);
    }

    #[test]
    fn a_process_that_is_not_there_is_said_to_be() {
        let refused = cpu_seconds(u32::MAX).expect_err("no such process");
        assert_eq!(refused.to_string(), "there is no process 4294967295");
    }

    #[test]
    fn work_is_counted() {
        let before = own_cpu_seconds().expect("we are there");
        let mut sum = 0_u64;
        while own_cpu_seconds().expect("we are there") < before + 0.02 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_seconds(std::process::id()).expect("we are there") >= before);
    }
}

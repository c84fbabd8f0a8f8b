//! A process with its output, which cannot outlive the test that started it.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::log::Log;

/// A running process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ended: Receiver<()>,
    /// What it writes to its standard output.
    pub stdout: Log,
    /// What it writes to its standard error.
    pub stderr: Log,
}

/// How a process ended, and what it wrote.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Process {
    /// Starts a program.
    pub fn start(mut command: Command) -> Self {
        // Cargo sets it for tests, to directories of the toolchain that a real host does not search.
        command.env_remove("LD_LIBRARY_PATH");
        // Colours would stand in the middle of what tests look for.
        command.env("NO_COLOR", "1");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let stdout = Log::read_from(child.stdout.take().expect("stdout is piped"));
        let stderr = Log::read_from(child.stderr.take().expect("stderr is piped"));
        let (say_ended, ended) = channel();
        let pid = Pid::from_child(&child);
        thread::spawn(move || {
            // Not reaped here: until `child` is, nobody else can get its number.
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            // The process may have been dropped already.
            let _ = say_ended.send(());
        });
        Self {
            child,
            ended,
            stdout,
            stderr,
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        // It may have ended by itself; `wait` tells how.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// Sends SIGHUP.
    pub fn hang_up(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::HUP);
    }

    /// Ends it by SIGKILL, of which it cannot know, and waits until it is gone.
    #[track_caller]
    pub fn kill(mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        let status = killed.expect("a child that was not waited for can be killed");
        assert_eq!(
            status.signal(),
            Some(Signal::KILL.as_raw()),
            "it had ended by itself ({status}); it wrote:\n{}",
            self.stderr.text()
        );
    }

    /// Waits for its end. Panics at the deadline, with what it wrote; the process is then killed.
    #[track_caller]
    pub fn wait(mut self, within: Duration) -> Output {
        assert!(
            self.ended.recv_timeout(within).is_ok(),
            "the process did not end within {within:?}; it wrote:\n{}\n{}",
            self.stdout.text(),
            self.stderr.text()
        );
        let status = self.child.wait().expect("a child that ended can be waited for");
        self.stdout.wait_for_end(within);
        self.stderr.wait_for_end(within);
        Output {
            status,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it was waited for already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Output {
    /// The exit code. Panics when a signal ended the process: that is a crash.
    #[track_caller]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| {
            let signal = self.status.signal();
            panic!(
                "crashed by signal {signal:?}; it wrote:\n{}\n{}",
                self.stdout, self.stderr
            )
        })
    }

    /// Checks the exit code, and passes the output on to further checks.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), code, "it wrote:\n{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Checks that it was a refusal: exit code 1, at most five lines on standard error, which contain all
    /// of these.
    #[track_caller]
    pub fn expect_refusal(&self, parts: &[&str]) -> &Self {
        self.expect_code(1);
        // What other tests have killed may be cleaned up by this one, which is logged.
        let is_logged = |line: &&str| line.contains("removed what a killed server left behind");
        let lines = self.stderr.lines().filter(|line| !is_logged(line)).count();
        assert!((1..=5).contains(&lines), "{lines} lines:\n{}", self.stderr);
        self.expect_stderr(parts)
    }

    /// Checks that standard error contains all of these.
    #[track_caller]
    pub fn expect_stderr(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in:\n{}", self.stderr);
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in:\n{}", self.stdout))
    }
}

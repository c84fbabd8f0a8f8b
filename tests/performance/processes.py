"""Starts programs that end when we end, whatever ends us. Knows nothing of what they are."""

import contextlib
import ctypes
import json
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 20

_libc = ctypes.CDLL(None)


class Fault(Exception):
    """Why something could not be measured, and what to do about it."""


def _end_with_parent():
    # When we are killed by a signal that cannot be caught, nothing of ours goes on.
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def running(command, log, cwd=None, env=None):
    """A server: started in a session of its own, so that Ctrl-C reaches us first; ended on the way out."""
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_text(process, log, text, seconds):
    """The rest of the first line of the log that has `text`, behind it. Bounded."""
    deadline = time.monotonic() + seconds
    while True:
        said = log.read_text(errors="replace")
        for line in said.splitlines(keepends=True):
            if text in line and line.endswith("\n"):
                return line.split(text, 1)[1].strip()
        if process.poll() is not None:
            raise Fault(f"{process.args[0]} ended with {process.returncode}:\n{said[-2000:]}")
        if time.monotonic() > deadline:
            raise Fault(f"{process.args[0]} did not say {text!r} within {seconds} s:\n{said[-2000:]}")
        time.sleep(0.05)


def answer(command, seconds):
    """Runs a program to its end; the JSON object that it prints."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            preexec_fn=_end_with_parent,
        )
    except subprocess.TimeoutExpired as late:
        raise Fault(f"{' '.join(command)}: did not end within {seconds:.0f} s") from late
    if done.returncode != 0:
        raise Fault(f"{' '.join(command)}: ended with {done.returncode}: {done.stderr.strip()[-1000:]}")
    return json.loads(done.stdout)


def resident_mib(pid):
    """What a process holds in memory, in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise Fault(f"process {pid} is gone")

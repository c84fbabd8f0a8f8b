"""Makes what the bars need and is not there yet: release builds, Synapse, Prosody, matplotlib. Each once."""

import os
import shutil
import subprocess
import time

import synapse
from processes import Fault

# Named in full, not by the PATH: Debian's Python is built with PGO, without which Synapse is 12 to 17 % slower.
PYTHON = "/usr/bin/python3"
MATPLOTLIB = "matplotlib==3.11.2"
BUILD_SECONDS = 1800
INSTALL_SECONDS = 600

BENCHES = ("module_call", "route", "sync", "store")
PACKAGES = ("presence-router", "presence-router-broadcast", "presence-router-load")


def prepare(work, needs):
    """Makes each of `needs`: "build", "benches", "synapse", "prosody", "plots". Says how long it took."""
    steps = {"build": _build, "benches": _benches, "synapse": _synapse, "prosody": _prosody, "plots": _plots}
    for need, step in steps.items():
        if need in needs:
            began = time.monotonic()
            step(work)
            work.say(f"prepared: {need} ({time.monotonic() - began:.0f} s)")


def _build(work):
    if not work.given_binaries:
        command = ["cargo", "build", "--release"]
        for package in PACKAGES:
            command += ["-p", package]
        work.run(command, BUILD_SECONDS, cwd=work.repository)
    for name in ("presence-router", "libbroadcast.so", "presence-load"):
        if not (work.binaries / name).exists():
            raise Fault(f"{work.binaries / name} is not there: build it with cargo build --release")


def _benches(work):
    command = ["cargo", "bench", "-p", "presence-router", "--no-run"]
    for name in BENCHES:
        command += ["--bench", name]
    work.run(command, BUILD_SECONDS, cwd=work.repository)


def _synapse(work):
    work.synapse_python = _environment(work, "performance-synapse", f"matrix-synapse=={work.synapse_version}")
    synapse.prepare(work)


def _plots(work):
    work.plot_python = _environment(work, "performance-plots", MATPLOTLIB)


def _environment(work, name, requirement):
    """The Python of a virtual environment below the target directory that has `requirement`."""
    folder = work.target / name
    python = folder / "bin" / "python"
    installed = folder / "installed"
    wanted = f"{requirement} on {PYTHON}"
    if python.exists() and installed.exists() and installed.read_text(encoding="utf-8") == wanted:
        return python
    if not os.path.exists(PYTHON):
        raise Fault(f"{PYTHON} is not there: install Debian's packages python3 and python3-venv")
    try:
        work.run([PYTHON, "-m", "venv", "--clear", folder], INSTALL_SECONDS)
    except Fault as fault:
        raise Fault(f"{fault}\ninstall Debian's package python3-venv") from fault
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
    work.run(pip, INSTALL_SECONDS)
    installed.write_text(wanted, encoding="utf-8")
    return python


def _prosody(work):
    if shutil.which("prosody"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Fault("prosody is not installed: install Debian's package prosody, or run this as root")
    work.say("installing Debian's package prosody; where systemd runs, it starts a service of that name")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    try:
        work.run(["apt-get", "install", "--yes", "--no-install-recommends", "prosody"], INSTALL_SECONDS, env=env)
    except (Fault, subprocess.TimeoutExpired) as fault:
        raise Fault(f"{fault}\nprosody could not be installed: apt-get update may help") from fault

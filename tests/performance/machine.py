"""What the figures were measured on."""

import datetime
import os
import platform
import subprocess


def describe(repository):
    """A mapping of what a reader needs to know of this machine, this date and this source."""
    return {
        "date": datetime.date.today().isoformat(),
        "commit": _git(repository, "rev-parse", "--short=10", "HEAD"),
        "changed": bool(_git(repository, "status", "--porcelain", "--untracked-files=no")),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _first("/proc/cpuinfo", "model name"),
        "memory_gib": round(int(_first("/proc/meminfo", "MemTotal").split()[0]) / 1024**2, 1),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "rustc": _output("rustc", "--version"),
    }


def _first(path, name):
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return "0 unknown"


def _git(repository, *words):
    return _output("git", "-C", str(repository), *words)


def _output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""

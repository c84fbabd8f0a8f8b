"""Our server, and the bare one: started on the loopback with the users of all layouts."""

import contextlib
import json
from dataclasses import dataclass, field

import layouts
from processes import running, wait_for_text

START_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    name: str
    base_url: str
    pid: int
    # By user id.
    tokens: dict = field(repr=False)
    # To whom its module sends everybody's presence; those of them who can sync.
    observers: list = field(default_factory=list, repr=False)


def _token(user_id):
    return f"token-of-{layouts.localpart(user_id)}"


def _listener():
    return {"port": 0, "bind_addresses": ["127.0.0.1"], "resources": [{"names": ["client", "health"]}]}


def _config(work, directory, measured, audience):
    watchers = layouts.observers(layouts.AUDIENCE)
    users = [user_id for layout in measured for user_id in layout.user_ids()] + watchers
    rooms = {
        f"!{layout.name}-{n}:{layouts.SERVER}": members
        for layout in measured
        for n, members in enumerate(layout.members())
    }
    config = {
        "server_name": layouts.SERVER,
        "listeners": [_listener()],
        "presence": {"enabled": True},
        "module_path": [str(work.binaries)],
        "database": {"name": "sqlite3", "args": {"database": str(directory / "presence.db")}},
        "directory": {"static": {"users": {user: {"access_tokens": [_token(user)]} for user in users}, "rooms": rooms}},
        "log": {"level": "warn"},
    }
    if audience:
        config["presence"]["presence_router"] = {"module": "broadcast", "config": _routing(audience)}
    return config


def _routing(audience):
    return {"always_send_to_users": layouts.observers(audience), "blacklisted_users": [f"@hidden:{layouts.SERVER}"]}


@contextlib.contextmanager
def ours(work, *, audience, measured=layouts.ALL, threads=1):
    """Our server, with storage on, and the module broadcast for so many users; with 0, without a module."""
    directory = work.fresh("ours")
    config = _config(work, directory, measured, audience)
    config["worker_threads"] = threads
    users = [user_id for layout in measured for user_id in layout.user_ids()]
    watchers = layouts.observers(audience)
    tokens = {user_id: _token(user_id) for user_id in users + watchers}
    with _started(work, directory, config, START_SECONDS) as (base_url, process):
        yield Server("ours", base_url, process.pid, tokens, watchers)


@contextlib.contextmanager
def ours_with_file(work, users, seconds):
    """Our server with users and rooms from a file of JSON lines; it may take so many seconds to read it."""
    directory = work.fresh("ours")
    config = _config(work, directory, (), 1)
    config["directory"] = {"files": [str(users)]}
    with _started(work, directory, config, seconds) as (base_url, process):
        yield Server("ours", base_url, process.pid, {})


@contextlib.contextmanager
def _started(work, directory, config, seconds):
    # What is JSON is YAML too.
    (directory / "homeserver.yaml").write_text(json.dumps(config), encoding="utf-8")
    log = directory / "output"
    command = [work.binaries / "presence-router", "run", "-c", directory / "homeserver.yaml"]
    with running(command, log) as process:
        base_url = wait_for_text(process, log, "listening on ", seconds).split(" ")[0]
        wait_for_text(process, log, "ready", seconds)
        yield base_url, process


@contextlib.contextmanager
def bare(work, *, threads=1):
    """The load program's own server: it parses the same requests, and does nothing."""
    log = work.fresh("bare") / "output"
    with running([work.load_program, "bare", "--port", 0, "--threads", threads], log) as process:
        base_url = wait_for_text(process, log, "listening on ", START_SECONDS)
        tokens = {user_id: _token(user_id) for layout in layouts.ALL for user_id in layout.user_ids()}
        yield Server("bare", base_url, process.pid, tokens)

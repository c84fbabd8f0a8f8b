"""A real Synapse on the loopback, with the same users and rooms, and the same work done by a module in Python.

Users and rooms are made once, by its own API, and kept: each start is on a copy of that database."""

import contextlib
import http.client
import json
import os
import shutil
import urllib.parse
from pathlib import Path

import layouts
from processes import Fault, running, wait_for_text
from servers import Server

START_SECONDS = 120
LISTENING = "now listening on TCP port "
# The module that the comparison with Synapse uses too.
MODULES = Path(__file__).resolve().parent.parent / "comparison"
NO_LIMIT = {"per_second": 1e6, "burst_count": 1_000_000}


def _config(directory, audience):
    config = {
        "server_name": layouts.SERVER,
        "listeners": [
            {"port": 0, "bind_addresses": ["127.0.0.1"], "type": "http", "resources": [{"names": ["client"]}]}
        ],
        "database": {"name": "sqlite3", "args": {"database": str(directory / "homeserver.db")}},
        "log_config": str(directory / "log.yaml"),
        "pid_file": str(directory / "homeserver.pid"),
        "media_store_path": str(directory / "media"),
        "signing_key_path": str(directory / "signing.key"),
        "macaroon_secret_key": "macaroon",
        "form_secret": "form",
        "enable_registration": True,
        "enable_registration_without_verification": True,
        "bcrypt_rounds": 4,
        "report_stats": False,
        "trusted_key_servers": [],
        "suppress_key_server_warning": True,
        "url_preview_enabled": False,
        "presence": {"enabled": True},
        "rc_registration": NO_LIMIT,
        "rc_joins": {"local": NO_LIMIT, "remote": NO_LIMIT},
        "rc_joins_per_room": NO_LIMIT,
        "rc_room_creation": NO_LIMIT,
        "rc_message": NO_LIMIT,
        "rc_presence": {"per_user": NO_LIMIT},
    }
    if audience:
        config["presence"]["presence_router"] = {
            "module": "broadcast_router.BroadcastRouter",
            "config": {
                "always_send_to_users": layouts.observers(audience),
                "blacklisted_users": [f"@hidden:{layouts.SERVER}"],
            },
        }
    return config


def _logging():
    return {
        "version": 1,
        "formatters": {"plain": {"format": "%(levelname)s %(name)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        # Says when it listens, and where.
        "loggers": {"synapse.app": {"level": "INFO"}},
        "disable_existing_loggers": False,
    }


@contextlib.contextmanager
def _started(work, directory, audience):
    """Synapse on the files of a directory: its address and its process."""
    for name, content in (("homeserver.yaml", _config(directory, audience)), ("log.yaml", _logging())):
        (directory / name).write_text(json.dumps(content), encoding="utf-8")
    command = [work.synapse_python, "-B", "-m", "synapse.app.homeserver"]
    command += ["--config-path", directory / "homeserver.yaml"]
    env = dict(os.environ, PYTHONPATH=str(MODULES))
    log = directory / "output"
    if not (directory / "signing.key").exists():
        with running([*command, "--generate-keys"], log, cwd=directory, env=env) as process:
            if process.wait(START_SECONDS) != 0:
                raise Fault(f"Synapse made no keys:\n{log.read_text(errors='replace')[-2000:]}")
    log.unlink(missing_ok=True)
    with running(command, log, cwd=directory, env=env) as process:
        port = wait_for_text(process, log, LISTENING, START_SECONDS)
        yield f"http://127.0.0.1:{int(port)}", process


@contextlib.contextmanager
def synapse(work, *, audience, change=None):
    """Synapse with the users of all layouts, and the module for so many users; with 0, without a module.

    `change` gets the path of the database before the start."""
    directory = work.fresh("synapse")
    shutil.copytree(work.synapse_prepared, directory, dirs_exist_ok=True)
    if change:
        change(directory / "homeserver.db")
    tokens = json.loads((directory / "tokens.json").read_text(encoding="utf-8"))
    with _started(work, directory, audience) as (base_url, process):
        # Only the first of them is a user of its own: nobody else of them ever syncs here.
        yield Server("Synapse", base_url, process.pid, tokens, layouts.observers(min(audience, 1)))


def prepare(work):
    """Registers everybody and fills the rooms, once; some 30 s. Does nothing when it was done."""
    done = work.synapse_prepared / "tokens.json"
    made_for = work.synapse_prepared / "made-for"
    wanted = f"{work.synapse_version} {layouts.ALL}"
    if done.exists() and made_for.exists() and made_for.read_text(encoding="utf-8") == wanted:
        return
    shutil.rmtree(work.synapse_prepared, ignore_errors=True)
    directory = work.fresh("synapse-users")
    with _started(work, directory, 0) as (base_url, _):
        client = _Client(base_url)
        tokens = {}
        for layout in layouts.ALL:
            for user_id in layout.user_ids():
                tokens[user_id] = client.register(user_id)
            for members in layout.members():
                client.fill_room([tokens[user_id] for user_id in members])
        for user_id in layouts.observers(1):
            tokens[user_id] = client.register(user_id)
    (directory / "tokens.json").write_text(json.dumps(tokens), encoding="utf-8")
    (directory / "made-for").write_text(wanted, encoding="utf-8")
    work.synapse_prepared.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(directory, work.synapse_prepared)


class _Client:
    """One connection, for preparing."""

    def __init__(self, base_url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(base_url).netloc, timeout=60)

    def post(self, path, body, token=None):
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.connection.request("POST", f"/_matrix/client/v3/{path}", json.dumps(body), headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Fault(f"Synapse answered POST {path} with {answer.status}: {text[:300]}")
        return json.loads(text)

    def register(self, user_id):
        body = {"username": layouts.localpart(user_id), "password": "secret", "auth": {"type": "m.login.dummy"}}
        return self.post("register", body)["access_token"]

    def fill_room(self, tokens):
        room = self.post("createRoom", {"preset": "public_chat"}, tokens[0])["room_id"]
        for token in tokens[1:]:
            self.post(f"join/{urllib.parse.quote(room)}", {}, token)

"""Prosody, an XMPP server, on the loopback: every user has every other in the roster."""

import contextlib
import shutil
import socket
import time

from layouts import SERVER
from processes import Fault, running

START_SECONDS = 60


@contextlib.contextmanager
def prosody(work, *, users):
    """Its port and its process. Users are u0, u1 and so on, with the password `pw`."""
    directory = work.fresh("prosody")
    port = work.free_port()
    _write(directory, port, users)
    program = shutil.which("prosody")
    if program is None:
        raise Fault("prosody is not installed: install Debian's package prosody")
    log = directory / "output"
    with running([program, "--config", directory / "prosody.cfg.lua", "-F"], log) as process:
        _wait(process, port, log)
        yield port, process


def _wait(process, port, log):
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise Fault(f"Prosody does not listen:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _write(directory, port, users):
    """Accounts and rosters as Prosody stores them, and its config."""
    data = directory / "data" / SERVER.replace(".", "%2e")
    for kind in ("accounts", "roster"):
        (data / kind).mkdir(parents=True)
    for user in range(users):
        (data / "accounts" / f"u{user}.dat").write_text('return { ["password"] = "pw"; };\n', encoding="utf-8")
        contacts = ",\n".join(
            f'["u{other}@{SERVER}"] = {{ subscription = "both"; groups = {{}} }}'
            for other in range(users)
            if other != user
        )
        roster = f"return {{\n[false] = {{ version = 1; pending = {{}} }},\n{contacts}\n}};\n"
        (data / "roster" / f"u{user}.dat").write_text(roster, encoding="utf-8")
    (directory / "prosody.cfg.lua").write_text(
        f"""
run_as_root = true
daemonize = false
pidfile = "{directory}/prosody.pid"
data_path = "{directory}/data"
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{}}
modules_enabled = {{ "roster", "saslauth", "presence" }}
modules_disabled = {{ "s2s", "tls", "offline", "http", "admin_shell", "admin_socket", "posix" }}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
authentication = "internal_plain"
storage = "internal"
network_backend = "epoll"
log = {{ warn = "{directory}/prosody.log" }}
VirtualHost "{SERVER}"
""",
        encoding="utf-8",
    )

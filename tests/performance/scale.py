"""Bars of size: very many users on one machine, and very many long-polls while updates flow."""

import json
import resource
import time

from load import cpu_seconds, delivery_p99, kept, line
from processes import Fault, answer, resident_mib
from results import Report, Table, at_most
from servers import ours_with_file

USERS = 2_000_000
# Two rooms of 10 each make 18 contacts.
ROOM, ROOMS_EACH = 10, 2
POLLS = 20_000
# Beside its polls, a server has writers, a database, modules and listeners open.
OTHER_FILES = 300
# As many as poll, as many who write, in whole rooms.
SAMPLE = 2 * POLLS
RATE = 5_000
CONNECTIONS = 64
START_SECONDS = 300
MEGABYTE = 1_000_000
MEBIBYTE = 1024**2


def allow_files():
    """Lets the servers have as many files open as the system allows us, 64 Ki at most."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if most == resource.RLIM_INFINITY else min(most, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def scale(work):
    """Loads everybody, opens the polls, lets updates flow; each with its own bar."""
    report = Report()
    directory = work.fresh("scale")
    users, targets = directory / "users.jsonl", directory / "targets.json"
    work.run(
        [work.load_program, "targets", "--users", USERS, "--rooms-of", ROOM, "--rooms-each", ROOMS_EACH]
        + ["--sample", SAMPLE, "--out", targets, "--jsonl", users],
        START_SECONDS,
    )
    polls = min(POLLS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES)
    began = time.monotonic()
    with ours_with_file(work, users, START_SECONDS) as server:
        loading = time.monotonic() - began
        loaded = resident_mib(server.pid)
        work.say(f"  {USERS:,} users: ready after {loading:.1f} s, {loaded:.0f} MiB resident")
        _aim(targets, server.base_url)
        run = _polls(work, server, targets, polls)
    report.runs.append(run)
    report.tables.append(_table(loading, loaded, run))
    report.notes.append(
        f"The file has {USERS:,} users with {ROOMS_EACH * (ROOM - 1)} contacts each, in rooms of {ROOM}. {polls:,} "
        f"polls: {POLLS:,}, or as many as the limit of open files leaves beside {OTHER_FILES}. A poll's memory has that of "
        "its connection in it. Each update is delivered to those polls whose users share a room with the writer."
    )
    if kept(run):
        report.notes.append(
            f"It did not keep up: {run['updates_per_s']:,.0f} of {RATE:,} updates/s. The latency is that of this "
            "load, and its bar counts as missed whatever it is."
        )
    flowing = f"p99 from update to delivery meanwhile, at {RATE:,} updates/s"
    report.figures = [
        at_most("scale-load", f"from start to ready with {USERS:,} users", loading, 60, "s"),
        at_most("scale-memory", "resident then", loaded * MEBIBYTE / MEGABYTE, 1000, "MB"),
        at_most("scale-poll", f"memory of a long-poll, {polls:,} of them", run["bytes_per_poll"], 12_000, "bytes"),
        at_most("scale-latency", flowing, delivery_p99(run), 50, "ms", kept(run)),
    ]
    return report


def _aim(targets, base_url):
    """The port is known only now."""
    content = json.loads(targets.read_text(encoding="utf-8"))
    content["base_url"] = base_url
    targets.write_text(json.dumps(content), encoding="utf-8")


def _polls(work, server, targets, polls):
    seconds = work.seconds(15)
    command = [work.load_program, "polls", "--targets", targets, "--polls", polls, "--rate", RATE]
    command += ["--connections", CONNECTIONS, "--duration", seconds, "--warmup", 3, "--drain", 2, "--pid", server.pid]
    run = answer([*command, "--label", server.name], seconds + 400)
    run["layout"] = f"{polls:,} polls"
    work.say(f"  {server.name}: {line(run)}")
    if run["errors"]:
        raise Fault(f"the server has answered with errors, so the run says nothing: {run['errors']}")
    return run


def _table(loading, loaded, run):
    rows = [
        ["ready after, s", loading],
        ["resident when ready, MiB", loaded],
        ["resident after first syncs, MiB", run["rss_ready_mib"]],
        ["resident with connections that do nothing, MiB", run["rss_idle_mib"]],
        ["resident with polls that wait, MiB", run["rss_parked_mib"]],
        ["resident after the updates, MiB", run["rss_end_mib"]],
        ["bytes a connection that does nothing", run["bytes_per_idle_connection"]],
        ["bytes a poll that waits, with its connection", run["bytes_per_poll"]],
        ["updates/s", run["updates_per_s"]],
        ["deliveries/s", run["sync"]["deliveries_per_s"]],
        ["update to delivery p50 ms", run["sync"]["delivery_latency"]["p50_ms"]],
        ["update to delivery p99 ms", delivery_p99(run)],
        ["PUT p99 ms", run["put_latency"]["p99_ms"]],
        ["cores of the server", cpu_seconds(run) / run["seconds"]],
    ]
    return Table("Size", ["what", "figure"], rows)

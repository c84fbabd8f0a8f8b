"""Runs the load program against a server, and reads its figures."""

import json

from layouts import targets
from processes import Fault, answer

# Beyond what a run takes by its own measure: first syncs of a thousand users, one after another, and the end.
GRACE_SECONDS = 120


def put(work, server, layout, connections, *, seconds, warmup=1.0, rate=0, syncers=0, observers=0):
    """One run: writers on so many connections, and long-polls of so many members and observers. What it prints."""
    listening = server.observers[:observers]
    path = work.scratch / "targets.json"
    path.write_text(json.dumps(targets(server.base_url, server.tokens, layout, listening)), encoding="utf-8")
    seconds = work.seconds(seconds)
    drain = 2 if syncers or observers else 0
    command = [work.load_program, "--targets", path, "--connections", connections, "--rate", rate]
    command += ["--duration", seconds, "--warmup", warmup, "--drain", drain, "--syncers", syncers]
    command += ["--pid", server.pid, "--label", server.name]
    if observers:
        command.append("--observers")
    run = answer(command, warmup + seconds + drain + GRACE_SECONDS)
    run["layout"] = layout.name
    if run["errors"]:
        raise Fault(f"{server.name} has answered with errors, so the run says nothing: {run['errors']}")
    check_deliveries(server.name, run)
    work.say(f"  {server.name}: {line(run)}")
    return run


def check_deliveries(name, run):
    """Nothing is measured of a server that tells the wrong people, or not the newest."""
    sync = run.get("sync")
    if sync and sync["events_for_the_wrong_user"]:
        raise Fault(f"{name} has sent {sync['events_for_the_wrong_user']} events to users who should not see them")


def kept(run):
    """Whether as many updates came as were offered. A latency at another load is no answer: "missed", or nothing."""
    return "" if run["updates_per_s"] >= 0.98 * run["offered_rate"] else "missed"


def cpu_seconds(run):
    return sum(server["cpu_seconds"] for server in run["server"])


def resident(run):
    return sum(server["rss_mib"] for server in run["server"])


def per_cpu_second(count, cpu):
    # The kernel counts in hundredths of a second: less than one counts as one.
    return count / max(cpu, 0.01)


def updates_per_cpu_second(run):
    return per_cpu_second(run["updates"], cpu_seconds(run))


def deliveries_per_cpu_second(run):
    return per_cpu_second(run["sync"]["deliveries"], cpu_seconds(run))


def put_p99(run):
    return run["put_latency"]["p99_ms"]


def delivery_p99(run):
    return run["sync"]["delivery_latency"]["p99_ms"]


def line(run):
    """One run in one line, for who watches."""
    text = f"{run['layout']}, {run['connections']} connections: {run['updates_per_s']} updates/s"
    text += f", p99 {put_p99(run)} ms, {cpu_seconds(run) / run['seconds']:.2f} cores"
    if "sync" in run:
        sync = run["sync"]
        text += f"; {sync['deliveries_per_s']} deliveries/s, p99 {delivery_p99(run)} ms"
        if sync["pairs_without_final_state"]:
            text += f"; {sync['pairs_without_final_state']} of {sync['pairs']} pairs without the newest state"
    return text

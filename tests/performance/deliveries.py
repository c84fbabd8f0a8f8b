"""Bars about what arrives: how late, and for how much CPU, beside Synapse and Prosody."""

import statistics
import sys
from pathlib import Path

import layouts
from load import cpu_seconds, deliveries_per_cpu_second, delivery_p99, kept, put
from processes import answer
from prosody import prosody
from results import Report, Table, at_least, at_most
from servers import ours
from synapse import synapse

# What Synapse bears with 50 syncers in a room of 200; it falls behind beyond.
SYNAPSE_RATE = 24
SYNCERS = 50
WRITERS = 16
ROUNDS = 3
XMPP = Path(__file__).resolve().parent / "xmpp.py"


def latency(work):
    """Update to delivery at ten times the load that Synapse bears, and Synapse's at its own."""
    report = Report()
    table = Table(
        "Update to delivery, 50 syncers in a room of 200, 16 connections",
        [
            *("server", "updates/s", "deliveries/s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms", "cores"),
            "cores taken from the machine",
        ],
        [],
    )
    # One after the other: what an idle Synapse still does would show at these times.
    with ours(work, audience=1) as mine:
        put(work, mine, layouts.HALL, WRITERS, seconds=2)
        rate = 10 * SYNAPSE_RATE
        load = {"warmup": 2, "rate": rate, "syncers": SYNCERS}
        runs = [_quietest(work, mine, layouts.HALL, 5, **load) for _ in range(ROUNDS)]
    with synapse(work, audience=1) as other:
        put(work, other, layouts.HALL, WRITERS, seconds=4)
        runs.append(put(work, other, layouts.HALL, WRITERS, seconds=12, warmup=3, rate=SYNAPSE_RATE, syncers=SYNCERS))
    for run in runs:
        times = run["sync"]["delivery_latency"]
        row = [run["label"], run["updates_per_s"], run["sync"]["deliveries_per_s"]]
        row += [times[name] for name in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")]
        table.rows.append([*row, cpu_seconds(run) / run["seconds"], run["stolen_cpu_cores"]])
    report.runs = runs
    report.tables.append(table)
    report.notes.append(
        "The median of our rounds counts. What is taken from a virtual machine (stolen, in the kernel's words) is given to others: "
        "whatever runs then, waits."
    )
    what = "p99 from update to delivery, 240 updates/s to 50 syncers"
    rounds = runs[:ROUNDS]
    all_kept = next((kept(run) for run in rounds if kept(run)), "")
    figure = statistics.median(delivery_p99(run) for run in rounds)
    report.figures = [at_most("peer-latency", what, figure, 5, "ms", all_kept)]
    return report


def fan_out(work):
    """200 who listen in one room and 16 who write: deliveries for a second of CPU."""
    report = Report()
    table = Table(
        "Deliveries",
        [
            "server",
            "load",
            "updates/s",
            "deliveries/s",
            "deliveries/CPU-s",
            "deliveries of updates x listeners",
            "p99 ms",
            "cores",
        ],
        [],
    )
    with ours(work, audience=1) as mine:
        warm = {"syncers": 200, "warmup": 2}
        closed = _quietest(work, mine, layouts.FAN, 6, **warm)
        apart = put(work, mine, layouts.FAN, WRITERS, seconds=6, rate=SYNAPSE_RATE, **warm)
        ten_times = put(work, mine, layouts.FAN, WRITERS, seconds=6, rate=10 * SYNAPSE_RATE, **warm)
        busy = put(work, mine, layouts.FAN, WRITERS, seconds=6, rate=50 * SYNAPSE_RATE, **warm)
    with synapse(work, audience=1) as other:
        put(work, other, layouts.FAN, WRITERS, seconds=4)
        slow = _quietest(work, other, layouts.HALL, 10, warmup=3, rate=SYNAPSE_RATE, syncers=SYNCERS)
        pressed = _quietest(work, other, layouts.FAN, 10, warmup=3, syncers=200)
    xmpp = [_prosody(work, 0), _prosody(work, SYNAPSE_RATE)]
    runs = [closed, apart, ten_times, busy, slow, pressed]
    report.runs = runs + xmpp
    for run in runs:
        sync = run["sync"]
        table.rows.append(
            [
                run["label"],
                f"{_load(run['offered_rate'])}, {sync['syncers']} listen",
                run["updates_per_s"],
                sync["deliveries_per_s"],
                deliveries_per_cpu_second(run),
                sync["delivered_of_acked"],
                delivery_p99(run),
                cpu_seconds(run) / run["seconds"],
            ]
        )
    table.rows += [_xmpp_row(run) for run in xmpp]
    report.tables.append(table)
    theirs = max(deliveries_per_cpu_second(run) for run in (slow, pressed))
    prosodys = max(run["deliveries_per_cpu_s"] for run in xmpp)
    best = deliveries_per_cpu_second(closed)
    report.notes += _notes(closed, [apart, ten_times, busy], theirs, prosodys)
    report.figures = [
        at_least(
            "peer-deliveries",
            "deliveries a CPU-second, ours in a closed loop / Synapse's better",
            best / theirs,
            100,
        ),
        at_least(
            "prosody-deliveries",
            "deliveries a CPU-second, ours in a closed loop / Prosody's better",
            best / prosodys,
            4,
        ),
    ]
    return report


def _quietest(work, server, layout, seconds, **load):
    """What decides is measured again when it was disturbed."""
    return work.patience.quietest(lambda: [put(work, server, layout, WRITERS, seconds=seconds, **load)])[0]


def _load(rate):
    return rate if isinstance(rate, str) else f"{rate:.0f} updates/s"


def _notes(closed, fixed, theirs, prosodys):
    """Where updates coalesce, a figure says less than it seems; so the loads where they do not stand beside it."""
    arrived = closed["sync"]["delivered_of_acked"]
    notes = [
        "A delivery is an update that has arrived at somebody. Presence is state: who has not asked in between gets "
        f"the newest alone. In our closed loop {arrived:.0%} of updates x listeners arrived as deliveries, and many of "
        "them in one answer; Prosody sends each by itself, and Synapse nearly so."
    ]
    for run in fixed:
        figure = deliveries_per_cpu_second(run)
        notes.append(
            f"Ours at {run['offered_rate']:.0f} updates/s, where {run['sync']['delivered_of_acked']:.1%} arrived and "
            f"an answer has {run['sync']['events_per_response']:.2f} of them: {figure:,.0f} deliveries/CPU-s, "
            f"{figure / theirs:.0f} x Synapse's better and {figure / prosodys:.1f} x Prosody's."
        )
    return notes


def _prosody(work, rate):
    with prosody(work, users=200) as (port, process):
        seconds = work.seconds(6)
        command = [sys.executable, "-B", XMPP, "--port", port, "--pid", process.pid, "--users", 200]
        command += ["--senders", WRITERS, "--rate", rate, "--duration", seconds, "--warmup", 2]
        run = answer(command, seconds + 120)
    work.say(f"  Prosody: {run['deliveries_per_s']} deliveries/s, {run['deliveries_per_cpu_s']} a second of CPU")
    return run


def _xmpp_row(run):
    return [
        "Prosody",
        f"{_load(run['offered_rate'])}, 200 listen",
        run["updates_per_s"],
        run["deliveries_per_s"],
        run["deliveries_per_cpu_s"],
        run["delivered_of_expected"],
        run["delivery_latency"]["p99_ms"],
        run["server_cpu_cores"],
    ]

"""Bars about updates with nobody listening: beside Synapse, by the size of the audience, and beside a bare server."""

import contextlib
import itertools
import statistics

import layouts
from load import (
    cpu_seconds,
    deliveries_per_cpu_second,
    delivery_p99,
    per_cpu_second,
    put,
    put_p99,
    resident,
    updates_per_cpu_second,
)
from results import Report, Table, at_least
from servers import bare, ours
from synapse import synapse

# Synapse keeps what it has read in caches; after this long it is as fast as it gets.
WARM_UP_SECONDS = 4


def alternate(patience, rounds, servers, measure):
    """Measures each in turn, so many times, every second time in reverse: what drifts does so for all. A list each."""
    rounds_runs = []
    for number in range(rounds):
        step = 1 if number % 2 == 0 else -1
        rounds_runs.append(patience.quietest(lambda step=step: [measure(server) for server in servers[::step]][::step]))
    return [list(runs) for runs in zip(*rounds_runs, strict=True)]


def closed_loop(work, rounds, servers, layout, connections, seconds):
    """Alternating runs with nobody listening."""

    def measure(server):
        return put(work, server, layout, connections, seconds=seconds)

    return alternate(work.patience, rounds, servers, measure)


def rate(run):
    return run["updates_per_s"]


def paired(figure, ours_runs, other_runs):
    """The median over the rounds of ours / the other's."""
    pairs = zip(ours_runs, other_runs, strict=True)
    return statistics.median(figure(mine) / max(figure(other), 1e-9) for mine, other in pairs)


def middle(figure, runs):
    return statistics.median(figure(run) for run in runs)


def beside_synapse(work):
    """Closed loop, by layout, connections and broadcast: updates for a second of CPU, and the p99 of a PUT."""
    report = Report()
    table = Table(
        "Updates in a closed loop, nobody listening",
        [
            *("rooms", "connections", "broadcast"),
            *("updates/CPU-s, ours", "Synapse", "ratio"),
            *("PUT p99 ms, ours", "Synapse", "ratio"),
            *("updates/s, ours", "Synapse"),
        ],
        [],
    )
    efficiency, quickness = [], []
    with contextlib.ExitStack() as started:
        pairs = {
            audience: [started.enter_context(start(work, audience=audience)) for start in (ours, synapse)]
            for audience in (1, 0)
        }
        for servers in pairs.values():
            for server in servers:
                put(work, server, layouts.TENS, 16, seconds=WARM_UP_SECONDS)
        for layout, connections in itertools.product((layouts.TENS, layouts.HALL), (16, 64)):
            for audience, servers in pairs.items():
                our_runs, their_runs = closed_loop(work, 2, servers, layout, connections, 4)
                report.runs += our_runs + their_runs
                efficiency.append(paired(updates_per_cpu_second, our_runs, their_runs))
                quickness.append(1 / paired(put_p99, our_runs, their_runs))
                row = [f"{layout.rooms} of {layout.users // layout.rooms}", connections, "on" if audience else "off"]
                row += [*both(updates_per_cpu_second, our_runs, their_runs), efficiency[-1]]
                row += [*both(put_p99, our_runs, their_runs), quickness[-1]]
                table.rows.append([*row, *both(rate, our_runs, their_runs)])
    memory = [middle(resident, [run for run in report.runs if run["label"] == name]) for name in ("ours", "Synapse")]
    report.tables.append(table)
    report.notes.append(
        "Each row: two rounds, ours and Synapse alternating; the ratio is the median over the rounds. The worst row "
        f"decides. Resident meanwhile: ours {memory[0]:.0f} MiB, Synapse {memory[1]:.0f} MiB."
    )
    report.figures = [
        at_least("peer-updates", "updates for a second of CPU, ours / Synapse, worst row", min(efficiency), 200),
        at_least("peer-put-p99", "p99 of a PUT, Synapse's / ours, worst row", min(quickness), 50),
    ]
    return report


def both(figure, our_runs, their_runs):
    return middle(figure, our_runs), middle(figure, their_runs)


def audience(work):
    """`always_send_to_users` of 1 and of 1,000: what is kept of the updates, and what it costs when they listen."""
    report = Report()
    table = Table(
        "Updates in a closed loop, 20 rooms of 10, 16 connections, nobody of the audience listening",
        ["server", "audience", "updates/s", "updates/CPU-s"],
        [],
    )
    with ours(work, audience=1) as one, ours(work, audience=layouts.AUDIENCE) as thousand:
        for server in (one, thousand):
            put(work, server, layouts.TENS, 16, seconds=2)
        few, many = closed_loop(work, 4, (one, thousand), layouts.TENS, 16, 3)
        listening = [
            put(work, thousand, layouts.TENS, 16, seconds=4, observers=layouts.AUDIENCE),
            put(work, one, layouts.TENS, 16, seconds=4, observers=1),
        ]
    with synapse(work, audience=1) as one, synapse(work, audience=layouts.AUDIENCE) as thousand:
        for server in (one, thousand):
            put(work, server, layouts.TENS, 16, seconds=2)
        their_few, their_many = closed_loop(work, 1, (one, thousand), layouts.TENS, 16, 4)
    report.runs = few + many + listening + their_few + their_many
    _audience_rows(table, "ours", few, many)
    _audience_rows(table, "Synapse", their_few, their_many)
    report.tables = [table, _listening_table(listening)]
    kept, theirs = paired(rate, many, few), paired(rate, their_many, their_few)
    report.notes.append(
        f"Where nobody of the audience listens, ours keeps {kept:.2f} of its updates/s, Synapse {theirs:.2f}."
    )
    report.figures = [
        at_least("audience", "updates/s with an audience of 1,000 / with one of 1, none of them listening", kept, 0.8)
    ]
    return report


def _audience_rows(table, name, few, many):
    for size, runs in ((1, few), (layouts.AUDIENCE, many)):
        table.rows.append([name, size, middle(rate, runs), middle(updates_per_cpu_second, runs)])


def _listening_table(runs):
    table = Table(
        "Ours, with the audience listening, closed loop",
        ["listeners", "updates/s", "deliveries/s", "CPU-us a delivery", "deliveries of updates x listeners"],
        [],
    )
    for run in runs:
        sync = run["sync"]
        cost = 1e6 / per_cpu_second(sync["deliveries"], cpu_seconds(run))
        row = [sync["syncers"], run["updates_per_s"], sync["deliveries_per_s"], cost, sync["delivered_of_acked"]]
        table.rows.append(row)
    return table


def by_threads(work):
    """No bar: what more threads than the default one cost, and bring."""
    report = Report()
    table = Table(
        "By `worker_threads`",
        [
            *("threads", "updates/s, 16 connections", "64 connections", "updates/CPU-s, 16 connections", "64 connections"),
            *("CPU-us a delivery, 240 updates/s to 50", "p99 ms"),
        ],
        [],
    )
    numbers = (1, 2, 4)
    with contextlib.ExitStack() as started:
        servers = [started.enter_context(ours(work, audience=1, threads=number)) for number in numbers]
        loops = [closed_loop(work, 2, servers, layouts.TENS, connections, 3) for connections in (16, 64)]

        def deliver(server):
            return put(work, server, layouts.HALL, 16, seconds=4, rate=240, syncers=50)

        heard = alternate(work.patience, 2, servers, deliver)
    for number, few, many, listening in zip(numbers, *loops, heard, strict=True):
        report.runs += few + many + listening
        row = [number, middle(rate, few), middle(rate, many)]
        row += [middle(updates_per_cpu_second, few), middle(updates_per_cpu_second, many)]
        cost = 1e6 / middle(deliveries_per_cpu_second, listening)
        table.rows.append([*row, cost, middle(delivery_p99, listening)])
    report.tables.append(table)
    return report


def beside_bare(work):
    """The same load on a bare axum server that parses the same requests and answers `{}`; ours with storage on."""
    report = Report()
    table = Table(
        "Updates in a closed loop, 20 rooms of 10",
        ["threads of both", "connections", "updates/s, ours", "bare", "ratio", "updates/CPU-s, ours", "bare"],
        [],
    )
    ratios = []
    for threads in (1, 4):
        with ours(work, audience=1, threads=threads) as mine, bare(work, threads=threads) as other:
            for server in (mine, other):
                put(work, server, layouts.TENS, 16, seconds=2)
            for connections in (16, 64):
                runs = closed_loop(work, 3, (mine, other), layouts.TENS, connections, 3)
                report.runs += runs[0] + runs[1]
                ratios.append(paired(rate, *runs))
                row = [threads, connections, *both(rate, *runs), ratios[-1]]
                table.rows.append([*row, *both(updates_per_cpu_second, *runs)])
    report.tables.append(table)
    report.notes.append(
        "Three rounds, alternating; the median of the ratios. One thread is the default of ours. The load program has its "
        "share of the same cores."
    )
    report.figures = [at_least("bare", "updates/s, ours / bare, worst row", min(ratios), 0.7)]
    return report

"""Bars about updates with nobody listening: beside Synapse, by the size of the audience, and beside a bare server."""

import contextlib
import statistics

import layouts
from load import cpu_seconds, per_cpu_second, put, put_p99, resident, updates_per_cpu_second
from results import Report, Table, at_least
from servers import bare, ours
from synapse import synapse

# Synapse keeps what it has read in caches; after this long it is as fast as it gets.
WARM_UP_SECONDS = 4


def alternate(rounds, *measures):
    """Runs each in turn, so many times, every second time in reverse: what drifts does so for all. A list for each."""
    runs = [[] for _ in measures]
    for number in range(rounds):
        order = list(enumerate(measures))
        for index, measure in order if number % 2 == 0 else reversed(order):
            runs[index].append(measure())
    return runs


def paired(figure, ours_runs, other_runs):
    """The median over the rounds of ours / the other's."""
    return statistics.median(figure(mine) / max(figure(other), 1e-9) for mine, other in zip(ours_runs, other_runs))


def middle(figure, runs):
    return statistics.median(figure(run) for run in runs)


def beside_synapse(work):
    """Closed loop, by layout, connections and broadcast: updates for a second of CPU, and the p99 of a PUT."""
    report = Report()
    table = Table(
        "Updates in a closed loop, nobody listening",
        [
            "rooms",
            "connections",
            "broadcast",
            "updates/CPU-s, ours",
            "Synapse",
            "ratio",
            "PUT p99 ms, ours",
            "Synapse",
            "ratio",
            "updates/s, ours",
            "Synapse",
        ],
        [],
    )
    efficiency, quickness = [], []
    with contextlib.ExitStack() as servers:
        pairs = {
            audience: (
                servers.enter_context(ours(work, audience=audience)),
                servers.enter_context(synapse(work, audience=audience)),
            )
            for audience in (1, 0)
        }
        for mine, other in pairs.values():
            for server in (mine, other):
                put(work, server, layouts.TENS, 16, seconds=WARM_UP_SECONDS)
        for layout, title in ((layouts.TENS, "20 of 10"), (layouts.HALL, "1 of 200")):
            for connections in (16, 64):
                for audience, (mine, other) in pairs.items():
                    our_runs, their_runs = alternate(
                        2,
                        lambda: put(work, mine, layout, connections, seconds=4),
                        lambda: put(work, other, layout, connections, seconds=4),
                    )
                    report.runs += our_runs + their_runs
                    ratio = paired(updates_per_cpu_second, our_runs, their_runs)
                    faster = 1 / paired(put_p99, our_runs, their_runs)
                    efficiency.append(ratio)
                    quickness.append(faster)
                    table.rows.append(
                        [
                            title,
                            connections,
                            "on" if audience else "off",
                            middle(updates_per_cpu_second, our_runs),
                            middle(updates_per_cpu_second, their_runs),
                            ratio,
                            middle(put_p99, our_runs),
                            middle(put_p99, their_runs),
                            faster,
                            middle(lambda run: run["updates_per_s"], our_runs),
                            middle(lambda run: run["updates_per_s"], their_runs),
                        ]
                    )
        memory = {name: middle(resident, [r for r in report.runs if r["label"] == name]) for name in ("ours", "Synapse")}
    report.tables.append(table)
    report.notes.append(
        "Each row: two rounds, ours and Synapse alternating; the ratio is the median over the rounds. The worst row decides. "
        f"Resident meanwhile: ours {memory['ours']:.0f} MiB, Synapse {memory['Synapse']:.0f} MiB."
    )
    report.figures = [
        at_least("peer-updates", "updates for a second of CPU, ours / Synapse, worst row", min(efficiency), 200),
        at_least("peer-put-p99", "p99 of a PUT, Synapse's / ours, worst row", min(quickness), 50),
    ]
    return report


def audience(work):
    """`always_send_to_users` of 1 and of 1,000: what is kept of the updates, and what it costs when they listen."""
    report = Report()
    table = Table("Updates in a closed loop, 20 rooms of 10, 16 connections", ["server", "audience", "updates/s", "updates/CPU-s"], [])
    with ours(work, audience=1) as one, ours(work, audience=layouts.AUDIENCE) as thousand:
        for server in (one, thousand):
            put(work, server, layouts.TENS, 16, seconds=2)
        few, many = alternate(
            4,
            lambda: put(work, one, layouts.TENS, 16, seconds=3),
            lambda: put(work, thousand, layouts.TENS, 16, seconds=3),
        )
        listening = put(work, thousand, layouts.TENS, 16, seconds=4, observers=layouts.AUDIENCE)
        alone = put(work, one, layouts.TENS, 16, seconds=4, observers=1)
    report.runs += few + many + [listening, alone]
    _audience_rows(table, "ours", few, many)
    their_few, their_many = _synapse_audience(work)
    report.runs += their_few + their_many
    _audience_rows(table, "Synapse", their_few, their_many)
    kept = paired(lambda run: run["updates_per_s"], many, few)
    theirs = paired(lambda run: run["updates_per_s"], their_many, their_few)
    report.tables.append(table)
    report.tables.append(_listening_table(listening, alone))
    report.notes.append(f"Nobody of the audience listens: ours keeps {kept:.2f} of its updates/s, Synapse {theirs:.2f}.")
    report.figures = [
        at_least("audience", "updates/s with an audience of 1,000 / with one of 1, nobody of them listening", kept, 0.8)
    ]
    return report


def _audience_rows(table, name, few, many):
    for size, runs in ((1, few), (layouts.AUDIENCE, many)):
        rate = middle(lambda run: run["updates_per_s"], runs)
        table.rows.append([name, size, rate, middle(updates_per_cpu_second, runs)])


def _synapse_audience(work):
    with synapse(work, audience=1) as one, synapse(work, audience=layouts.AUDIENCE) as thousand:
        for server in (one, thousand):
            put(work, server, layouts.TENS, 16, seconds=2)
        return alternate(
            1,
            lambda: put(work, one, layouts.TENS, 16, seconds=4),
            lambda: put(work, thousand, layouts.TENS, 16, seconds=4),
        )


def _listening_table(*runs):
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


def beside_bare(work):
    """The same load on a bare axum server that parses the same requests and answers `{}`; ours with storage on."""
    report = Report()
    table = Table(
        "Updates in a closed loop, 20 rooms of 10",
        ["connections", "updates/s, ours", "bare", "ratio", "updates/CPU-s, ours", "bare"],
        [],
    )
    ratios = []
    with ours(work, audience=1) as mine, bare(work) as other:
        for server in (mine, other):
            put(work, server, layouts.TENS, 16, seconds=2)
        for connections in (16, 64):
            our_runs, their_runs = alternate(
                5,
                lambda: put(work, mine, layouts.TENS, connections, seconds=3),
                lambda: put(work, other, layouts.TENS, connections, seconds=3),
            )
            report.runs += our_runs + their_runs
            ratio = paired(lambda run: run["updates_per_s"], our_runs, their_runs)
            ratios.append(ratio)
            rates = [middle(lambda run: run["updates_per_s"], runs) for runs in (our_runs, their_runs)]
            costs = [middle(updates_per_cpu_second, runs) for runs in (our_runs, their_runs)]
            table.rows.append([connections, *rates, ratio, *costs])
    report.tables.append(table)
    report.notes.append(
        "Five rounds, alternating; the median of the ratios. The load program has its share of the same cores."
    )
    report.figures = [at_least("bare", "updates/s, ours / bare, worst row", min(ratios), 0.7)]
    return report

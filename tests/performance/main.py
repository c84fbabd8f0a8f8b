"""The command line: which bars there are, in which order, and what is made of them in the end."""

import argparse
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import curves
import deliveries
import machine
import page
import scale
import updates
from benches import bench
from prepare import prepare
from processes import Fault
from results import disturbance, show, store
from work import REPOSITORY, Work

# For everything: far beyond the 20 minutes that it takes, so that nothing hangs for ever.
DEADLINE_SECONDS = 3 * 3600

PAGE = REPOSITORY / "docs" / "performance.md"
PLOTS = REPOSITORY / "docs" / "performance"


@dataclass(frozen=True)
class Bar:
    name: str
    about: str
    needs: tuple
    measure: Callable


BARS = (
    Bar("module-call", "a module that is loaded, against the same one linked", ("benches",), bench("module_call")),
    Bar("route", "from changes to finished deliveries, without HTTP", ("benches",), bench("route")),
    Bar("sync", "an incremental sync, by what has changed and by who exists", ("benches",), bench("sync")),
    Bar("store", "updates through the storage", ("benches",), bench("store")),
    Bar(
        "peer-updates",
        "updates for a second of CPU, and p99, beside Synapse",
        ("build", "synapse"),
        updates.beside_synapse,
    ),
    Bar("peer-latency", "update to delivery at ten times Synapse's load", ("build", "synapse"), deliveries.latency),
    Bar(
        "peer-deliveries",
        "deliveries for a second of CPU, beside Synapse and Prosody",
        ("build", "synapse", "prosody"),
        deliveries.fan_out,
    ),
    Bar("audience", "what an audience of 1,000 costs", ("build", "synapse"), updates.audience),
    Bar("bare", "updates beside a bare server", ("build",), updates.beside_bare),
    Bar("threads", "no bar: what more threads cost and bring", ("build",), updates.by_threads),
    Bar("scale", "2,000,000 users, and as many long-polls as there can be", ("build",), scale.scale),
    Bar("curves", "no bar: what the plots show", ("build", "synapse", "plots"), curves.curves),
)


def main():
    options = _options()
    if options.list:
        for bar in BARS:
            print(f"{bar.name:<16} {bar.about}")
        return 0
    # Ended by a signal, servers and folders are cleared away as after a fault.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, _end)
    signal.alarm(DEADLINE_SECONDS)
    scale.allow_files()
    work = Work(binaries=options.binaries, quick=options.quick)
    with work.scratch_folder():
        if options.page:
            return _publish(work)
        return _measure(work, options)


def _options():
    parser = argparse.ArgumentParser(
        prog="tests/performance/run.sh", description="Measures, and says which bars are met."
    )
    parser.add_argument("bars", nargs="*", metavar="BAR", help="these alone")
    parser.add_argument("--list", action="store_true", help="say which bars there are")
    parser.add_argument("--prepare", action="store_true", help="make what they need, and measure nothing")
    parser.add_argument("--page", action="store_true", help="only renew docs/performance.md from what is stored")
    parser.add_argument("--quick", action="store_true", help="a third of the time; not to be quoted")
    parser.add_argument("--binaries", metavar="FOLDER", help="where the programs are; they are not built then")
    options = parser.parse_args()
    known = [bar.name for bar in BARS]
    for name in options.bars:
        if name not in known:
            parser.error(f"there is no bar {name!r}; the bars are {', '.join(known)}")
    return options


def _end(number, _):
    raise SystemExit(f"ended by {signal.Signals(number).name}")


def _measure(work, options):
    chosen = [bar for bar in BARS if bar.name in options.bars or not options.bars]
    try:
        prepare(work, {need for bar in chosen for need in bar.needs})
    except Fault as fault:
        print(f"cannot be prepared: {fault}", file=sys.stderr)
        return 1
    if options.prepare:
        return 0
    lines, failed = [], False
    began = time.monotonic()
    described = machine.describe(work.repository)
    for bar in chosen:
        said, fine = _one(work, bar, described)
        lines += said
        failed = failed or not fine
    if not options.bars and not options.quick and not failed:
        _publish(work)
    work.say(f"measured in {time.monotonic() - began:.0f} s; the results are in {work.results}")
    print("\n".join(lines))
    return 1 if failed else 0


def _one(work, bar, described):
    """One bar: its lines, and whether it could be measured. A figure that is missed is no failure."""
    work.say(f"== {bar.name}: {bar.about}")
    began = time.monotonic()
    try:
        report = bar.measure(work)
    except (Fault, OSError, KeyError, ValueError, subprocess.SubprocessError) as fault:
        if not isinstance(fault, Fault):
            traceback.print_exc()
        return [f"bar {bar.name}: not measured: {fault}"], False
    result = report.as_json(bar.name, described)
    store(work.results, bar.name, result)
    for table in report.tables:
        work.say(show(table))
    for note in report.notes:
        work.say(note)
    if disturbance(result):
        work.say(disturbance(result))
    work.say(f"-- {bar.name}: {time.monotonic() - began:.0f} s")
    return [figure.line() for figure in report.figures], True


def _publish(work):
    """The plots and the tables of the page, from what is stored."""
    stored = work.results / "curves.json"
    if stored.exists():
        prepare(work, {"plots"})
        plots = REPOSITORY / "tests" / "performance" / "plots.py"
        work.run([work.plot_python, "-B", plots, stored, PLOTS], 120)
    page.write(PAGE, work.results, [bar.name for bar in BARS])
    work.say(f"renewed: {PAGE.relative_to(REPOSITORY)}, {PLOTS.relative_to(REPOSITORY)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; all that was started has ended")

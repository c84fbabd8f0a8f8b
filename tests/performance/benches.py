"""The bars of `host/benches`: runs `cargo bench`, and reads the lines that it prints of its bars."""

import re
import subprocess

from processes import Fault
from results import Figure, Report

# The benches without what criterion measures of them.
BARS_ALONE = "--bar"
SECONDS = 900

LINE = re.compile(r"^bar (?P<name>[\w.-]+): (?P<figure>[\d.,]+)(?: (?P<unit>[^(]+?))? \(wanted (?P<relation><=|>=) (?P<wanted>[\d.,]+)")


def bench(name):
    """What measures the bars of one bench."""

    def measure(work):
        report = Report()
        command = ["cargo", "bench", "-p", "presence-router", "--bench", name, "--", BARS_ALONE]
        try:
            said = work.run(command, SECONDS, cwd=work.repository)
        except subprocess.TimeoutExpired as late:
            raise Fault(f"{' '.join(command)}: did not end within {SECONDS} s") from late
        report.figures = figures(said)
        if not report.figures:
            raise Fault(f"{' '.join(command)}: printed no line of a bar:\n{said[-2000:]}")
        report.notes.append(f"By `cargo bench -p presence-router --bench {name}`, which prints more.")
        return report

    return measure


def figures(said):
    """The bars in what a bench has printed."""
    found = [LINE.match(line) for line in said.splitlines()]
    return [
        Figure(
            match["name"],
            f"by the bench {match['name']}",
            float(match["figure"].replace(",", "")),
            match["relation"],
            float(match["wanted"].replace(",", "")),
            (match["unit"] or "").strip(),
        )
        for match in found
        if match
    ]

"""The bars of `host/benches`: runs `cargo bench`, and reads the lines that it prints of its bars."""

import re
import subprocess

from processes import Fault
from results import Figure, Report, Table

# The benches without what criterion measures of them.
BARS_ALONE = "--bar"
SECONDS = 900

# A bar, and a figure of which nothing is wanted.
BAR = re.compile(
    r"^bar (?P<name>.+): (?P<figure>[\d.,]+)(?: (?P<unit>[^()]+))? "
    r"\(wanted (?P<relation><=|>=) (?P<wanted>[\d.,]+)[^()]*\): (?P<verdict>met|missed)$"
)
KNOWN = re.compile(r"^figure (?P<name>.+): (?P<figure>[\d.,]+) (?P<unit>.+)$")


def bench(name):
    """What measures the bars of one bench."""

    def measure(work):
        report = Report()
        command = ["cargo", "bench", "-p", "presence-router", "--bench", name, "--", BARS_ALONE]
        try:
            said = work.run(command, SECONDS, cwd=work.repository)
        except subprocess.TimeoutExpired as late:
            raise Fault(f"{' '.join(command)}: did not end within {SECONDS} s") from late
        report.figures, others = figures(said), known(name, said)
        if not report.figures and not others.rows:
            raise Fault(f"{' '.join(command)}: printed no figures:\n{said[-2000:]}")
        report.tables = [others] if others.rows else []
        report.notes.append(f"By `cargo bench -p presence-router --bench {name}`, which has more.")
        return report

    return measure


def figures(said):
    """The bars in what a bench has printed, with its own verdict: it knows more digits than it prints."""
    found = [BAR.match(line) for line in said.splitlines()]
    return [
        Figure(
            match["name"],
            "",
            _number(match["figure"]),
            match["relation"],
            _number(match["wanted"]),
            match["unit"] or "",
            match["verdict"],
        )
        for match in found
        if match
    ]


def known(name, said):
    """Its other figures."""
    found = [KNOWN.match(line) for line in said.splitlines()]
    rows = [[match["name"], _number(match["figure"]), match["unit"]] for match in found if match]
    return Table(f"What the bench {name} says beside its bars", ["what", "figure", "unit"], rows)


def _number(text):
    return float(text.replace(",", ""))

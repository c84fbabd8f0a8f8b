"""What a bar has come to: its figures, whether they are met, and the tables behind them. Prints and stores it."""

import json
import math
from dataclasses import dataclass, field


# What idle servers and the system may take; whatever takes more spoils the figures.
QUIET_CORES = 0.5


@dataclass(frozen=True)
class Figure:
    """One number that is wanted to be at least, or at most, another."""

    name: str
    what: str
    value: float
    relation: str
    wanted: float
    unit: str = ""
    # Of who has measured it elsewhere.
    said: str = ""

    @property
    def verdict(self):
        if self.said:
            return self.said
        if math.isnan(self.value):
            return "missed"
        met = self.value >= self.wanted if self.relation == ">=" else self.value <= self.wanted
        return "met" if met else "missed"

    def line(self):
        unit = f" {self.unit}" if self.unit else ""
        wanted = f"{self.relation} {plain(self.wanted)}{unit}"
        return f"bar {self.name}: {short(self.value)}{unit} (wanted {wanted}): {self.verdict}"


def at_least(name, what, value, wanted, unit=""):
    return Figure(name, what, value, ">=", wanted, unit)


def at_most(name, what, value, wanted, unit="", said=""):
    return Figure(name, what, value, "<=", wanted, unit, said)


@dataclass
class Table:
    title: str
    header: list
    rows: list


@dataclass
class Report:
    """All that one bar has measured."""

    figures: list = field(default_factory=list)
    tables: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    # What the load program has printed in each run, whole.
    runs: list = field(default_factory=list)

    def as_json(self, name, machine):
        """What is stored, and read again by the page."""
        figures = [
            {
                "name": figure.name,
                "what": figure.what,
                "figure": figure.value,
                "relation": figure.relation,
                "wanted": figure.wanted,
                "unit": figure.unit,
                "verdict": figure.verdict,
                "line": figure.line(),
            }
            for figure in self.figures
        ]
        return {
            "bar": name,
            "command": f"tests/performance/run.sh {name}",
            "machine": machine,
            "figures": figures,
            "tables": [vars(table) for table in self.tables],
            "notes": self.notes,
            "others_cpu_cores": self.most("other_cpu_cores"),
            "generator_cpu_cores": self.most("generator_cpu_cores"),
            "stolen_cpu_cores": self.most("stolen_cpu_cores"),
            "runs": self.runs,
        }

    def most(self, name):
        """The most of it in any run; nothing when no run says it."""
        return max((run[name] for run in self.runs if name in run), default=None)


def disturbance(result):
    """What to say of a result that others have had a part in, other programs or other machines; nothing when they have not."""
    cores = result["machine"]["cores"]
    said = []
    for name, what in (("others_cpu_cores", "other programs took"), ("stolen_cpu_cores", "other virtual machines took")):
        taken = result.get(name)
        if taken is not None and taken >= QUIET_CORES:
            said.append(f"{what} up to {taken:.1f} of {cores} cores")
    return f"The machine was not quiet: {' and '.join(said)} in a run. Measure again when it is." if said else ""


def store(directory, name, result):
    path = directory / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return path


def short(value):
    """A number with as many digits as it deserves."""
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "none"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    if abs(value) >= 1:
        return f"{value:.2f}"
    return f"{value:.3f}"


def plain(value):
    """A number as somebody has written it."""
    return f"{value:,.15g}"


def show(table):
    """A table as text, for a terminal."""
    rows = [[short(cell) for cell in row] for row in [table.header, *table.rows]]
    widths = [max(len(row[n]) for row in rows) for n in range(len(table.header))]
    lines = [table.title]
    lines += ["  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
    return "\n".join(lines)

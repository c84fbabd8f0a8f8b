"""Draws the plots from what `curves` has measured. Runs on the Python that has matplotlib.

plots.py CURVES.json FOLDER"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402 after the backend was chosen
from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: E402

# Text stays text: smaller, and found by who searches. Ids and dates do not change from run to run.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "performance", "font.size": 10})
COLOURS = {"ours": "#1f6f5c", "Synapse": "#b3541e"}
MOST_BYTES = 60_000

# Which table, which of its columns, and what the axes say.
PLOTS = {
    "throughput": ("Throughput against connections", "connections", "updates/s", "connections", "updates a second"),
    "latency": (
        "Latency against load",
        "deliveries/s",
        "update to delivery p99 ms",
        "deliveries a second",
        "p99 from update to delivery, ms",
    ),
    "memory": ("Memory against users", "users", "resident MiB", "users with presence", "resident, MiB"),
}


def draw(tables, name, folder):
    title, x_column, y_column, x_label, y_label = PLOTS[name]
    table = next(table for table in tables if table["title"].startswith(title))
    header = table["header"]
    x_at, y_at = header.index(x_column), header.index(y_column)
    figure, axes = pyplot.subplots(figsize=(6.4, 3.8))
    for server, colour in COLOURS.items():
        points = sorted((row[x_at], row[y_at]) for row in table["rows"] if row[0] == server and row[y_at])
        axes.plot(*zip(*points), marker="o", color=colour, label=server)
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:,.15g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
    if name == "throughput":
        axes.set_xticks(sorted({row[x_at] for row in table["rows"]}))
    axes.set_title(table["title"], fontsize=9)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.legend()
    figure.tight_layout()
    path = folder / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise SystemExit(f"{path} has {size} bytes, of {MOST_BYTES} at most")
    print(path)


def main():
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    tables = json.loads(source.read_text(encoding="utf-8"))["tables"]
    for name in PLOTS:
        draw(tables, name, folder)


if __name__ == "__main__":
    main()

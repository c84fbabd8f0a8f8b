"""Writes the tables of docs/performance.md from what is stored: between two markers, and nowhere else."""

import json

from processes import Fault
from results import disturbance, plain, short

BEGIN = "<!-- figures: made by tests/performance/run.sh, do not edit -->"
END = "<!-- figures: end -->"


def write(page, results_folder, names):
    """Puts the stored results of these bars into the page; a bar without one is said to be without."""
    results = {}
    for name in names:
        path = results_folder / f"{name}.json"
        results[name] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if not any(results.values()):
        raise Fault(f"{results_folder} has no results yet: run tests/performance/run.sh")
    text = page.read_text(encoding="utf-8")
    page.write_text(between(text, block(results)), encoding="utf-8")


def between(text, made):
    """The page with what was made between its markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise Fault(f"the page has no lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{made}\n{END}{after}"


def block(results):
    there = {name: result for name, result in results.items() if result}
    lines = _machine([result["machine"] for result in there.values()])
    lines += ["### The bars", "", *_row(["bar", "what", "figure", "wanted", "", "command"], rule=True)]
    for name, result in results.items():
        if result is None:
            lines += _row([f"`{name}`", "", "not measured", "", "", f"`tests/performance/run.sh {name}`"])
            continue
        for figure in result["figures"]:
            unit = f" {figure['unit']}" if figure["unit"] else ""
            lines += _row(
                [
                    f"`{figure['name']}`",
                    figure["what"],
                    f"{short(figure['figure'])}{unit}",
                    f"{figure['relation']} {plain(figure['wanted'])}{unit}",
                    figure["verdict"] if figure["verdict"] == "met" else f"**{figure['verdict']}**",
                    f"`{result['command']}`",
                ]
            )
    lines.append("")
    for name, result in there.items():
        if result["tables"] or result["notes"]:
            lines += _details(name, result)
    return "\n".join(lines)


def _machine(machines):
    """What all were measured on; results of different days or sources are said to be so."""
    newest = max(machines, key=lambda machine: machine["date"])
    source = newest["commit"] + (" with changes" if newest["changed"] else "")
    lines = _row(["machine", ""], rule=True)
    for name, value in (
        ("cores", newest["cores"]),
        ("CPU", newest["cpu"]),
        ("memory", f"{newest['memory_gib']} GiB"),
        ("kernel", newest["kernel"]),
        ("compiler", newest["rustc"]),
        ("date", newest["date"]),
        ("commit", f"`{source}`"),
        ("command", "`tests/performance/run.sh`"),
    ):
        lines += _row([name, str(value)])
    if len({json.dumps(machine, sort_keys=True) for machine in machines}) > 1:
        lines += [
            "",
            "Not all bars were measured in one go: date, commit or machine differ; the stored results say them.",
        ]
    return [*lines, ""]


def _details(name, result):
    lines = [f"### `{name}`", ""]
    for table in result["tables"]:
        lines += [f"{table['title']}:", "", *_row(table["header"], rule=True)]
        for row in table["rows"]:
            lines += _row([short(cell) for cell in row])
        lines.append("")
    for note in result["notes"]:
        lines += [note, ""]
    others, generator = result["others_cpu_cores"], result["generator_cpu_cores"]
    if others is not None:
        said = f"The load program took at most {generator:.2f} cores in any of the runs, and all other programs, "
        lines += [said + f"the idle server among them, {max(others, 0):.2f}.", ""]
    if disturbance(result):
        lines += [f"**{disturbance(result)}**", ""]
    return lines


def _row(cells, rule=False):
    lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"]
    if rule:
        lines.append("|" + "---|" * len(cells))
    return lines

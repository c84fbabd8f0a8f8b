"""Whether figures are read, compared and written as they should be. Measures nothing; for CI."""

import unittest

import benches
import layouts
import load
import page
import updates
from patience import Patience
from results import Table, at_least, at_most, disturbance, show


class Figures(unittest.TestCase):
    def test_a_bar_is_met_or_missed_and_says_so(self):
        line = at_least("peer-updates", "", 187.3, 200).line()
        self.assertEqual(line, "bar peer-updates: 187 (wanted >= 200): missed")
        line = at_most("peer-latency", "", 5, 5, "ms").line()
        self.assertEqual(line, "bar peer-latency: 5 ms (wanted <= 5 ms): met")
        self.assertEqual(at_least("nothing", "", float("nan"), 1).verdict, "missed")

    def test_what_a_bench_says_of_its_bars_is_read(self):
        said = (
            "module_call/16  time: [1 us]\n"
            "figure module_call, an empty call: opened: 1.234 us a call\n"
            "bar module_call, 16 updates on: the worst: 1.05 (wanted <= 1.05): missed\n"
            "bar route (hot): 1,234,567 updates/s (wanted >= 1,000,000 updates/s): met\n"
            "bar not a line\n"
        )
        call, rate = benches.figures(said)
        self.assertEqual((call.name, call.value, call.wanted), ("module_call, 16 updates on: the worst", 1.05, 1.05))
        self.assertEqual(call.verdict, "missed", "the bench knows more digits")
        self.assertEqual(
            (rate.name, rate.value, rate.unit, rate.verdict), ("route (hot)", 1_234_567, "updates/s", "met")
        )
        rows = benches.known("module_call", said).rows
        self.assertEqual(rows, [["module_call, an empty call: opened", 1.234, "us a call"]])

    def test_rounds_alternate_and_turn(self):
        order = []

        def measure(server):
            order.append(server)
            return {"number": len(order)}

        runs = updates.alternate(Patience(0), 2, ["ours", "theirs"], measure)
        self.assertEqual(order, ["ours", "theirs", "theirs", "ours"])
        self.assertEqual([[run["number"] for run in mine] for mine in runs], [[1, 4], [2, 3]])

    def test_the_quietest_of_a_few_counts_as_long_as_there_is_time(self):
        def quietest(seconds, *stolen):
            measured = iter(stolen)
            return Patience(seconds).quietest(lambda: [{"stolen_cpu_cores": next(measured)}, {}])[0]["stolen_cpu_cores"]

        self.assertEqual(quietest(60, 0.05, 0.01), 0.05, "it was quiet")
        self.assertEqual(quietest(60, 0.9, 0.3, 0.5, 0.0), 0.3, "three times at most")
        self.assertEqual(quietest(0, 0.9, 0.0), 0.9, "there is no time")

    def test_rounds_are_compared_in_pairs(self):
        self.assertEqual(updates.paired(float, [10, 40, 90], [1, 2, 3]), 20)

    def test_who_has_had_a_part_in_a_result_is_told_of(self):
        result = {"machine": {"cores": 4}, "others_cpu_cores": 0.1, "stolen_cpu_cores": 0.2}
        self.assertEqual(disturbance(result), "")
        result["stolen_cpu_cores"] = 0.8
        self.assertIn("other virtual machines took up to 0.8 of 4 cores", disturbance(result))
        result["others_cpu_cores"] = 1.5
        self.assertIn("other programs took up to 1.5 of 4 cores and other virtual machines", disturbance(result))

    def test_a_latency_at_another_load_than_was_offered_misses_its_bar(self):
        behind, kept = ({"updates_per_s": rate, "offered_rate": 240} for rate in (200, 239))
        self.assertEqual(at_most("peer-latency", "", 1, 5, "ms", load.kept(behind)).verdict, "missed")
        self.assertEqual(at_most("peer-latency", "", 1, 5, "ms", load.kept(kept)).verdict, "met")

    def test_rooms_are_filled_evenly(self):
        for layout in layouts.ALL:
            sizes = {len(members) for members in layout.members()}
            self.assertEqual(sizes, {layout.users // layout.rooms})


class Page(unittest.TestCase):
    def test_only_what_is_between_the_markers_changes(self):
        text = f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n"
        self.assertEqual(page.between(text, "new"), f"before\n{page.BEGIN}\n\nnew\n{page.END}\nafter\n")
        with self.assertRaisesRegex(Exception, "has no lines"):
            page.between("no markers", "new")

    def test_a_bar_without_a_result_is_said_to_be_without(self):
        machine = {
            "date": "2026-01-01",
            "commit": "abc",
            "changed": False,
            "cores": 4,
            "cpu": "some",
            "memory_gib": 24,
            "kernel": "Linux",
            "rustc": "rustc 1.0",
        }
        result = {"machine": machine, "figures": [], "tables": [], "notes": ["a note"], "command": ""}
        result |= {"others_cpu_cores": 0.1, "generator_cpu_cores": 1.5}
        made = page.block({"there": result, "missing": None})
        self.assertIn("| `missing` |  | not measured |", made)
        self.assertIn("a note", made)

    def test_a_table_is_shown_in_columns(self):
        table = Table("title", ["a", "long name"], [[1234.5, "x"]])
        self.assertEqual(show(table), "title\n      a  long name\n  1,234          x")


if __name__ == "__main__":
    unittest.main()

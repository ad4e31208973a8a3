"""All sweeps that are kept: rows, hours, and how often each cell was repeated.

A cell is what rows share but for the seed of a training, the draw of patterns or the scenes left
out. Wanted are five seeds or ten draws, three where a row takes more than twenty minutes; what is
missing is counted with the hours that it takes if rows cost what the kept ones did, and the
command that adds it is named. Computes nothing.

    python book/results/_table.py
"""

from __future__ import annotations

import importlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from _sweep import RESULTS, further, stored_rows

HERE = Path(__file__).parent
#: What tells repetitions of a cell apart, and how many are wanted.
REPLICATES = {"draw": 10, "group": 10, "seed": 5}
DEAR_SECONDS, DEAR_WANTED = 1200, 3
#: Entries of a row that hold a number for each of several seeds.
WITHIN = {"latent_scaling": "ratio"}
#: Sweeps whose rows carry no interval of this kind, and why.
NO_INTERVAL = {
    "faults": "counts of trials",
    "tabular_optimum": "upper bounds, the best of several starts",
    "trained_networks": "an inequality, checked network by network",
}


class Line(NamedTuple):
    """What is said of a sweep; hours are of the rows kept, and of those planned and missing."""

    name: str
    n_rows: int
    hours: float
    n_cells: int
    replicate: str
    fewest: int
    most: int
    wanted: int
    hours_missing: float
    command: str


def cells_of(names: list[str], rows: list[dict[str, Any]], within: str = "") -> dict[tuple, list]:
    """Return the seconds of every repetition, by cell."""
    cells = defaultdict(list)
    for row in rows:
        n = len(row[within]) if within else 1
        cells[tuple(row[name] for name in names)] += [row["seconds"] / n] * n
    return cells


def planned(script: dict[str, Any], more: dict[str, Any], names: list[str]) -> Counter:
    """Return how many repetitions of every cell the script can compute."""
    counts: Counter = Counter()
    own = script.get("REPEATED", script["ROWS"])
    for keys, kind, n in (
        (own, script["NAMES"], script.get("N_SEEDS", 1) if "seed" not in script["NAMES"] else 1),
        (more["ROWS"] if more is not script else [], more["NAMES"], 1),
    ):
        for key in keys:
            counts[tuple(dict(zip(kind, key, strict=True))[name] for name in names)] += n
    return counts


def line(name: str, script: dict[str, Any], folder: Path = RESULTS) -> Line:
    """Return the line of a sweep, with what its file of further seeds or draws adds."""
    more = further(script) if "FURTHER" in script else script
    rows = stored_rows(folder / script["OUTPUT"].name)
    rows += stored_rows(folder / more["OUTPUT"].name) if more is not script else []
    hours = sum(row["seconds"] for row in rows) / 3600
    if name in NO_INTERVAL:
        return Line(name, len(rows), hours, len(rows), "", 1, 1, 1, 0.0, NO_INTERVAL[name])
    keys = (*script["NAMES"], *more["NAMES"])
    replicate = next(key for key in REPLICATES if key in keys)
    names = [key for key in script["NAMES"] if key != replicate]
    cells = cells_of(names, rows, WITHIN.get(name, ""))
    plan, wanted, missing = planned(script, more, names), REPLICATES[replicate], 0.0
    known = [seconds for cell in cells.values() for seconds in cell]
    for cell, n_planned in plan.items():
        seconds = cells.get(cell, [])
        mean = sum(seconds or known) / max(len(seconds or known), 1)
        need = min(n_planned, DEAR_WANTED if mean > DEAR_SECONDS else wanted)
        missing += mean * max(need - len(seconds), 0) / 3600
    counts = [len(cells.get(cell, [])) for cell in plan]
    commands = [f"python book/results/{name}.py"] if not plan.keys() <= cells.keys() else []
    if more is not script:
        commands.append(f"python book/results/{name}.py --further")
    done = all(n >= min(wanted, plan[cell]) for n, cell in zip(counts, plan, strict=True))
    command = "" if done else "; ".join(commands)
    span = min(counts), max(counts), wanted, missing, command
    return Line(name, len(rows), hours, len(plan), replicate, *span)


def table(folder: Path = RESULTS) -> list[Line]:
    """Return a line a sweep: of every script beside this one."""
    stems = sorted(path.stem for path in HERE.glob("[!_]*.py"))
    return [line(stem, vars(importlib.import_module(stem)), folder) for stem in stems]


def main() -> None:
    """Print the table."""
    print(f"{'sweep':<20}{'rows':>5}{'hours':>7}{'cells':>6}  repeated, wanted   hours missing")
    for one in table():
        times = f"{one.fewest}–{one.most} {one.replicate}s of {one.wanted}" if one.replicate else ""
        print(
            f"{one.name:<20}{one.n_rows:>5}{one.hours:>7.2f}{one.n_cells:>6}  {times:<18}"
            f"{one.hours_missing:>7.1f}  {one.command}"
        )


if __name__ == "__main__":
    main()

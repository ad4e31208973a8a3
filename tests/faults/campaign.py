"""The campaign of faults: what is disturbed, how often, and what came of it.

A row a kind of fault, kept in `mfvae/data/results/faults.json` and shown on the book's status page.
``make faults`` runs it, with the folder of the sweeps on the path; every row is seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from _damage import flips
from _disturb import full_and_read_only, kills, together
from _downloads import BEHAVIOURS, downloads
from _fuzz import fuzz
from _sweep import RESULTS, stored_rows, sweep_command

__all__ = ["compute_row", "main", "table"]

OUTPUT = RESULTS / "faults.json"
NAMES = ("fault", "of", "part")
FILTERS = {"fault": "fault", "of": "of", "part": "part"}
KILLS = {
    "store": 500,
    "fit": 110,
    "fit with patience": 110,
    "fit, temporaries elsewhere": 110,
    "save": 100,
    "caches": 100,
    "sweep": 100,
    "report": 100,
}
N_PARTS = 10  # an interrupted campaign goes on where it was
KINDS: dict[tuple[str, str], Callable[[int], dict[str, Any]]] = {
    **{
        ("killed", name): lambda part, name=name: kills(name, KILLS[name] // N_PARTS, 100 + part)
        for name in KILLS
    },
    ("at once", "two"): lambda part: together(2, 12, 200 + part),
    ("at once", "four"): lambda part: together(4, 12, 300 + part),
    ("no room", "full disks, read-only folders"): lambda part: full_and_read_only(18, 400 + part),
    ("damaged", "models, caches, checkpoints, stores"): lambda part: flips(200, 500 + part),
    ("hostile", "servers"): lambda part: downloads(list(BEHAVIOURS)[part::N_PARTS]),
    ("hostile", "arguments"): lambda part: fuzz(330, 4.0, 600, share=(part, N_PARTS)),
}
ROWS = [(*kind, part) for part in range(N_PARTS) for kind in KINDS]


def configuration() -> dict[str, Any]:
    """Return what all rows share."""
    return {"parts": N_PARTS, "kills": KILLS}


def compute_row(fault: str, of: str, part: int) -> dict[str, Any]:
    """Return the figures of one part of a kind of fault, with examples of what went wrong."""
    torch.set_num_threads(1)
    figures = KINDS[fault, of](part)
    examples = figures.pop("examples", [])
    if isinstance(examples, dict):
        print(*(f"{k}: {line}" for k, some in examples.items() for line in some), sep="\n")
        examples = [f"{k}: {line}" for k, some in examples.items() for line in some[:3]]
    return {"figures": figures, "examples": [text[:300] for text in examples]}


def table(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the figures of every kind: sums over its parts, of measured sizes the largest."""
    kinds: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        total = kinds.setdefault((row["fault"], row["of"]), {})
        for name, number in row["figures"].items():
            measured = isinstance(number, float)
            total[name] = (
                max(total.get(name, 0), number) if measured else total.get(name, 0) + number
            )
    return kinds


def main() -> None:
    sweep_command(globals())
    for (fault, of), figures in table(stored_rows(OUTPUT)).items():
        print(f"{fault}: {of}\n    " + ", ".join(f"{k} {v:,}" for k, v in figures.items()))


if __name__ == "__main__":
    main()

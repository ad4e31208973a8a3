"""The campaign of faults: what is disturbed, how often, and what came of it.

A row a kind of fault, kept in `mfvae/data/results/faults.json` and shown on the book's status page.
``make faults`` runs it, with the folder of the sweeps on the path; every row is seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from _damage import flips
from _disturb import full_and_read_only, kills, together
from _downloads import BEHAVIOURS, downloads
from _fuzz import fuzz
from _sweep import RESULTS, sweep_command

__all__ = ["compute_row", "main"]

OUTPUT = RESULTS / "faults.json"
NAMES = ("fault", "of")
FILTERS = {"fault": "fault", "of": "of"}
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
PARTS: dict[tuple[str, str], Callable[[], dict[str, Any]]] = {
    **{("killed", name): partial(kills, name, n, seed=17) for name, n in KILLS.items()},
    ("at once", "two"): partial(together, 2, 102, seed=18),
    ("at once", "four"): partial(together, 4, 102, seed=19),
    ("no room", "full disks and read-only folders"): partial(full_and_read_only, 108, seed=20),
    ("damaged", "models, caches, checkpoints, stores"): partial(flips, 2000, seed=21),
    ("hostile", "servers"): partial(downloads, list(BEHAVIOURS)),
    ("hostile", "arguments"): partial(fuzz, 420, 3.0, seed=22),
}
ROWS = list(PARTS)


def configuration() -> dict[str, Any]:
    """Return what all rows share."""
    return {"kills asked for": KILLS}


def compute_row(fault: str, of: str) -> dict[str, Any]:
    """Return the figures of one kind of fault, with a few examples of what went wrong."""
    torch.set_num_threads(1)
    figures = PARTS[fault, of]()
    examples = figures.pop("examples", [])
    if isinstance(examples, dict):
        print(*(f"{k}: {line}" for k, some in examples.items() for line in some), sep="\n")
        examples = [f"{k}: {line}" for k, some in examples.items() for line in some[:3]]
    return {"figures": figures, "examples": [text[:300] for text in examples]}


def main() -> None:
    sweep_command(globals())


if __name__ == "__main__":
    main()

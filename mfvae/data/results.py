"""The results of the long sweeps, kept with the package."""

import json
from importlib.resources import files
from typing import Any

from mfvae._validation import check_choice

__all__ = ["load_results"]


def load_results(name: str) -> dict[str, Any]:
    """Return the ``"configuration"`` and the ``"rows"`` that ``book/results/NAME.py`` computed.

    >>> load_results("prior_cost")["rows"][0]["system"]
    'hopfield'
    """
    folder = files("mfvae.data") / "results"
    names = sorted(f.name.removesuffix(".json") for f in folder.iterdir() if ".json" in f.name)
    return json.loads((folder / f"{check_choice(name, 'name', tuple(names))}.json").read_text())

"""The results of the long sweeps, kept with the package."""

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import numpy as np

from mfvae._validation import check_choice
from mfvae.systems import Estimate

__all__ = ["load_results", "mean_over_seeds"]


def load_results(name: str) -> dict[str, Any]:
    """Return the ``"configuration"`` and the ``"rows"`` that ``book/results/NAME.py`` computed.

    Rows of further seeds or draws follow those of the first, which has seed 0.

    >>> [row["seed"] for row in load_results("nematic_parameters")["rows"][::3]]
    [0, 1, 2, 3, 4]
    """
    folder = files("mfvae.data") / "results"
    stems = sorted(f.name.removesuffix(".json") for f in folder.iterdir() if ".json" in f.name)
    wanted = check_choice(name, "name", tuple(stems)), f"{name}_further"
    read = [json.loads((folder / f"{stem}.json").read_text()) for stem in stems if stem in wanted]
    if len(read) > 1:
        read[0]["rows"] = [{"seed": 0} | row for stored in read for row in stored["rows"]]
    return read[0]


def mean_over_seeds(rows: Iterable[dict[str, Any]], key: str, **wanted: Any) -> Estimate:
    """Return the mean of a measured ``[value, error]`` over the rows that agree with ``wanted``.

    Its error joins that of the mean, from the scatter of the rows, with the mean of their own,
    which they have in common where they were tested on the same configurations; of one row the
    scatter is unknown, and the error infinite. ValueError if no row agrees or has the key.

    >>> rows = [{"seed": k, "gap": [nats, 0.3]} for k, nats in enumerate((1.0, 1.5, 2.0))]
    >>> print(mean_over_seeds(rows, "gap"))
    1.5 ± 0.42
    """
    rows = list(rows)
    if not all(isinstance(row, dict) for row in rows):
        raise TypeError("rows must be dicts, as in load_results(name)['rows']")
    alike = [row for row in rows if wanted.items() <= row.items()]
    if not alike or not all(key in row for row in alike):
        raise ValueError(f"rows must hold some with {wanted}, each with {key!r}; got {len(alike)}")
    values, errors = np.array([row[key] for row in alike], dtype=float).T
    scatter = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.inf
    return Estimate(values.mean(), stderr=float(np.hypot(scatter, errors.mean())))

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
    """Return ``"configuration"`` and ``"rows"`` of ``book/results/NAME.py``, with further seeds.

    >>> [row["seed"] for row in load_results("nematic_parameters")["rows"][::3]]
    [0, 1, 2, 3, 4]
    """
    folder = files("mfvae.data") / "results"
    kept = {f.name.removesuffix(".json"): f for f in folder.iterdir() if ".json" in f.name}
    wanted = check_choice(name, "name", tuple(sorted(kept))), f"{name}_further"
    stored, *more = (json.loads(kept[stem].read_text()) for stem in wanted if stem in kept)
    rows = [{"seed": 0} | row for one in (stored, *more) for row in one["rows"]]
    return stored | {"rows": rows} if more else stored


def mean_over_seeds(rows: Iterable[dict[str, Any]], key: str, **wanted: Any) -> Estimate:
    """Return the mean of a measured ``[value, error]`` over the rows that agree with ``wanted``.

    Its error joins that of the mean, from the scatter of the rows, with the mean of their own, for
    they may share a test; of one row it is infinite. ValueError if no row agrees or has the key.

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

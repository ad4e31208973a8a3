"""How far a training may be from the same one on another machine: as far as other seeds are."""

from __future__ import annotations

from typing import Any

import numpy as np

import mfvae

__all__ = ["tolerance"]

SIGMAS = 5.5


def tolerance(name: str, key: str, **cell: Any) -> np.ndarray:
    """Return 5.5 standard deviations over the seeds of a sweep's rows that agree with ``cell``.

    Rounding that training amplifies does no more than other initial weights. Where the entry is
    ``[value, error]``, or a list of such, that error is joined to the deviation.
    """
    rows = mfvae.load_results(name)["rows"]
    entries = np.array([row[key] for row in rows if cell.items() <= row.items()], dtype=float)
    assert len(entries) >= 3, f"{len(entries)} rows of {name} with {cell}"
    if entries.ndim == 1:
        return SIGMAS * entries.std(ddof=1)
    values, errors = entries[..., 0], entries[..., 1]
    return SIGMAS * np.hypot(values.std(axis=0, ddof=1), errors.mean(axis=0))

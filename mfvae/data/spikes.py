"""Binary words out of spike times: a reader's own recording."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from mfvae._validation import check_finite_array, check_number
from mfvae.data.retina import RetinaWords

__all__ = ["bin_spikes", "words_from_spikes"]


def bin_spikes(
    spike_times: Sequence[np.ndarray], *, stop: float, start: float = 0.0, bin_width: float = 0.02
) -> np.ndarray:
    """Return the words of one trial, uint8 ``(n_bins, n_cells)``: 1 for at least one spike.

    Bin b covers ``[start + b·w, start + (b + 1)·w)``. Spikes outside the window, and a last bin
    that would be cut short by ``stop``, are left out.

    Args:
        spike_times: For each cell the times of its spikes, in any order, possibly none; in the
            unit of the other arguments (seconds, say).
        stop, start: End and beginning of the window.
        bin_width: Width w of a bin.

    >>> bin_spikes([[0.005, 0.012, 0.055], []], stop=0.06, bin_width=0.02)
    array([[1, 0],
           [0, 0],
           [1, 0]], dtype=uint8)
    """
    start, stop = check_number(start, "start"), check_number(stop, "stop")
    bin_width = check_number(bin_width, "bin_width", positive=True)
    n_bins = int(np.floor((stop - start) / bin_width * (1 + 1e-12) + 1e-9))
    if n_bins < 1:
        raise ValueError(f"the window from {start} to {stop} is shorter than a bin, {bin_width}")
    edges = start + bin_width * np.arange(n_bins + 1)
    if isinstance(spike_times, (str, bytes, dict)) or not hasattr(spike_times, "__len__"):
        raise TypeError("spike_times must be a sequence with one array of times a cell")
    if len(spike_times) == 0:
        raise ValueError("spike_times must hold at least one cell")
    words = np.zeros((n_bins, len(spike_times)), dtype=np.uint8)
    for cell, times in enumerate(spike_times):
        if np.size(times):
            times = check_finite_array(times, f"spike_times[{cell}]", ndim=1)
            index = np.searchsorted(edges, times, side="right") - 1
            words[index[(index >= 0) & (index < n_bins)], cell] = 1
    return words


def words_from_spikes(
    trials: Sequence[Sequence[np.ndarray]],
    *,
    stop: float,
    start: float = 0.0,
    bin_width: float = 0.02,
    source: str = "a reader's own recording",
) -> RetinaWords:
    """Return the words of a recording given by spike times, trial by trial.

    Args:
        trials: For each trial the ``spike_times`` of :func:`bin_spikes`, counted from its
            beginning; a single continuous recording is one trial.
        stop, start, bin_width: Window of every trial and width of its bins, in seconds.
        source: A sentence that names the recording.

    >>> own = words_from_spikes([[[0.01], [0.03]], [[], [0.01, 0.035]]], stop=0.04)
    >>> own.words.shape, own.flat().tolist()
    ((2, 2, 2), [[1, 0], [0, 1], [0, 1], [0, 1]])
    """
    if len(trials) == 0:
        raise ValueError("trials must hold at least one trial")
    n_cells = {len(cells) for cells in trials}
    if len(n_cells) != 1:
        raise ValueError(f"every trial must have the same number of cells, got {sorted(n_cells)}")
    window = {"start": start, "stop": stop, "bin_width": bin_width}
    words = np.stack([bin_spikes(cells, **window) for cells in trials])
    return RetinaWords(words, source, hashlib.sha256(words).hexdigest(), bin_width)

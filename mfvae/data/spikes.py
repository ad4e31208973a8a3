"""Binary words out of spike times: a reader's own recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfvae._validation import check_count, check_finite_array, check_number

__all__ = ["bin_spikes"]


def bin_spikes(
    spike_times: Sequence[np.ndarray],
    *,
    stop: float,
    start: float = 0.0,
    bin_width: float | None = None,
    n_bins: int | None = None,
) -> np.ndarray:
    """Turn the spike times of one trial into binary words, one word a time bin.

    Bin b covers ``[start + b·w, start + (b + 1)·w)``; a cell is 1 in a word if it fired at
    least once in the bin. Spikes outside the window, and a last bin that would be cut
    short by ``stop``, are left out.

    Args:
        spike_times (sequence of arrays): For each cell the times of its spikes, in any order,
            possibly none; in the unit of ``start`` and ``stop`` (seconds, say).
        stop, start (float): End and beginning of the window.
        bin_width, n_bins (float or int): Exactly one of the two: the width w of a bin, or into how
            many to cut the window.

    Returns:
        words : ndarray, uint8 (n_bins, n_cells): 0 for silent, 1 for at least one spike.

    Raises:
        TypeError, ValueError: If both or neither of ``bin_width`` and ``n_bins`` are given, the
            window is shorter than a bin, or a spike time is not finite.

    >>> bin_spikes([[0.005, 0.012, 0.055], []], stop=0.06, bin_width=0.02)
    array([[1, 0],
           [0, 0],
           [1, 0]], dtype=uint8)
    """
    start = check_number(start, "start")
    stop = check_number(stop, "stop")
    if stop <= start:
        raise ValueError(f"stop must be later than start = {start}, got {stop}")
    if (bin_width is None) == (n_bins is None):
        raise ValueError("give either bin_width or n_bins, and not both")
    if n_bins is None:
        bin_width = check_number(bin_width, "bin_width", positive=True)
        n_bins = int(np.floor((stop - start) / bin_width * (1 + 1e-12) + 1e-9))
        if n_bins < 1:
            raise ValueError(f"bin_width {bin_width} is longer than the window {stop - start}")
        edges = start + bin_width * np.arange(n_bins + 1)
    else:
        n_bins = check_count(n_bins, "n_bins")
        edges = np.linspace(start, stop, n_bins + 1)
    if isinstance(spike_times, (str, bytes, dict)) or not hasattr(spike_times, "__len__"):
        raise TypeError("spike_times must be a sequence with one array of times a cell")
    if len(spike_times) == 0:
        raise ValueError("spike_times must hold at least one cell")
    words = np.zeros((n_bins, len(spike_times)), dtype=np.uint8)
    for cell, times in enumerate(spike_times):
        if np.size(times) == 0:
            continue
        times = check_finite_array(times, f"spike_times[{cell}]", ndim=1)
        index = np.searchsorted(edges, times, side="right") - 1
        words[index[(index >= 0) & (index < n_bins)], cell] = 1
    return words

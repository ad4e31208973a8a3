"""Binary words out of spike times: a reader's own recording."""

import hashlib
from collections.abc import Sequence

import numpy as np

from mfvae._validation import check_finite_array, check_number
from mfvae.data.retina import RetinaWords

__all__ = ["words_from_spikes"]


def words_from_spikes(
    trials: Sequence[Sequence[np.ndarray]],
    *,
    stop: float,
    start: float = 0.0,
    bin_width: float = 0.02,
    source: str = "a reader's own recording",
) -> RetinaWords:
    """Return the words of a recording given by spike times: 1 for at least one spike in a bin.

    Bin b covers ``[start + b·w, start + (b + 1)·w)``. Spikes outside the window, and a last bin
    that would be cut short by ``stop``, are left out.

    Args:
        trials: For each trial, for each cell, the times of its spikes in seconds from the trial's
            beginning, in any order; a continuous recording is one trial.
        stop, start, bin_width: Window of every trial and width w of its bins, in seconds.
        source: A sentence that names the recording.

    >>> own = words_from_spikes([[[0.01], [0.03]], [[], [0.01, 0.035]]], stop=0.04)
    >>> own.words.tolist()
    [[[1, 0], [0, 1]], [[0, 1], [0, 1]]]
    """
    start, stop = check_number(start, "start"), check_number(stop, "stop")
    bin_width = check_number(bin_width, "bin_width", positive=True)
    n_bins = int(np.clip((stop - start) / bin_width * (1 + 1e-12) + 1e-9, 0, 1e18))
    if not 1 <= n_bins <= 10**9:
        raise ValueError(f"stop - start must hold 1 to 1e9 bins of bin_width, not {n_bins}")
    edges = start + bin_width * np.arange(n_bins + 1)
    n_cells = {len(cells) for cells in trials}
    if len(n_cells) != 1 or 0 in n_cells:
        raise ValueError("trials must hold at least one trial, each the same number of cells")
    words = np.zeros((len(trials), n_bins, *n_cells), dtype=np.uint8)
    for trial, cells in enumerate(trials):
        for cell, times in enumerate(cells):
            if np.size(times):
                times = check_finite_array(times, f"trials[{trial}][{cell}]", ndim=1)
                index = np.searchsorted(edges, times, side="right") - 1
                words[trial, index[(index >= 0) & (index < n_bins)], cell] = 1
    return RetinaWords(words, str(source), hashlib.sha256(words).hexdigest(), bin_width)

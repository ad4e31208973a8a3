"""Blocks of chains shared out over plain threads: kernels run without the interpreter's lock.

Numba's own pool of OpenMP threads would contend with those of torch: a small training step in
the same process was seen to cost thirty times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numba import config, get_num_threads
from numba.np.ufunc import parallel


def thread_count() -> int:
    """Return the number of threads that Numba is set to use, at least 1, starting none.

    ``numba.get_num_threads`` starts Numba's pool, so it is asked only once that is there; until
    then the number is ``NUMBA_NUM_THREADS``.
    """
    return get_num_threads() if parallel._is_initialized else int(config.NUMBA_NUM_THREADS)


def in_threads(work: Callable, pieces: Sequence, n_threads: int | None = None) -> list[Any]:
    """Return ``work(piece)`` of every piece, from ``n_threads`` or `thread_count` threads."""
    n_threads = min(n_threads or thread_count(), len(pieces))
    if n_threads == 1:
        return [work(piece) for piece in pieces]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(work, pieces))

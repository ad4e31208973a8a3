"""How kernels are compiled, kept on disk and run in threads."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from numba import config, get_num_threads, njit
from numba.np.ufunc import parallel

_SOURCES = sorted(Path(__file__).parent.glob("*.py"))
_ROOM = hashlib.sha256(b"".join(source.read_bytes() for source in _SOURCES)).hexdigest()

#: For what kernels are built of: becomes part of their code.
inlined = njit(inline="always")


def compiled(kernel: Callable) -> Callable:
    """Return ``kernel`` compiled on first use, without the interpreter's lock, and kept on disk.

    Numba takes a kept kernel for fresh while a stamp, of the kernel's own file, is the same. A hash
    of this room joins it here, for what the kernel inlines. A Numba that keeps the stamp elsewhere
    fails, rather than run what is out of date.
    """
    dispatcher = njit(nogil=True, cache=True)(kernel)
    index = dispatcher._cache._cache_file
    index._source_stamp = (index._source_stamp, _ROOM)
    return dispatcher


def thread_count() -> int:
    """Return the number of threads that Numba is set to use, at least 1, starting none.

    ``numba.get_num_threads`` starts Numba's pool of OpenMP threads, which contend with those of
    torch from then on (a small training step took thirty times as long).
    """
    return get_num_threads() if parallel._is_initialized else int(config.NUMBA_NUM_THREADS)


def in_threads(work: Callable, pieces: Sequence, n_threads: int | None = None) -> list[Any]:
    """Return ``work(piece)`` of every piece, from ``n_threads`` or `thread_count` threads."""
    n_threads = min(n_threads or thread_count(), len(pieces))
    if n_threads == 1:
        return [work(piece) for piece in pieces]
    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(work, pieces))

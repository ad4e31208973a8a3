"""How many threads to use, asked without starting any."""

from __future__ import annotations

__all__ = ["thread_count"]


def thread_count() -> int:
    """Return the number of threads that Numba is set to use, at least 1.

    ``numba.get_num_threads`` starts Numba's own pool of OpenMP threads, which contend with
    those of torch from then on: a small training step in the same process was seen to cost
    thirty times as much. So it is asked only once that pool is there; until then the number is
    ``NUMBA_NUM_THREADS``.
    """
    from numba import config, get_num_threads
    from numba.np.ufunc import parallel

    return get_num_threads() if parallel._is_initialized else int(config.NUMBA_NUM_THREADS)

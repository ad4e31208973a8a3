"""How kernels are compiled, and kept on disk until any file of this room is edited."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from numba import njit

#: For what a kernel is built of: taken into its code, never called by itself.
inlined = njit(inline="always")

_ROOM = hashlib.sha256(
    b"".join(source.read_bytes() for source in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()


def compiled(kernel: Callable) -> Callable:
    """Return ``kernel`` compiled on first use, without the interpreter's lock, and kept on disk.

    Numba takes a kept kernel to be fresh while the stamp in its index, a hash of the file that
    defines the kernel, is the same. What a kernel inlines stands in other files: the stamp is
    joined by a hash of the room. A Numba that keeps its stamp elsewhere fails here, by name.
    """
    dispatcher = njit(nogil=True, cache=True)(kernel)
    index = dispatcher._cache._cache_file
    index._source_stamp = (index._source_stamp, _ROOM)
    return dispatcher

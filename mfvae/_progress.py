"""The progress bar of long work; ``MFVAE_PROGRESS=0`` hides every one, as the book's build does."""

import os
from typing import Any

__all__ = ["progress_bar"]


def progress_bar(total: int, description: str, *, show: bool = True) -> Any:
    """Return a tqdm bar that counts to ``total``."""
    from tqdm.auto import tqdm

    if not type(show).__name__.startswith("bool"):  # NumPy's, too
        raise TypeError(f"progress must be True or False, got {show!r}")
    hidden = not show or os.environ.get("MFVAE_PROGRESS") == "0"
    return tqdm(total=total, desc=description, disable=hidden)

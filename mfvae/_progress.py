"""The progress bar of long work: shown by default, silent with ``MFVAE_PROGRESS=0``."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["progress_bar"]


def progress_bar(total: int, description: str, *, show: bool = True, **options: Any) -> Any:
    """Return a tqdm bar that counts to ``total``; hidden if ``show`` is false.

    The environment variable ``MFVAE_PROGRESS=0`` hides every bar, as the book's build does.
    """
    from tqdm.auto import tqdm

    hidden = not show or os.environ.get("MFVAE_PROGRESS") == "0"
    return tqdm(total=total, desc=description, disable=hidden, **options)

"""Two sizes of everything, one switch: the environment variable ``MFVAE_SCALE``.

"course" (the default) fits two CPU cores and a few minutes a chapter; "paper" is for a GPU or a
cluster. Same code, other numbers.
"""

import os
from types import SimpleNamespace
from typing import Any

from mfvae._validation import check_choice

__all__ = ["at_scale"]


def at_scale(course: Any, paper: Any) -> Any:
    """Return ``course`` or ``paper``, as ``MFVAE_SCALE`` says; a dict by attributes.

    >>> at_scale(course={"n_sites": 256}, paper={"n_sites": 1024}).n_sites >= 256
    True
    """
    sizes = {"course": course, "paper": paper}
    chosen = sizes[check_choice(os.environ.get("MFVAE_SCALE", "course"), "MFVAE_SCALE", (*sizes,))]
    return SimpleNamespace(**chosen) if isinstance(chosen, dict) else chosen

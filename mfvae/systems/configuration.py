"""A system from its description, and back: what a store or a cache keeps of it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

__all__ = ["from_configuration"]


def from_configuration(configuration: Mapping[str, Any]) -> Any:
    """Build the system that ``system.configuration()`` describes.

    Args:
        configuration (mapping): ``"class"``, the name of a system of this package, and the
            arguments of its constructor (arrays possibly as nested lists, as they come back from
            JSON).

    Returns:
        system : System

    Raises:
        TypeError: If ``configuration`` is not a mapping.
        ValueError: If it names no system of this package, or its arguments do not fit.

    >>> from_configuration({"class": "CurieWeiss", "n_sites": 64}).n_sites
    64
    """
    if not isinstance(configuration, Mapping):
        raise TypeError(f"configuration must be a mapping, got {type(configuration).__name__}")
    systems = importlib.import_module("mfvae.systems")
    arguments = dict(configuration)
    name = arguments.pop("class", None)
    maker = getattr(systems, name) if name in systems.__all__ else None
    if not (isinstance(maker, type) and hasattr(maker, "configuration")):
        raise ValueError(f"{name!r} is not the name of a system of mfvae.systems")
    if hasattr(maker, "from_configuration"):
        return maker.from_configuration(configuration)
    try:
        return maker(**arguments)
    except TypeError as error:
        raise ValueError(f"arguments {sorted(arguments)} do not fit {name}: {error}") from None

"""Load a subpackage's public names on first use (PEP 562)."""

import importlib
from collections.abc import Callable
from typing import Any


def attach(
    package: str, names: dict[str, str] | None = None, **modules: str
) -> tuple[Callable, Callable, list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for the package named ``package``.

    ``modules`` are the modules of the package with their public names, apart by blanks; ``names``
    are further names, each with its module. A name that is its module's is that submodule.
    """
    names = {name: m for m, held in modules.items() for name in held.split()} | (names or {})

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{names[name]}")
        return module if names[name] == name else getattr(module, name)

    return __getattr__, lambda: sorted(names), list(names)

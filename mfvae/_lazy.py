"""Load a subpackage's public names on first use (PEP 562)."""

import importlib
from collections.abc import Callable
from typing import Any


def attach(package: str, modules: dict[str, str]) -> tuple[Callable, Callable, list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` for the package named ``package``.

    ``modules`` has for every module, relative to the package, the public names that it defines,
    apart by blanks; the module's own name among them is that submodule.
    """
    names = {name: module for module, held in modules.items() for name in held.split()}

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{names[name]}")
        return module if names[name] == name else getattr(module, name)

    return __getattr__, lambda: sorted(names), list(names)

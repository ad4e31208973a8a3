"""Your own data, from words to a verdict: ``mfvae.report(X)``; see `mfvae.report.pipeline`."""

import sys
from types import ModuleType
from typing import Any

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {"pipeline": "Report", "words": "read_words"})


class _Callable(ModuleType):
    """The room itself is the function: ``mfvae.report`` must stay callable once it is imported."""

    def __call__(self, X: Any, **options: Any) -> Any:
        from mfvae.report.pipeline import report

        return report(X, **options)


sys.modules[__name__].__class__ = _Callable

"""Microscopic parameters out of a trained decoder."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "GeneralizedHopfield": "hopfield",
    },
)

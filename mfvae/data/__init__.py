"""What a model is fed: stored equilibrium samples and recordings."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {})

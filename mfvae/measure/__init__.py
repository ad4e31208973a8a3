"""What can be said, in nats, about data and a trained model."""

from mfvae._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {})

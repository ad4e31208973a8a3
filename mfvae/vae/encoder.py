"""Encoders: from a configuration and its conditions to the Gaussian q(z | x).

An encoder maps features ``(n_samples, n_features, n_sites)`` and standardised conditions
``(n_samples, n_conditions)`` to the mean and log-variance of q, both ``(n_samples, n_latents)``.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfvae._validation import check_choice, check_count

__all__ = ["CNNEncoder", "Encoder", "MLPEncoder", "SetEncoder", "Sizes", "multilayer"]

LOG_VARIANCE_RANGE = (-16.0, 6.0)


class Sizes(NamedTuple):
    """What every encoder and decoder is told, before its own options.

    ``n_features`` channels a site go into an encoder, ``n_parameters`` come out of a decoder.
    """

    n_latents: int
    n_sites: int = 1
    n_conditions: int = 0
    n_features: int = 1
    n_parameters: int = 1
    lattice_shape: tuple[int, int] | None = None


def check_widths(value: object, name: str, *, minimum: int = 1) -> tuple[int, ...]:
    """Return the widths of at least ``minimum`` layers as a tuple of positive ints."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a tuple of integers, got {value!r}")
    if len(value) < minimum:
        raise ValueError(f"{name} must name at least {minimum} layer(s), got {value!r}")
    return tuple(check_count(width, name) for width in value)


def check_convolutions(
    sizes: Sizes, channels: tuple[int, ...], padding_mode: str
) -> tuple[tuple[int, ...], tuple[int, int, int]]:
    """Return channels, and the shape of the last block: each halves the lattice, rounded up."""
    check_choice(padding_mode, "padding_mode", ("zeros", "circular"))
    channels = check_widths(channels, "channels")
    return channels, (channels[-1], *(-(-n // 2 ** len(channels)) for n in sizes.lattice_shape))


def multilayer(n_inputs: int, widths: tuple[int, ...], n_outputs: int) -> nn.Sequential:
    """Return a fully connected network with SiLU between its affine layers."""
    layers: list[nn.Module] = []
    for size, width in pairwise([n_inputs, *widths, n_outputs]):
        layers += [nn.Linear(size, width), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """Base: linear heads of ``hidden(features, conditions)``, a subclass's last layer."""

    def __init__(self, n_hidden: int, n_latents: int) -> None:
        super().__init__()
        self.mean_head = nn.Linear(n_hidden, n_latents)
        self.log_variance_head = nn.Linear(n_hidden, n_latents)

    def calibrate(self, features: Tensor, conditions: Tensor) -> None:
        """Set units of the input from a batch of training data; by default nothing."""

    def forward(self, features: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.hidden(features, conditions)
        return self.mean_head(hidden), self.log_variance_head(hidden).clamp(*LOG_VARIANCE_RANGE)


class CNNEncoder(Encoder):
    """Convolutions with kernel 3 and stride 2, then the heads; a condition is one more channel.

    After Biroli, Welling & Vitelli (2026), Methods. ``channels`` are those of each block;
    ``padding_mode`` is "zeros", or "circular" for periodic lattices.
    """

    def __init__(
        self, sizes: Sizes, *, channels: tuple[int, ...] = (16, 32), padding_mode: str = "zeros"
    ) -> None:
        channels, pooled = check_convolutions(sizes, channels, padding_mode)
        super().__init__(math.prod(pooled), sizes.n_latents)
        self.lattice_shape = tuple(sizes.lattice_shape)
        layers: list[nn.Module] = []
        for pair in pairwise([sizes.n_features + sizes.n_conditions, *channels]):
            layers += [nn.Conv2d(*pair, 3, 2, 1, padding_mode=padding_mode), nn.SiLU()]
        self.blocks = nn.Sequential(*layers, nn.Flatten())

    def hidden(self, features: Tensor, conditions: Tensor) -> Tensor:
        image = features.unflatten(2, self.lattice_shape)
        planes = conditions[:, :, None, None].expand(-1, -1, *self.lattice_shape)
        return self.blocks(torch.cat([image, planes], dim=1))


class MLPEncoder(Encoder):
    """A fully connected network of all sites and conditions, with hidden layers of ``widths``.

    Without any it is affine, which is exact for spins in Hubbard-Stratonovich fields.
    """

    def __init__(self, sizes: Sizes, *, widths: tuple[int, ...] = (256,)) -> None:
        widths = check_widths(widths, "widths", minimum=0)
        n_inputs = sizes.n_features * sizes.n_sites + sizes.n_conditions
        super().__init__(widths[-1] if widths else n_inputs, sizes.n_latents)
        self.body = multilayer(n_inputs, widths[:-1], widths[-1]) if widths else None

    def hidden(self, features: Tensor, conditions: Tensor) -> Tensor:
        inputs = torch.cat([features.flatten(1), conditions], dim=1)
        return inputs if self.body is None else functional.silu(self.body(inputs))


class SetEncoder(Encoder):
    """For exchangeable sites: sees only the average of the features over sites.

    The average, standardised with a batch of training data (it is O(N^{-1/2}) in a disordered
    phase), goes through a network of at least one hidden layer together with the conditions, and
    directly into the heads as well, times a gain that follows the conditions: the mean of a
    collective field divided by the temperature is a product of the two.
    """

    def __init__(self, sizes: Sizes, *, widths: tuple[int, ...] = (64, 64)) -> None:
        widths, n_conditions = check_widths(widths, "widths"), sizes.n_conditions
        n_features = sizes.n_features
        super().__init__(widths[-1] + n_features, sizes.n_latents)
        self.register_buffer("location", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.body = multilayer(n_features + n_conditions, widths[:-1], widths[-1])
        self.gain = multilayer(n_conditions, (16,), n_features) if n_conditions else None

    def calibrate(self, features: Tensor, conditions: Tensor) -> None:
        average = features.mean(dim=2)
        self.location.copy_(average.mean(dim=0))
        if len(average) > 1:
            self.scale.copy_(average.std(dim=0).clamp(min=1e-6))

    def hidden(self, features: Tensor, conditions: Tensor) -> Tensor:
        average = (features.mean(dim=2) - self.location) / self.scale
        body = functional.silu(self.body(torch.cat([average, conditions], dim=1)))
        if self.gain is not None:
            average = average * (1 + self.gain(conditions))
        return torch.cat([body, average], dim=1)

"""Encoders: from a configuration and its conditions to the Gaussian q(z | x).

An encoder maps features ``(n_samples, n_features, n_sites)`` and standardised conditions
``(n_samples, n_conditions)`` to the mean and the log-variance of q(z | x) =
Normal(mean, diag exp(log_variance)), both ``(n_samples, n_latents)``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mfvae._validation import check_choice, check_count

__all__ = ["CNNEncoder", "Encoder", "MLPEncoder", "SetEncoder", "Sizes", "multilayer"]

LOG_VARIANCE_RANGE = (-16.0, 6.0)
SLOPE = 0.2  # of the leaky ReLU


class Sizes(NamedTuple):
    """What every encoder, decoder and prior is told, before its own options.

    ``n_features`` are the channels a site that an encoder sees, ``n_parameters`` the numbers a
    site that a decoder emits; ``lattice_shape`` is rows and columns, or None.
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
    sizes: Sizes, channels: tuple[int, ...], padding_mode: str, width: int | None
) -> tuple[tuple[int, ...], tuple[int, int, int]]:
    """Return channels, and the shape of the last block: each halves the lattice, rounded up."""
    if width is not None:
        check_count(width, "width")
    modes = ("zeros", "circular") if width is None else ("zeros",)
    check_choice(padding_mode, "padding_mode", modes)
    channels = check_widths(channels, "channels")
    return channels, (channels[-1], *(-(-n // 2 ** len(channels)) for n in sizes.lattice_shape))


def multilayer(n_inputs: int, widths: tuple[int, ...], n_outputs: int) -> nn.Sequential:
    """Return a fully connected network with SiLU between its affine layers."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(n_inputs, width), nn.SiLU()]
        n_inputs = width
    return nn.Sequential(*layers, nn.Linear(n_inputs, n_outputs))


class _OneRow:
    """Mixin: a batch that holds one number a channel has no spread; use the running averages."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class BatchNorm1d(_OneRow, nn.BatchNorm1d): ...


class BatchNorm2d(_OneRow, nn.BatchNorm2d): ...


class Encoder(nn.Module):
    """Base: linear heads for mean and log-variance, which is clamped for stability.

    A subclass has ``hidden(features, conditions)``, its last layer, ``(n_samples, n_hidden)``.
    """

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
    """Blocks of convolutions with stride 2, then the heads; a condition is one more channel.

    Without ``width`` a block is conv(kernel 3) + SiLU (Biroli, Welling & Vitelli 2026, Methods).
    With it, the network of Huang, Hu & Yang (2022), table I (there: channels (64, 128), width
    1024): conv(kernel 4) + batch normalisation + leaky ReLU, then a dense layer; lattices are
    filled up with zeros. In training a batch normalisation uses the batch's own mean and
    spread, afterwards their running averages, so that answers do not depend on the company.

    Args:
        sizes: With a ``lattice_shape``.
        channels: Channels of each block.
        padding_mode: "zeros", or "circular" for periodic lattices (without ``width`` only).
        width: Width of the dense layer, or None.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        channels: tuple[int, ...] = (16, 32),
        padding_mode: str = "zeros",
        width: int | None = None,
    ) -> None:
        channels, pooled = check_convolutions(sizes, channels, padding_mode, width)
        super().__init__(width or math.prod(pooled), sizes.n_latents)
        self.lattice_shape = rows, columns = tuple(sizes.lattice_shape)
        layers: list[nn.Module] = []
        if width is not None:
            scale = 2 ** len(channels)
            layers.append(
                nn.ZeroPad2d((0, pooled[2] * scale - columns, 0, pooled[1] * scale - rows))
            )
        n_inputs = sizes.n_features + sizes.n_conditions
        for n_outputs in channels:
            if width is None:
                convolution = nn.Conv2d(n_inputs, n_outputs, 3, 2, 1, padding_mode=padding_mode)
                layers += [convolution, nn.SiLU()]
            else:  # a bias before a batch normalisation would be subtracted again
                convolution = nn.Conv2d(n_inputs, n_outputs, 4, 2, 1, bias=False)
                layers += [convolution, BatchNorm2d(n_outputs), nn.LeakyReLU(SLOPE)]
            n_inputs = n_outputs
        layers.append(nn.Flatten())
        if width is not None:
            dense = nn.Linear(math.prod(pooled), width, bias=False)
            layers += [dense, BatchNorm1d(width), nn.LeakyReLU(SLOPE)]
        self.blocks = nn.Sequential(*layers)

    def hidden(self, features: Tensor, conditions: Tensor) -> Tensor:
        image = features.unflatten(2, self.lattice_shape)
        planes = conditions[:, :, None, None].expand(-1, -1, *self.lattice_shape)
        return self.blocks(torch.cat([image, planes], dim=1))


class MLPEncoder(Encoder):
    """A fully connected network of all sites and conditions.

    ``widths`` are those of the hidden layers; none makes the encoder affine, which is exact for
    spins in Hubbard-Stratonovich fields.
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

    The average is standardised with the mean and spread of a batch of training data (it
    is O(N^{-1/2}) in a disordered phase), goes through a small network together with the
    conditions, and directly into the heads as well, times a gain that follows the conditions:
    where the sites feel a collective field, the mean of the field divided by the temperature
    is a product of the two. ``widths`` are those of the hidden layers, at least one.
    """

    def __init__(self, sizes: Sizes, *, widths: tuple[int, ...] = (64, 64)) -> None:
        widths = check_widths(widths, "widths")
        n_features, n_conditions = sizes.n_features, sizes.n_conditions
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

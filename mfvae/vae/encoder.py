"""Encoders: from a configuration and its conditions to the Gaussian q(z | x).

An encoder maps features ``(n_samples, n_features, n_sites)`` and standardised conditions
``(n_samples, n_conditions)`` to the mean and the log-variance of q(z | x) =
Normal(mean, diag exp(log_variance)), both ``(n_samples, n_latents)``.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from mfvae._validation import check_choice, check_count

__all__ = ["CNNEncoder", "Encoder", "MLPEncoder", "SetEncoder", "check_widths", "multilayer"]

LOG_VARIANCE_RANGE = (-16.0, 6.0)


def check_widths(value: object, name: str, *, minimum: int = 1) -> tuple[int, ...]:
    """Return the widths of at least ``minimum`` layers as a tuple of positive ints."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a tuple of integers, got {value!r}")
    if len(value) < minimum:
        raise ValueError(f"{name} must name at least {minimum} layer(s), got {value!r}")
    return tuple(check_count(width, name) for width in value)


def multilayer(n_inputs: int, widths: tuple[int, ...], n_outputs: int) -> nn.Sequential:
    """Return a fully connected network with SiLU between its affine layers."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(n_inputs, width), nn.SiLU()]
        n_inputs = width
    return nn.Sequential(*layers, nn.Linear(n_inputs, n_outputs))


class Encoder(nn.Module):
    """Base: the two linear heads, and the clamp of the log-variance for stability."""

    def __init__(self, n_hidden: int, n_latents: int) -> None:
        super().__init__()
        self.mean_head = nn.Linear(n_hidden, n_latents)
        self.log_variance_head = nn.Linear(n_hidden, n_latents)

    def calibrate(self, features: torch.Tensor, conditions: torch.Tensor) -> None:
        """Set units of the input from a batch of training data; by default nothing."""

    def hidden(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        """Return the last hidden layer, ``(n_samples, n_hidden)``."""
        raise NotImplementedError

    def forward(
        self, features: torch.Tensor, conditions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.hidden(features, conditions)
        log_variance = self.log_variance_head(hidden).clamp(*LOG_VARIANCE_RANGE)
        return self.mean_head(hidden), log_variance


class CNNEncoder(Encoder):
    """Two (or more) blocks conv(kernel 3, stride 2, padding 1) + SiLU, then the heads.

    Every condition is one more channel, the same at every site (Biroli, Welling & Vitelli
    2026, Methods).

    Args:
        n_features, n_conditions, n_latents (int): Channels a site, conditions, latents.
        lattice_shape ((int, int)): Rows and columns; their product is the number of sites.
        channels (tuple of int): Channels of each block.
        padding_mode ({"zeros", "circular"}): "circular" for periodic lattices.
    """

    def __init__(
        self,
        n_features: int,
        n_conditions: int,
        n_latents: int,
        *,
        lattice_shape: tuple[int, int],
        channels: tuple[int, ...] = (16, 32),
        padding_mode: str = "zeros",
    ) -> None:
        check_choice(padding_mode, "padding_mode", ("zeros", "circular"))
        channels = check_widths(channels, "channels")
        rows, columns = lattice_shape
        for _ in channels:
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
        super().__init__(channels[-1] * rows * columns, n_latents)
        self.lattice_shape = tuple(lattice_shape)
        n_inputs = n_features + n_conditions
        blocks: list[nn.Module] = []
        for n_channels in channels:
            blocks += [
                nn.Conv2d(n_inputs, n_channels, 3, 2, 1, padding_mode=padding_mode),
                nn.SiLU(),
            ]
            n_inputs = n_channels
        self.blocks = nn.Sequential(*blocks, nn.Flatten())

    def hidden(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        image = features.unflatten(2, self.lattice_shape)
        planes = conditions[:, :, None, None].expand(-1, -1, *self.lattice_shape)
        return self.blocks(torch.cat([image, planes], dim=1))


class MLPEncoder(Encoder):
    """A fully connected network of all sites and conditions.

    Args:
        n_features, n_conditions, n_latents, n_sites (int): Channels a site, conditions, latents,
            sites.
        widths (tuple of int): Widths of the hidden layers; none makes the encoder affine, which is
            exact for spins in Hubbard-Stratonovich fields.
    """

    def __init__(
        self,
        n_features: int,
        n_conditions: int,
        n_latents: int,
        *,
        n_sites: int,
        widths: tuple[int, ...] = (256,),
    ) -> None:
        widths = check_widths(widths, "widths", minimum=0)
        n_inputs = n_features * n_sites + n_conditions
        super().__init__(widths[-1] if widths else n_inputs, n_latents)
        self.body = multilayer(n_inputs, widths[:-1], widths[-1]) if widths else None

    def hidden(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        inputs = torch.cat([features.flatten(1), conditions], dim=1)
        return inputs if self.body is None else functional.silu(self.body(inputs))


class SetEncoder(Encoder):
    """For exchangeable sites: sees only the average of the features over sites.

    The average is standardised with the mean and spread of a batch of training data (it
    is O(N^{-1/2}) in a disordered phase), goes through a small network together with the
    conditions, and directly into the heads as well, times a gain that follows the conditions:
    where the sites feel a collective field, the mean of the field divided by the temperature
    is a product of the two.

    Args:
        n_features, n_conditions, n_latents (int): Channels a site, conditions, latents.
        widths (tuple of int): Widths of the hidden layers, at least one.
    """

    def __init__(
        self,
        n_features: int,
        n_conditions: int,
        n_latents: int,
        *,
        widths: tuple[int, ...] = (64, 64),
    ) -> None:
        widths = check_widths(widths, "widths")
        super().__init__(widths[-1] + n_features, n_latents)
        self.register_buffer("location", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))
        self.body = multilayer(n_features + n_conditions, widths[:-1], widths[-1])
        self.gain = multilayer(n_conditions, (16,), n_features) if n_conditions else None

    def calibrate(self, features: torch.Tensor, conditions: torch.Tensor) -> None:
        average = features.mean(dim=2)
        self.location.copy_(average.mean(dim=0))
        if len(average) > 1:
            self.scale.copy_(average.std(dim=0).clamp(min=1e-6))

    def hidden(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        average = (features.mean(dim=2) - self.location) / self.scale
        body = functional.silu(self.body(torch.cat([average, conditions], dim=1)))
        if self.gain is not None:
            average = average * (1 + self.gain(conditions))
        return torch.cat([body, average], dim=1)

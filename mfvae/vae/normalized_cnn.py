"""Convolutions with batch normalisation: the networks of the second paper, at any width.

In training a batch normalisation uses the batch's own mean and spread; afterwards it uses
their running averages, so that what a model says of a configuration does not depend on the
company in which it is asked.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from mfvae._validation import check_count
from mfvae.vae.decoder import Decoder
from mfvae.vae.encoder import Encoder, check_widths

__all__ = ["NormalizedCNNDecoder", "NormalizedCNNEncoder"]

_SLOPE = 0.2  # of the leaky ReLU


class _OneRow:
    """Mixin: a batch that holds one number a channel has no spread; use the running averages."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and x.numel() == x.shape[1]:
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class _BatchNorm1d(_OneRow, nn.BatchNorm1d):
    pass


class _BatchNorm2d(_OneRow, nn.BatchNorm2d):
    pass


def _pooled(lattice_shape: tuple[int, int], n_blocks: int) -> tuple[int, int]:
    """Return rows and columns after halving ``n_blocks`` times, rounded up."""
    rows, columns = lattice_shape
    return -(-rows // 2**n_blocks), -(-columns // 2**n_blocks)


class NormalizedCNNEncoder(Encoder):
    """Blocks conv(kernel 4, stride 2) + batch normalisation + leaky ReLU, a dense one, the heads.

    Huang, Hu & Yang (2022), table I: channels (64, 128) and width 1024. There the spread of
    q(z | x) is a softplus; here, as in all encoders of the package, the head gives its log
    variance.

    Args:
        n_features, n_conditions, n_latents (int): Channels a site, conditions, latents.
        lattice_shape ((int, int)): Rows and columns; filled up with zeros to a multiple of
            2^blocks.
        channels (tuple of int): Channels of each block.
        width (int): Width of the dense layer.
    """

    def __init__(
        self,
        n_features: int,
        n_conditions: int,
        n_latents: int,
        *,
        lattice_shape: tuple[int, int],
        channels: tuple[int, ...] = (16, 32),
        width: int = 128,
    ) -> None:
        channels = check_widths(channels, "channels")
        width = check_count(width, "width")
        super().__init__(width, n_latents)
        self.lattice_shape = tuple(lattice_shape)
        rows, columns = _pooled(self.lattice_shape, len(channels))
        scale = 2 ** len(channels)
        extra = (columns * scale - lattice_shape[1], rows * scale - lattice_shape[0])
        blocks: list[nn.Module] = [nn.ZeroPad2d((0, extra[0], 0, extra[1]))]
        n_inputs = n_features + n_conditions
        for n_outputs in channels:
            # A bias before a batch normalisation would be subtracted again.
            blocks += [
                nn.Conv2d(n_inputs, n_outputs, 4, 2, 1, bias=False),
                _BatchNorm2d(n_outputs),
                nn.LeakyReLU(_SLOPE),
            ]
            n_inputs = n_outputs
        self.blocks = nn.Sequential(
            *blocks,
            nn.Flatten(),
            nn.Linear(n_inputs * rows * columns, width, bias=False),
            _BatchNorm1d(width),
            nn.LeakyReLU(_SLOPE),
        )

    def hidden(self, features: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        image = features.unflatten(2, self.lattice_shape)
        planes = conditions[:, :, None, None].expand(-1, -1, *self.lattice_shape)
        return self.blocks(torch.cat([image, planes], dim=1))


class NormalizedCNNDecoder(Decoder):
    """The mirror of ``NormalizedCNNEncoder``, with ReLU, and a last layer without normalisation.

    Two dense layers, the second onto the pooled grid, then transposed convolutions (kernel 4,
    stride 2); cropped to the lattice (Huang, Hu & Yang 2022, table I). Where the likelihood
    needs two numbers a site, the last layer has two branches (their table II).

    Args:
        n_latents, n_sites, n_parameters (int): Latents, sites, numbers a site.
        lattice_shape ((int, int)): Rows and columns.
        channels (tuple of int): Channels of the mirrored encoder's blocks, first block first.
        width (int): Width of the first dense layer.
    """

    def __init__(
        self,
        n_latents: int,
        n_sites: int,
        n_parameters: int,
        *,
        lattice_shape: tuple[int, int],
        channels: tuple[int, ...] = (16, 32),
        width: int = 128,
    ) -> None:
        super().__init__()
        channels = check_widths(channels, "channels")
        width = check_count(width, "width")
        self.lattice_shape = tuple(lattice_shape)
        rows, columns = _pooled(self.lattice_shape, len(channels))
        grid = channels[-1] * rows * columns
        steps: list[nn.Module] = [
            nn.Linear(n_latents, width, bias=False),
            _BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, grid, bias=False),
            nn.Unflatten(1, (channels[-1], rows, columns)),
            _BatchNorm2d(channels[-1]),
            nn.ReLU(),
        ]
        n_inputs = channels[-1]
        for n_outputs in reversed(channels[:-1]):
            steps += [
                nn.ConvTranspose2d(n_inputs, n_outputs, 4, 2, 1, bias=False),
                _BatchNorm2d(n_outputs),
                nn.ReLU(),
            ]
            n_inputs = n_outputs
        self.steps = nn.Sequential(*steps, nn.ConvTranspose2d(n_inputs, n_parameters, 4, 2, 1))

    def calibrate(self, marginal_parameters: torch.Tensor) -> None:
        self.steps[-1].bias.copy_(marginal_parameters.mean(dim=0))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        rows, columns = self.lattice_shape
        return self.steps(z)[..., :rows, :columns].flatten(2).transpose(1, 2)

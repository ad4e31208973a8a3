"""The networks of Huang, Hu & Yang (2022), tables I and II: convolutions, batch normalisation.

Once this is imported, `MeanFieldVAE` knows them as encoder and decoder "normalized-cnn". There the
options are ``channels=(64, 128), width=1024``; ``normalize=False`` leaves the normalisation out and
nothing else. Lattices are filled up with zeros.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from mfvae.vae import DECODERS, ENCODERS
from mfvae.vae.encoder import CNNEncoder, Encoder, Sizes, check_convolutions

__all__ = ["NormalizedDecoder", "NormalizedEncoder"]

SLOPE = 0.2  # of the leaky ReLU


class BatchNorm(nn.BatchNorm2d):
    """For images and dense layers; one number a channel has no spread: use running averages."""

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of axes."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            running = self.running_mean, self.running_var
            return functional.batch_norm(x, *running, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def normalization(n_channels: int, normalize: bool) -> nn.Module:
    """Return the batch normalisation of a layer, or nothing in its place."""
    return BatchNorm(n_channels) if normalize else nn.Identity()


class NormalizedEncoder(Encoder):
    """Blocks of conv(kernel 4, stride 2) + batch normalisation + leaky ReLU, then a dense one."""

    def __init__(
        self,
        sizes: Sizes,
        *,
        channels: tuple[int, ...] = (16, 32),
        width: int = 128,
        normalize: bool = True,
    ) -> None:
        super().__init__(width, sizes.n_latents)
        channels, pooled = check_convolutions(sizes, channels, "zeros")
        self.lattice_shape = rows, columns = tuple(sizes.lattice_shape)
        n_rows, n_columns = (n * 2 ** len(channels) for n in pooled[1:])
        layers: list[nn.Module] = [nn.ZeroPad2d((0, n_columns - columns, 0, n_rows - rows))]
        bias = not normalize  # before a batch normalisation it would be subtracted again
        for pair in pairwise([sizes.n_features + sizes.n_conditions, *channels]):
            convolution = nn.Conv2d(*pair, 4, 2, 1, bias=bias)
            layers += [convolution, normalization(pair[1], normalize), nn.LeakyReLU(SLOPE)]
        dense = nn.Linear(math.prod(pooled), width, bias=bias)
        layers += [nn.Flatten(), dense, normalization(width, normalize), nn.LeakyReLU(SLOPE)]
        self.blocks = nn.Sequential(*layers)

    hidden = CNNEncoder.hidden


class NormalizedDecoder(nn.Module):
    """Two dense layers, then transposed convolutions (kernel 4), cropped to the lattice.

    Batch normalisation and ReLU come before each; where the likelihood needs two numbers a site,
    the last has two branches (table II).
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        channels: tuple[int, ...] = (16, 32),
        width: int = 128,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        channels, pooled = check_convolutions(sizes, channels, "zeros")
        self.lattice_shape = tuple(sizes.lattice_shape)
        bias = not normalize
        dense = nn.Linear(sizes.n_latents, width, bias=bias)
        onto_grid = nn.Linear(width, math.prod(pooled), bias=bias)
        steps = [dense, normalization(width, normalize), nn.ReLU()]
        steps += [onto_grid, nn.Unflatten(1, pooled)]
        numbers = list(pairwise([*reversed(channels), sizes.n_parameters]))
        for pair in numbers:
            last = pair is numbers[-1]
            convolution = nn.ConvTranspose2d(*pair, 4, 2, 1, bias=bias or last)
            steps += [normalization(pair[0], normalize), nn.ReLU(), convolution]
        self.steps = nn.Sequential(*steps)

    def calibrate(self, marginal_parameters: Tensor) -> None:
        """Set the output bias to the independent model's, ``(n_sites, n_parameters)``."""
        self.steps[-1].bias.copy_(marginal_parameters.mean(dim=0))

    def forward(self, z: Tensor) -> Tensor:
        """Return what the likelihood needs, ``(n_samples, n_sites, n_parameters)``."""
        rows, columns = self.lattice_shape
        return self.steps(z)[..., :rows, :columns].flatten(2).transpose(1, 2)


ENCODERS["normalized-cnn"], DECODERS["normalized-cnn"] = NormalizedEncoder, NormalizedDecoder

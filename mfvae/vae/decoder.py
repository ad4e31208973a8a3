"""Decoders: from a latent to what the likelihood needs at every site.

A decoder maps latents ``(n_samples, n_latents)`` to ``(n_samples, n_sites, n_parameters)``.
It never sees the conditions: given the latent, the law of a site is the same at every
temperature, and only the prior knows which latents occur there.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from mfvae._validation import check_choice
from mfvae.vae.encoder import check_widths, multilayer

__all__ = ["CNNDecoder", "Decoder", "LinearDecoder", "MLPDecoder"]


class Decoder(nn.Module):
    """Base: a decoder starts at the independent model, so that training is spent on the rest."""

    def calibrate(self, marginal_parameters: torch.Tensor) -> None:
        """Set the output bias to the independent model's, ``(n_sites, n_parameters)``."""
        raise NotImplementedError


class LinearDecoder(Decoder):
    """One affine map; with a Bernoulli likelihood, a generalised Hopfield model.

    Args:
        n_latents, n_sites, n_parameters (int): Latents, sites, numbers a site.
    """

    def __init__(self, n_latents: int, n_sites: int, n_parameters: int) -> None:
        super().__init__()
        self.shape = (n_sites, n_parameters)
        self.affine = nn.Linear(n_latents, n_sites * n_parameters)

    def calibrate(self, marginal_parameters: torch.Tensor) -> None:
        self.affine.bias.copy_(marginal_parameters.flatten())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.affine(z).unflatten(1, self.shape)


class MLPDecoder(Decoder):
    """A fully connected network.

    Args:
        n_latents, n_sites, n_parameters (int): Latents, sites, numbers a site.
        widths (tuple of int): Widths of the hidden layers.
    """

    def __init__(
        self, n_latents: int, n_sites: int, n_parameters: int, *, widths: tuple[int, ...] = (256,)
    ) -> None:
        super().__init__()
        self.shape = (n_sites, n_parameters)
        widths = check_widths(widths, "widths", minimum=0)
        self.body = multilayer(n_latents, widths, n_sites * n_parameters)

    def calibrate(self, marginal_parameters: torch.Tensor) -> None:
        self.body[-1].bias.copy_(marginal_parameters.flatten())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.body(z).unflatten(1, self.shape)


class _Upsample(nn.Module):
    """Transposed convolution, kernel 3, stride 2, padding 1, output padding 1."""

    def __init__(self, n_inputs: int, n_outputs: int, padding_mode: str) -> None:
        super().__init__()
        self.circular = padding_mode == "circular"
        padding = 0 if self.circular else 1
        self.convolution = nn.ConvTranspose2d(
            n_inputs, n_outputs, 3, 2, padding, output_padding=padding
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if not self.circular:
            return self.convolution(image)
        rows, columns = image.shape[-2:]
        wide = self.convolution(functional.pad(image, (1, 1, 1, 1), mode="circular"))
        return wide[..., 3 : 3 + 2 * rows, 3 : 3 + 2 * columns]


class CNNDecoder(Decoder):
    """The mirror of ``CNNEncoder``.

    An affine map to the pooled grid, then transposed convolutions with SiLU between them;
    where a side is not a multiple of 2^blocks the image is cropped to the lattice.

    Args:
        n_latents, n_sites, n_parameters (int): Latents, sites, numbers a site.
        lattice_shape ((int, int)): Rows and columns.
        channels (tuple of int): Channels of the mirrored encoder's blocks, first block first.
        padding_mode ({"zeros", "circular"}): "circular" for periodic lattices.
    """

    def __init__(
        self,
        n_latents: int,
        n_sites: int,
        n_parameters: int,
        *,
        lattice_shape: tuple[int, int],
        channels: tuple[int, ...] = (16, 32),
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        check_choice(padding_mode, "padding_mode", ("zeros", "circular"))
        channels = check_widths(channels, "channels")
        self.lattice_shape = tuple(lattice_shape)
        rows, columns = lattice_shape
        for _ in channels:
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
        self.pooled_shape = (channels[-1], rows, columns)
        self.affine = nn.Linear(n_latents, channels[-1] * rows * columns)
        steps: list[nn.Module] = []
        widths = (*reversed(channels[:-1]), n_parameters)
        n_inputs = channels[-1]
        for n_outputs in widths:
            steps += [nn.SiLU(), _Upsample(n_inputs, n_outputs, padding_mode)]
            n_inputs = n_outputs
        self.steps = nn.Sequential(*steps)

    def calibrate(self, marginal_parameters: torch.Tensor) -> None:
        self.steps[-1].convolution.bias.copy_(marginal_parameters.mean(dim=0))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        image = self.steps(self.affine(z).unflatten(1, self.pooled_shape))
        rows, columns = self.lattice_shape
        return image[..., :rows, :columns].flatten(2).transpose(1, 2)

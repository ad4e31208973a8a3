"""Decoders: from a latent to what the likelihood needs at every site.

A decoder maps latents ``(n_samples, n_latents)`` to ``(n_samples, n_sites, n_parameters)``.
It never sees the conditions: given the latent, the law of a site is the same at every
temperature, and only the prior knows which latents occur there.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from mfvae.vae.encoder import (
    BatchNorm1d,
    BatchNorm2d,
    Sizes,
    check_convolutions,
    check_widths,
    multilayer,
)

__all__ = ["CNNDecoder", "Decoder", "LinearDecoder", "MLPDecoder"]


class Decoder(nn.Module):
    """Base: a decoder starts at the independent model, so that training is spent on the rest."""

    def calibrate(self, marginal_parameters: Tensor) -> None:
        """Set the output bias to the independent model's, ``(n_sites, n_parameters)``."""
        raise NotImplementedError


class LinearDecoder(Decoder):
    """One affine map; with a Bernoulli likelihood, a generalised Hopfield model."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.shape = (sizes.n_sites, sizes.n_parameters)
        self.affine = nn.Linear(sizes.n_latents, sizes.n_sites * sizes.n_parameters)

    def calibrate(self, marginal_parameters: Tensor) -> None:
        self.affine.bias.copy_(marginal_parameters.flatten())

    def forward(self, z: Tensor) -> Tensor:
        return self.affine(z).unflatten(1, self.shape)


class MLPDecoder(Decoder):
    """A fully connected network; ``widths`` are those of its hidden layers."""

    def __init__(self, sizes: Sizes, *, widths: tuple[int, ...] = (256,)) -> None:
        super().__init__()
        self.shape = (sizes.n_sites, sizes.n_parameters)
        widths = check_widths(widths, "widths", minimum=0)
        self.body = multilayer(sizes.n_latents, widths, sizes.n_sites * sizes.n_parameters)

    def calibrate(self, marginal_parameters: Tensor) -> None:
        self.body[-1].bias.copy_(marginal_parameters.flatten())

    def forward(self, z: Tensor) -> Tensor:
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

    def forward(self, image: Tensor) -> Tensor:
        if not self.circular:
            return self.convolution(image)
        rows, columns = image.shape[-2:]
        wide = self.convolution(functional.pad(image, (1, 1, 1, 1), mode="circular"))
        return wide[..., 3 : 3 + 2 * rows, 3 : 3 + 2 * columns]


class CNNDecoder(Decoder):
    """The mirror of ``CNNEncoder``, cropped to the lattice.

    Without ``width``: an affine map to the pooled grid, then transposed convolutions with SiLU
    between them. With it (Huang, Hu & Yang 2022, table I): two dense layers, the second onto the
    grid, then transposed convolutions (kernel 4), with batch normalisation and ReLU before each;
    where the likelihood needs two numbers a site, the last has two branches (their table II).

    Args:
        sizes: With a ``lattice_shape``.
        channels: Channels of the mirrored encoder's blocks, first block first.
        padding_mode: "zeros", or "circular" for periodic lattices (without ``width`` only).
        width: Width of the first dense layer, or None.
    """

    def __init__(
        self,
        sizes: Sizes,
        *,
        channels: tuple[int, ...] = (16, 32),
        padding_mode: str = "zeros",
        width: int | None = None,
    ) -> None:
        super().__init__()
        channels, width, pooled = check_convolutions(sizes, channels, padding_mode, width)
        self.lattice_shape = tuple(sizes.lattice_shape)
        self.pooled_shape = (channels[-1], *pooled)
        n_pooled = channels[-1] * pooled[0] * pooled[1]
        steps: list[nn.Module] = []
        if width is None:
            self.affine = nn.Linear(sizes.n_latents, n_pooled)
        else:
            steps += [
                nn.Linear(sizes.n_latents, width, bias=False),
                BatchNorm1d(width),
                nn.ReLU(),
                nn.Linear(width, n_pooled, bias=False),
                nn.Unflatten(1, self.pooled_shape),
            ]
        n_inputs, *others = *reversed(channels), sizes.n_parameters
        for place, n_outputs in enumerate(others, start=1):
            if width is None:
                steps += [nn.SiLU(), _Upsample(n_inputs, n_outputs, padding_mode)]
            else:
                last = place == len(others)
                convolution = nn.ConvTranspose2d(n_inputs, n_outputs, 4, 2, 1, bias=last)
                steps += [BatchNorm2d(n_inputs), nn.ReLU(), convolution]
            n_inputs = n_outputs
        self.steps = nn.Sequential(*steps)
        self.normalized = width is not None

    def calibrate(self, marginal_parameters: Tensor) -> None:
        last = self.steps[-1] if self.normalized else self.steps[-1].convolution
        last.bias.copy_(marginal_parameters.mean(dim=0))

    def forward(self, z: Tensor) -> Tensor:
        if not self.normalized:
            z = self.affine(z).unflatten(1, self.pooled_shape)
        rows, columns = self.lattice_shape
        return self.steps(z)[..., :rows, :columns].flatten(2).transpose(1, 2)

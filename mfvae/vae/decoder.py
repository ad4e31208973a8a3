"""Decoders: from a latent to what the likelihood needs at every site.

A decoder maps latents ``(n_samples, n_latents)`` to ``(n_samples, n_sites, n_parameters)`` and
never sees the conditions: only the prior knows which latents occur at a temperature. ``calibrate``
sets its output bias to the independent model's, ``(n_sites, n_parameters)``.
"""

import math
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from mfvae.vae.encoder import Sizes, check_convolutions, check_widths, multilayer

__all__ = ["CNNDecoder", "LinearDecoder", "MLPDecoder"]


class LinearDecoder(nn.Module):
    """One affine map; with a Bernoulli likelihood, a generalised Hopfield model."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.shape = (sizes.n_sites, sizes.n_parameters)
        self.affine = nn.Linear(sizes.n_latents, sizes.n_sites * sizes.n_parameters)

    def calibrate(self, marginal_parameters: Tensor) -> None:
        self.affine.bias.copy_(marginal_parameters.flatten())

    def forward(self, z: Tensor) -> Tensor:
        return self.affine(z).unflatten(1, self.shape)


class MLPDecoder(nn.Module):
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
        pad = 0 if self.circular else 1
        self.convolution = nn.ConvTranspose2d(n_inputs, n_outputs, 3, 2, pad, output_padding=pad)

    def forward(self, image: Tensor) -> Tensor:
        if not self.circular:
            return self.convolution(image)
        rows, columns = image.shape[-2:]
        wide = self.convolution(functional.pad(image, (1, 1, 1, 1), mode="circular"))
        return wide[..., 3 : 3 + 2 * rows, 3 : 3 + 2 * columns]


class CNNDecoder(nn.Module):
    """The mirror of ``CNNEncoder``, with the same options, cropped to the lattice.

    An affine map to the pooled grid, then transposed convolutions with SiLU between them.
    """

    def __init__(
        self, sizes: Sizes, *, channels: tuple[int, ...] = (16, 32), padding_mode: str = "zeros"
    ) -> None:
        super().__init__()
        channels, self.pooled = check_convolutions(sizes, channels, padding_mode)
        self.lattice_shape = tuple(sizes.lattice_shape)
        self.affine = nn.Linear(sizes.n_latents, math.prod(self.pooled))
        steps: list[nn.Module] = []
        for pair in pairwise([*reversed(channels), sizes.n_parameters]):
            steps += [nn.SiLU(), _Upsample(*pair, padding_mode)]
        self.steps = nn.Sequential(*steps)

    def calibrate(self, marginal_parameters: Tensor) -> None:
        self.steps[-1].convolution.bias.copy_(marginal_parameters.mean(dim=0))

    def forward(self, z: Tensor) -> Tensor:
        rows, columns = self.lattice_shape
        image = self.steps(self.affine(z).unflatten(1, self.pooled))
        return image[..., :rows, :columns].flatten(2).transpose(1, 2)

"""Directors: the Bingham law p(n) = exp(n^T A n) / Z(A) at every site, in two forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from mfvae._validation import check_directors
from mfvae.systems import bingham_torch
from mfvae.systems.bingham import Bingham
from mfvae.vae.likelihood import Likelihood

__all__ = ["BinghamNatural", "BinghamRotation"]


class BinghamNatural(Likelihood):
    """The decoder emits the five components of the symmetric traceless matrix A itself.

    In these natural parameters the Hubbard-Stratonovich conditional of the Maier-Saupe
    model is linear in the field, so that a linear decoder is exact. Densities are with
    respect to the surface measure of the unit sphere, whose total is 4 pi.
    """

    n_parameters = 5
    n_features = 5
    data_ndim = 3

    @classmethod
    def settings_from_data(cls, x: np.ndarray) -> dict[str, Any]:
        check_directors(x, "X", ndim=3)
        return {}

    def prepare(self, x: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(check_directors(x, "X", ndim=3).astype(np.float32))

    def restore(self, x: torch.Tensor) -> np.ndarray:
        return x.cpu().numpy().astype(np.float32)

    def marginal_parameters(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(x.shape[1], self.n_parameters)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.statistics(x).transpose(1, 2)

    def statistics(self, x: torch.Tensor) -> torch.Tensor:
        return bingham_torch.to_components(x[..., :, None] * x[..., None, :])

    def natural(self, parameters: torch.Tensor) -> torch.Tensor:
        return parameters

    def log_normalizer(self, parameters: torch.Tensor) -> torch.Tensor:
        return bingham_torch.log_normalizer(self.natural(parameters)).sum(dim=-1)

    def sample(self, parameters: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seed = torch.randint(2**31, (1,), generator=generator, device=parameters.device)
        matrices = bingham_torch.from_components(self.natural(parameters).double())
        directors = Bingham(matrices.cpu().numpy()).sample(1, seed=int(seed))[..., 0, :]
        return torch.from_numpy(directors.astype(np.float32)).to(parameters.device)

    def mean(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return E[n n^T] of each site, ``(n_samples, n_sites, 3, 3)``."""
        return bingham_torch.moment(self.natural(parameters))


class BinghamRotation(BinghamNatural):
    """The decoder emits a rotation and two eigenvalue gaps (Biroli, Welling & Vitelli 2026).

    Six numbers become a rotation by Gram-Schmidt, two more the eigenvalues
    0, softplus(a), softplus(a) + softplus(b) of A.
    """

    n_parameters = 8

    def marginal_parameters(self, x: torch.Tensor) -> torch.Tensor:
        identity = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, -1.0])
        return identity.expand(x.shape[1], -1)

    def natural(self, parameters: torch.Tensor) -> torch.Tensor:
        first = functional.normalize(parameters[..., 0:3], dim=-1)
        second = parameters[..., 3:6]
        second = functional.normalize(
            second - (first * second).sum(dim=-1, keepdim=True) * first, dim=-1
        )
        third = torch.linalg.cross(first, second)
        values = functional.softplus(parameters[..., 6:8]).cumsum(dim=-1)
        matrices = (
            values[..., 0, None, None] * second[..., :, None] * second[..., None, :]
            + values[..., 1, None, None] * third[..., :, None] * third[..., None, :]
        )
        return bingham_torch.to_components(matrices)

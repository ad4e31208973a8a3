"""The mixture prior with full covariances against SciPy's multivariate normal."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from mfvae import MeanFieldVAE
from mfvae.vae.mixture_prior import MixturePrior
from mfvae.vae.model import check_parameters, configure, seeded_initialization


def bent_prior(n_latents: int, n_conditions: int, n_components: int = 4) -> MixturePrior:
    """Return a full-covariance mixture in float64, moved away from its start."""
    with seeded_initialization(5):
        options = {"n_components": n_components, "covariance": "full"}
        prior = MixturePrior(n_latents, n_conditions, **options).double()
        with torch.no_grad():
            for weight in prior.parameters():
                fan_in = weight.shape[1] if weight.ndim == 2 else 1
                weight += 0.6 * torch.randn_like(weight) / fan_in**0.5
    return prior


def scipy_components(prior: MixturePrior, c: torch.Tensor) -> list[tuple[float, object]]:
    """Weight and law of each component at one row of conditions, by dense linear algebra."""
    d = prior.n_latents
    shifts = prior.shifts_of(c)[0].detach().numpy()
    weights = np.exp(shifts[:, 0]) / np.exp(shifts[:, 0]).sum()
    components = []
    for k in range(prior.n_components):
        mean = prior.means[k].detach().numpy() + shifts[k, 1 : 1 + d]
        scale = np.exp(prior.log_scales[k].detach().numpy() + shifts[k, 1 + d : 1 + 2 * d])
        lower = np.eye(d)
        lower[np.tril_indices(d, -1)] = shifts[k, 1 + 2 * d :]
        root = np.linalg.solve(lower, np.diag(scale))
        components.append((weights[k], stats.multivariate_normal(mean, root @ root.T)))
    return components


@pytest.mark.parametrize("n_conditions", [0, 2])
@pytest.mark.parametrize("n_latents", [1, 2, 4])
def test_full_covariance_density_is_scipys(n_latents: int, n_conditions: int) -> None:
    prior, c = bent_prior(n_latents, n_conditions), torch.full((1, n_conditions), 0.4).double()
    z = 2 * torch.randn(50, n_latents, generator=torch.Generator().manual_seed(0)).double()
    log_prob = prior.log_prob(z, c.expand(50, -1)).detach().numpy()
    points = z.numpy()
    expected = sum(w * law.pdf(points) for w, law in scipy_components(prior, c))
    np.testing.assert_allclose(np.exp(log_prob), expected, rtol=1e-9)


def test_rows_of_few_conditions_have_the_density_and_gradient_of_single_rows() -> None:
    prior = bent_prior(4, 2)
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(60, 4, generator=generator).double().requires_grad_()
    c = torch.tensor([[0.4, 1.0], [-0.2, 0.3], [0.4, -1.0]]).double()
    c = c[torch.randint(3, (60,), generator=generator)]
    together = prior.log_prob(z, c)
    alone = torch.cat([prior.log_prob(z[k : k + 1], c[k : k + 1]) for k in range(60)])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-10)
    weights = [z, *prior.parameters()]
    for a, b in zip(
        torch.autograd.grad(together.sum(), weights),
        torch.autograd.grad(alone.sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


@torch.no_grad()
def test_shared_components_keep_their_digits_in_single_precision() -> None:
    prior = MixturePrior(16, 0, n_components=64, covariance="full")
    prior.log_scales += torch.linspace(-3, 0, 64)[:, None]  # scales from 0.025 to 0.5
    z = prior.sample(torch.zeros(500, 0), torch.Generator().manual_seed(0))
    single = prior.log_prob(z, torch.zeros(500, 0))
    exact = prior.double().log_prob(z.double(), torch.zeros(500, 0).double())
    assert float((single - exact).abs().max()) < 0.02


@torch.no_grad()
@pytest.mark.parametrize("n_conditions", [0, 1])
def test_full_covariance_samples_have_the_components_moments(n_conditions: int) -> None:
    prior, c, n = bent_prior(3, n_conditions), torch.full((1, n_conditions), 0.4).double(), 40_000
    z = prior.sample(c.expand(n, -1), torch.Generator().manual_seed(1)).numpy()
    low, high = (edge.numpy() for edge in prior.box(c))
    assert np.all((z >= low) & (z <= high))
    parts = scipy_components(prior, c)
    mean = sum(w * law.mean for w, law in parts)
    second = sum(w * (law.cov + np.outer(law.mean, law.mean)) for w, law in parts)
    products = z[:, :, None] * z[:, None, :]

    def largest(values: np.ndarray, expected: np.ndarray) -> float:
        return np.max(np.abs(values.mean(0) - expected) / (values.std(0) / np.sqrt(n)))

    # Twelve different comparisons at 5.5 standard errors: 5e-7 in all.
    assert largest(z, mean) < 5.5
    assert largest(products, second) < 5.5
    # Negative control: a few per cent in the second moments are seen.
    assert largest(products, 1.06 * second) > 5.5


def test_full_covariance_tiles_a_circle_that_diagonal_ones_cannot() -> None:
    """A ring of radius 2 and width 0.05: eight flat pieces must follow its direction."""
    generator = torch.Generator().manual_seed(0)
    angle = 2 * np.pi * torch.rand(4000, 1, generator=generator)
    radius = 2 + 0.05 * torch.randn(4000, 1, generator=generator)
    z = radius * torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)
    none, scores = torch.zeros(4000, 0), {}
    for covariance in ("diagonal", "full"):
        with seeded_initialization(1):
            prior = MixturePrior(2, 0, n_components=12, covariance=covariance)
        optimizer = torch.optim.Adam(prior.parameters(), lr=0.03)
        for _ in range(250):
            optimizer.zero_grad()
            loss = -prior.log_prob(z, none).mean()
            loss.backward()
            optimizer.step()
        scores[covariance] = float(loss.detach())
    exact = np.log(2 * np.pi * 2) + 0.5 * np.log(2 * np.pi * np.e * 0.05**2)
    assert scores["full"] < scores["diagonal"] - 0.2
    assert exact - 0.05 < scores["full"] < exact + 0.4


@torch.no_grad()
def test_full_covariance_of_one_latent_is_the_diagonal_one() -> None:
    laws = []
    for covariance in ("diagonal", "full"):
        with seeded_initialization(2):
            laws.append(MixturePrior(1, 1, n_components=3, covariance=covariance).double())
    z, c = torch.linspace(-3, 3, 20).double()[:, None], torch.zeros(20, 1).double()
    assert torch.equal(laws[0].log_prob(z, c), laws[1].log_prob(z, c))


def test_an_unknown_covariance_is_refused() -> None:
    with pytest.raises(ValueError, match="covariance"):
        MixturePrior(2, 0, covariance="spherical")


@pytest.mark.parametrize(("n_rows", "n_components"), [(100, 8), (5000, 25), (20_000, 64)])
def test_few_rows_get_few_components_by_default(n_rows: int, n_components: int) -> None:
    x, none = np.tile([[1, -1]], (n_rows, 2)), np.empty((n_rows, 0))
    parameters = check_parameters(MeanFieldVAE(2).get_params())
    assert configure(parameters, x, none)["prior_options"] == {"n_components": n_components}
    own = MeanFieldVAE(2, prior_options={"n_components": 3}).get_params()
    assert configure(check_parameters(own), x, none)["prior_options"] == {"n_components": 3}
    named = MeanFieldVAE(2, prior="mixture").get_params()  # whoever names the brick gets its own
    assert configure(check_parameters(named), x, none)["prior_options"] == {}

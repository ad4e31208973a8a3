"""Every prior: normalised, its samples agree with it, its determinants are autograd's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from mfvae.vae.evidence import panel_rule
from mfvae.vae.mixture_prior import MixturePrior
from mfvae.vae.model import PRIORS, seeded_initialization
from mfvae.vae.prior import CouplingPrior, NormalPrior, Prior, SplinePrior

#: As in test_likelihood: fewer than 100 comparisons at 1e-8 each.
P_VALUE = 1e-8

SMALL = {
    "spline": {"n_bins": 6},
    "normal": {},
    "mixture": {"n_components": 5},
    "coupling": {"n_layers": 3, "n_bins": 6, "width": 8},
}
EDGES = (-2.0, -1.0, 0.0, 1.0, 2.0)  # of the cells in which samples are counted
# (name, latents, conditions)
CASES = [
    (name, n_latents, n_conditions)
    for name in PRIORS
    for n_latents in (1, 2)
    for n_conditions in (0, 1, 3)
    if not (name == "coupling" and n_latents == 1)
]


def build(name: str, n_latents: int, n_conditions: int, *, bend: float = 0.6) -> Prior:
    """Return a prior in float64 whose weights have been moved away from the start."""
    if name == "coupling":
        bend /= 3
    with seeded_initialization(5):
        prior = PRIORS[name](n_latents, n_conditions, **SMALL[name]).double()
        with torch.no_grad():
            for weight in prior.parameters():
                fan_in = weight.shape[1] if weight.ndim == 2 else 1
                weight += bend * torch.randn_like(weight) / fan_in**0.5
    return prior


def one_condition(n_conditions: int) -> torch.Tensor:
    return torch.linspace(-0.5, 0.8, n_conditions, dtype=torch.float64)[None]


def grid(prior: Prior, c: torch.Tensor, spacing: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights over the prior's box, panels meeting at its breakpoints."""
    low, high = (edge.tolist() for edge in prior.box(c))
    breaks = [[*points.tolist(), *EDGES] for points in prior.breakpoints(c)]
    order = 12 if prior.n_latents == 1 else 6
    rules = [panel_rule(*rule, spacing, order) for rule in zip(low, high, breaks, strict=True)]
    nodes = np.stack([g.ravel() for g in np.meshgrid(*(r[0] for r in rules), indexing="ij")], 1)
    weights = rules[0][1]
    for _, other in rules[1:]:
        weights = np.multiply.outer(weights, other).ravel()
    return torch.from_numpy(nodes), torch.from_numpy(weights)


@torch.no_grad()
@pytest.mark.parametrize(("name", "n_latents", "n_conditions"), CASES)
def test_density_integrates_to_one(name: str, n_latents: int, n_conditions: int) -> None:
    prior, c = build(name, n_latents, n_conditions), one_condition(n_conditions)
    z, weights = grid(prior, c, 0.05)
    total = (prior.log_prob(z, c.expand(len(z), -1)).exp() * weights).sum()
    tolerance = 1e-3 if name == "coupling" else 1e-5  # the coupling's kinks lie on curves
    assert float(total) == pytest.approx(1, abs=tolerance)


@torch.no_grad()
@pytest.mark.parametrize(("name", "n_latents", "n_conditions"), CASES)
def test_samples_agree_with_the_density(name: str, n_latents: int, n_conditions: int) -> None:
    prior, c, n_samples = build(name, n_latents, n_conditions), one_condition(n_conditions), 30_000
    z = prior.sample(c.expand(n_samples, -1), torch.Generator().manual_seed(3))
    assert z.shape == (n_samples, n_latents)
    low, high = prior.box(c)
    assert ((z >= low) & (z <= high)).all()
    # Counts of samples in the cells between EDGES, against the cells' mass by quadrature.
    nodes, weights = grid(prior, c, 0.05 if n_latents == 1 else 0.1)
    mass = prior.log_prob(nodes, c.expand(len(nodes), -1)).exp() * weights

    def p_value(shift: float) -> float:
        edges = torch.tensor(EDGES, dtype=z.dtype)
        code, node_code = (
            sum(torch.bucketize(points[:, k].contiguous(), edges) * 6**k for k in range(n_latents))
            for points in (z + shift, nodes)
        )
        n_cells = 6**n_latents
        observed = torch.bincount(code, minlength=n_cells).numpy().astype(float)
        expected = torch.zeros(n_cells, dtype=z.dtype).index_add_(0, node_code, mass).numpy()
        expected *= n_samples / expected.sum()
        large = expected > 10
        pooled = (np.append(part[large], part[~large].sum()) for part in (observed, expected))
        observed, expected = (part[: None if part[-1] > 0 else -1] for part in pooled)
        return stats.chi2(len(expected) - 1).sf(((observed - expected) ** 2 / expected).sum())

    assert p_value(0.0) > P_VALUE
    assert p_value(0.1) < P_VALUE


@torch.no_grad()
@pytest.mark.parametrize("name", ["spline", "normal", "coupling"])
@pytest.mark.parametrize("n_conditions", [0, 2])
def test_starts_at_the_standard_normal(name: str, n_conditions: int) -> None:
    prior = PRIORS[name](3, n_conditions).double()
    z = 4 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    c = torch.randn(200, n_conditions, dtype=torch.float64, generator=torch.Generator())
    expected = stats.norm.logpdf(z.numpy()).sum(axis=1)
    np.testing.assert_allclose(prior.log_prob(z, c).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["spline", "coupling"])
def test_log_determinant_is_autograds(name: str) -> None:
    prior, c = build(name, 3, 2), torch.tensor([[0.3, -1.0]], dtype=torch.float64)

    def to_noise(z: torch.Tensor) -> torch.Tensor:
        for layer in prior.layers:
            z, _ = layer(z, c)
        return z

    points = 2 * torch.randn(20, 3, generator=torch.Generator().manual_seed(1)).double()
    points[0] = 7.0  # in the tail, where the layers are the identity
    for z in points[:, None]:
        jacobian = torch.autograd.functional.jacobian(to_noise, z)[0, :, 0]
        noise = to_noise(z).detach().numpy()
        expected = stats.norm.logpdf(noise).sum() + float(torch.linalg.slogdet(jacobian)[1])
        assert float(prior.log_prob(z, c).detach()) == pytest.approx(expected, abs=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("name", ["spline", "coupling"])
def test_layers_and_their_inverses_round_trip(name: str) -> None:
    prior = build(name, 4, 1, bend=1.5)
    z = 3 * torch.randn(2000, 4, generator=torch.Generator().manual_seed(1)).double()
    c = torch.randn(2000, 1, generator=torch.Generator().manual_seed(2)).double()
    for layer in prior.layers:
        y, log_slope = layer(z, c)
        back, inverse_log_slope = layer(y, c, inverse=True)
        torch.testing.assert_close(back, z, atol=1e-9, rtol=0)
        torch.testing.assert_close(inverse_log_slope, -log_slope, atol=1e-7, rtol=0)


def test_the_density_bends_at_the_breakpoints_and_nowhere_else() -> None:
    prior, c = build("spline", 1, 1), one_condition(1)
    points = prior.breakpoints(c)[0].detach()
    assert len(points) == 2 * 7  # layers x (bins + 1)

    def bend(at: torch.Tensor, step: float = 1e-4) -> torch.Tensor:
        """Jump of the slope of ln p across each point, by one-sided differences."""
        offsets = step * torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).double()
        z = (at[:, None] + offsets).flatten()[:, None]
        with torch.no_grad():
            f = prior.log_prob(z, c.expand(len(z), -1)).unflatten(0, (-1, 5))
        right = (-3 * f[:, 2] + 4 * f[:, 3] - f[:, 4]) / (2 * step)
        left = (3 * f[:, 2] - 4 * f[:, 1] + f[:, 0]) / (2 * step)
        return (right - left).abs()

    inner = points[points.abs() < 4.99].unique()
    between = (inner[1:] + inner[:-1])[inner.diff() > 2e-3] / 2
    assert (bend(inner) > 1e-2).all()
    assert (bend(between) < 1e-3).all()


@torch.no_grad()
def test_mixture_without_conditions_is_the_mixture_it_says() -> None:
    prior = build("mixture", 2, 0)
    z = torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).double()
    shifts = prior.shifts_of.constant
    weights = torch.softmax(shifts[:, 0], 0).numpy()
    means = (prior.means + shifts[:, 1:3]).numpy()
    scales = (prior.log_scales + shifts[:, 3:]).exp().numpy()
    density = sum(
        w * stats.norm(m, s).pdf(z.numpy()).prod(axis=1)
        for w, m, s in zip(weights, means, scales, strict=True)
    )
    none = torch.zeros(50, 0, dtype=torch.float64)
    np.testing.assert_allclose(prior.log_prob(z, none).numpy(), np.log(density), rtol=1e-10)


@pytest.mark.parametrize(("name", "n_latents", "n_conditions"), CASES)
def test_every_parameter_receives_a_gradient(name, n_latents: int, n_conditions: int) -> None:
    prior = build(name, n_latents, n_conditions, bend=0.1)
    z = 2 * torch.randn(500, n_latents, generator=torch.Generator().manual_seed(0)).double()
    c = torch.randn(500, n_conditions, generator=torch.Generator().manual_seed(1)).double()
    if name == "normal":
        assert not list(prior.parameters())
        return
    prior.log_prob(z, c).sum().backward()
    for weight_name, weight in prior.named_parameters():
        assert torch.isfinite(weight.grad).all(), weight_name
        touched = (weight.grad != 0).double().mean()
        assert touched > 0.9, weight_name  # a bin in the far tail may hold no latent


@torch.no_grad()
@pytest.mark.parametrize("name", ["spline", "mixture", "coupling"])
def test_conditions_matter(name: str) -> None:
    prior = build(name, 2, 1)
    z = torch.zeros(2, 2, dtype=torch.float64)
    cold, hot = prior.log_prob(z, torch.tensor([[-1.0], [1.0]]).double())
    assert abs(float(cold - hot)) > 1e-3


@torch.no_grad()
def test_samples_in_float32_score_as_in_float64() -> None:
    """The inverse runs in float64, so that float32 latents lie where the density says."""
    prior = build("coupling", 3, 1, bend=1.0).float()
    c = torch.zeros(5000, 1)
    z = prior.sample(c, torch.Generator().manual_seed(0))
    assert z.dtype == torch.float32
    rough = prior.log_prob(z, c).double()
    fine = prior.double().log_prob(z.double(), c.double())
    assert float((rough - fine).abs().max()) < 1e-2
    assert float((rough - fine).mean().abs()) < 1e-4


@pytest.mark.parametrize(
    "make",
    [
        lambda: CouplingPrior(1, 0),
        lambda: SplinePrior(1, 0, n_bins=1),
        lambda: SplinePrior(1, 0, bound=-1.0),
        lambda: SplinePrior(1, 0, n_layers=0),
        lambda: MixturePrior(1, 0, n_components=0),
    ],
)
def test_bad_options_are_refused(make) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        make()


def test_standard_normal_box_leaves_nothing_outside() -> None:
    low, high = NormalPrior(2, 0).box(torch.zeros(1, 0))
    assert 2 * stats.norm.sf(float(high[0])) < 1e-12
    assert torch.equal(low, -high)
    assert math.isclose(float(high[0]), 8.0)


def test_the_rate_of_a_normal_prior_is_the_mean_of_its_estimate() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.tensor([[0.7, -1.2]]), torch.tensor([[-1.0, 0.4]])
    noise = torch.randn(200_000, 2, generator=generator)
    rows, none = len(noise), torch.zeros(len(noise), 0)
    spread = (mean.expand(rows, -1), log_variance.expand(rows, -1), noise, none)
    prior = NormalPrior(2, 0)
    estimates = Prior.rate(prior, *spread)
    exact = prior.rate(*spread)
    assert (exact == exact[0]).all()
    stderr = estimates.std() / math.sqrt(rows)
    assert abs(estimates.mean() - exact[0]) < 5.5 * stderr
    assert abs(estimates.mean() - 1.02 * exact[0]) > 5.5 * stderr  # 2 % off would be seen

"""The logarithm of a density ratio, learned by a small network, and the observables that carry it.

Two samples, "joint" and "reference", of laws p and q. The network g estimates ln(p/q) through the
relative ratio ``r = 1 / (α + (1 - α) e^{-g})``, which is bounded by 1/α and minimises
``E_mix[r] - E_p[ln r]`` with ``mix = α p + (1 - α) q`` (Yamada et al. 2013; Nguyen, Wainwright &
Jordan 2010). A sample is a ``TensorDataset`` of ``sites`` (n_samples, n_values), the values at all
sites, centred and scaled, and ``summaries`` (n_samples, n_summaries): latents, conditions, …
"""

import math

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import TensorDataset

from mfvae.vae.model import seeded_initialization

__all__ = ["attribute", "autocorrelation", "cross_fit", "log_ratio_within", "tied_triples"]

_ALPHA = 0.2
_BATCH_SIZE, _LEARNING_RATES, _MIN_STEPS = 512, [2.0 * 5e-3, 0.2 * 5e-3], 300
_VALIDATION, _N_CHECKS = 0.1, 20  # of the training rows, to keep the best epoch
_N_DIRECTIONS = 32
_ROWS, _LATTICES = 16384, 4096  # in a batch without gradients
_RADIUS = 4  # of the displacements on a lattice
_RESOLVED = 50  # samples in which a ratio's inverse should be seen
_MAX_ROWS, _MAX_STEPS, _TOLERANCE = 20_000, 30, 1e-3  # of the regression
_TIED, _MAX_TESTED, _MAX_VALUES = 6.0, 8192, 200  # σ; rows and columns that are searched
_LARGEST_GROUP = 6  # sites of two letters whose joint law is counted


def log_resolved(n_samples: int) -> float:
    """Return the largest ln(p/q) whose inverse so many reference samples can show."""
    return math.log(max(n_samples / _RESOLVED, 2.0))


class RatioNetwork(nn.Module):
    """ln(p/q) from directions across the sites, their squares, and the summaries.

    Squares, because the logarithm of a ratio of Gaussians is a quadratic form. The directions
    (n_directions, n_values) are not trained: learned or random ones fit the noise of all pairs,
    which costs a tenth of the estimate.
    """

    def __init__(self, directions: Tensor, n_summaries: int, width: int = 32) -> None:
        super().__init__()
        self.register_buffer("directions", directions)
        n_features = 2 * len(directions) + 1 + n_summaries
        self.linear = nn.Linear(n_features, 1)
        layers = nn.Linear(n_features, width), nn.Softplus(), nn.Linear(width, width), nn.Softplus()
        self.network = nn.Sequential(*layers, nn.Linear(width, 1, bias=False))
        for last in (self.linear, self.network[-1]):
            nn.init.zeros_(last.weight)

    def forward(self, sites: Tensor, summaries: Tensor) -> Tensor:
        """Return ln(p/q) of each row, ``(n_samples,)`` nats."""
        along, n_values = sites @ self.directions.T, sites.shape[1]
        # The length of a row stands for all directions that are not among those given.
        length = (sites.square().sum(dim=1, keepdim=True) - n_values) / n_values**0.5
        features = torch.cat([along, along**2 - 1, length, summaries], dim=1)
        return (self.linear(features) + self.network(features)).squeeze(1)

    @torch.no_grad()
    def evaluate(self, sample: TensorDataset, rows: Tensor) -> Tensor:
        """Return ln(p/q) of some rows of a sample, in batches and without gradients."""
        return torch.cat([self(*sample[part]) for part in rows.split(_ROWS)])


def relative_loss(joint: Tensor, reference: Tensor, alpha: float = _ALPHA) -> Tensor:
    """Return ``E_mix[r] - E_joint[ln r]`` from the values of ln(p/q) on both samples."""
    log_alpha, log_rest = joint.new_tensor(math.log(alpha)), math.log1p(-alpha)
    on_joint, on_reference = (-torch.logaddexp(log_alpha, log_rest - g) for g in (joint, reference))
    mixture = alpha * on_joint.exp().mean() + (1 - alpha) * on_reference.exp().mean()
    return mixture - on_joint.mean()


def _train(samples: list[TensorDataset], rows: Tensor, n_epochs: int, seed) -> RatioNetwork:
    joint, *references = samples
    weights, order = (int(state) for state in seed.generate_state(2))
    generator = torch.Generator().manual_seed(order)
    rows = rows[torch.randperm(len(rows), generator=generator)]
    held_out, rows = rows.tensor_split([max(1, int(_VALIDATION * len(rows)))])
    # Directions along which the variance is furthest from the reference's, 1, and outside the band
    # in which independent sites would have it (Marchenko & Pastur): inside, noise chooses them.
    sites = joint.tensors[0][rows]
    variance, directions = torch.linalg.eigh(sites.T @ sites / len(sites))
    noise = math.sqrt(sites.shape[1] / len(sites))
    order = torch.argsort((variance - 1).abs(), descending=True)
    known = (variance[order] - 1).abs() > 2 * noise + noise**2
    directions = directions.T[order[known]][:_N_DIRECTIONS]
    with seeded_initialization(weights):
        network = RatioNetwork(directions, joint.tensors[1].shape[1])
    n_batches = max(1, len(rows) // _BATCH_SIZE)
    n_epochs = max(n_epochs, -(-_MIN_STEPS // n_batches))
    # The quadratic part is learned first: few numbers, and most of what there is to find.
    parts = [{"params": part.parameters()} for part in (network.linear, network.network)]
    optimizer = torch.optim.AdamW(parts, weight_decay=1e-3)
    schedule = OneCycleLR(optimizer, _LEARNING_RATES, total_steps=n_epochs * n_batches + 1)
    best, kept, every = math.inf, None, -(-n_epochs // _N_CHECKS)
    for epoch in range(n_epochs):
        reference = references[epoch % len(references)]
        shuffled = rows[torch.randperm(len(rows), generator=generator)]
        for batch in shuffled.tensor_split(n_batches):
            loss = relative_loss(network(*joint[batch]), network(*reference[batch]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if (epoch + 1) % every and epoch + 1 < n_epochs:
            continue
        on_joint = network.evaluate(joint, held_out)
        on_references = torch.cat([network.evaluate(r, held_out) for r in references])
        for scale in (0.0, 0.5, 1.0):
            loss = float(relative_loss(scale * on_joint, scale * on_references))
            if loss < best:
                weights = {k: v.clone() for k, v in network.state_dict().items()}
                best, kept = loss, (scale, weights)
    scale, weights = kept
    network.load_state_dict(weights)
    for last in (network.linear, network.network[-1]):
        for parameter in last.parameters():
            parameter.data.mul_(scale)
    return network


def cross_fit(
    samples: list[TensorDataset],
    folds: np.ndarray,
    groups: np.ndarray,
    n_epochs: int,
    seed: np.random.SeedSequence,
) -> tuple[np.ndarray, np.ndarray]:
    """Return ln(p/q) of every row, each by a network trained on the other folds.

    On rows of the first sample, the joint law (n_samples,), and of the others, the reference
    (n_references, n_samples); folds and groups of rows are ints (n_samples,). Within each group a
    constant is added that brings the mean of p/q over the reference rows *of the training* to 1, as
    far as their number allows to say.
    """
    names, found = np.unique(folds), np.empty((len(samples), len(folds)))
    for fold, child in zip(names, seed.spawn(len(names)), strict=True):
        masks = folds != fold, folds == fold
        rows, held_out = (torch.from_numpy(np.flatnonzero(mask)) for mask in masks)
        network = _train(samples, rows, n_epochs, child)
        trained = torch.stack([network.evaluate(r, rows) for r in samples[1:]]).double()
        shifts = np.empty(groups.max() + 1)
        for group in range(len(shifts)):
            part = trained[:, torch.from_numpy(groups[folds != fold] == group)]
            weights = part.clamp(max=log_resolved(part.numel())).exp()
            # Rare large weights are missing from most samples: a mean below 1 may be no one's
            # fault, and its upper limit, at most 1, is taken.
            mean, n = float(weights.mean()), weights.numel()
            high = mean + 2 * float(weights.std()) / math.sqrt(n) + 5 * float(weights.max()) / n
            shifts[group] = math.log(max(mean, min(1.0, high)))
        shift = torch.from_numpy(shifts[groups[folds == fold]])
        for values, sample in zip(found, samples, strict=True):
            values[held_out] = network.evaluate(sample, held_out).double() - shift
    return found[0], found[1:]


def autocorrelation(residual: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return ``Σ_x u_x u_{x+r} / √N`` of each row, for displacements r of few sites on a torus."""
    down, left, right = (min(_RADIUS, n // 2) for n in (shape[0], shape[1] - 1, shape[1]))
    kept = torch.cartesian_prod(torch.arange(down + 1), torch.arange(-left, right + 1))
    rows, columns = kept[left + 1 :].T  # of opposite displacements one
    parts = []
    for part in residual.split(_LATTICES):
        power = torch.fft.rfft2(part.transpose(1, 2).unflatten(2, shape)).abs().square().sum(dim=1)
        correlation = torch.fft.irfft2(power, s=shape)[:, rows, columns % shape[1]]
        parts.append(correlation / residual.shape[1] ** 0.5)
    return torch.cat(parts)


def attribute(residuals: Tensor, log_ratio: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients of ln(p/q) on residuals (n_sites, n_values) and on their products.

    ``ln(p/q) ≈ b + Σ_i a_i·u_i + Σ_{i<j} c_ij u_i·u_j``, u of unit spread (n_samples, n_sites,
    n_values), by ridge regression with a penalty of the number of coefficients over that of rows:
    where these are few, coefficients are shrunk rather than made up. Under the reference features
    are nearly orthonormal, and conjugate gradients need a few steps.
    """
    every = -(-len(residuals) // _MAX_ROWS)
    u, target = residuals[::every], log_ratio[::every].float()
    n_samples, n_sites, n_values = u.shape
    upper = torch.triu(torch.ones(n_sites, n_sites), diagonal=1)
    penalty = (n_sites * n_values + n_sites * (n_sites - 1) // 2) / n_samples

    def predict(vector: Tensor) -> Tensor:
        a, c = vector[: n_sites * n_values], vector[n_sites * n_values :].view(n_sites, n_sites)
        return u.flatten(1) @ a + torch.einsum("nik,nik->n", torch.einsum("ij,njk->nik", c, u), u)

    def project(row: Tensor) -> Tensor:
        weighted = ((row - row.mean()) / n_samples)[:, None, None] * u
        pairs = torch.einsum("nik,njk->ij", weighted, u) * upper
        return torch.cat([weighted.sum(dim=0).flatten(), pairs.flatten()])

    def normal(vector: np.ndarray) -> np.ndarray:
        return project(predict(torch.from_numpy(vector))).numpy() + np.float32(penalty) * vector

    right = project(target).numpy()
    operator = LinearOperator((len(right), len(right)), normal, dtype=np.float32)
    found = cg(operator, right, rtol=_TOLERANCE, maxiter=_MAX_STEPS)[0].astype(np.float64)
    a, c = found[: n_sites * n_values], found[n_sites * n_values :].reshape(n_sites, n_sites)
    return a.reshape(n_sites, n_values), c + c.T


def tied_triples(u: Tensor) -> Tensor:
    """Return the triples of columns whose product is not zero on average, int64 (n, 3), best first.

    Sums over rows (n_samples, n_values) are held against √n, as for independent columns of mean 0
    and variance 1, and against the root of their own sum of squares, which a few coincidences of
    rare letters do not pass. Among more than 200 columns none are sought: it would take long.
    """
    u = u[:: -(-len(u) // _MAX_TESTED)]
    found, scores = [torch.empty((0, 3), dtype=torch.int64)], [torch.empty(0)]
    for i in range(u.shape[1] - 2 if u.shape[1] <= _MAX_VALUES else 0):
        rest, weighted = u[:, i + 1 :], u[:, i + 1 :] * u[:, i : i + 1]
        squares = ((weighted**2).T @ rest**2).clamp_min(len(u))
        score = torch.triu((weighted.T @ rest).abs() / squares.sqrt(), diagonal=1)
        j, k = torch.nonzero(score > _TIED).T
        found.append(torch.stack([torch.full_like(j, i), j + i + 1, k + i + 1], dim=1))
        scores.append(score[j, k])
    return torch.cat(found)[torch.argsort(torch.cat(scores), descending=True, stable=True)]


def tied_groups(X: np.ndarray, members: tuple[np.ndarray, ...]) -> np.ndarray:
    """The group of each site: those of two letters whose products of three tie them, else alone.

    ``TC(x) = Σ_G TC(x_G) + KL(p ‖ Π_G p(x_G))``: the first part is counted, the network has the
    second, and ln(p/q) of twenty ties does not add up to more than its samples can resolve.
    """
    apart = np.arange(X.shape[1])
    if X.ndim == 3 or len(np.unique(X)) != 2:
        return apart
    u = np.empty(X.shape, dtype=np.float32)
    for rows in members:
        u[rows] = X[rows] - X[rows].mean(axis=0)
    u /= np.maximum(u.std(axis=0), 1e-6)
    for triple in tied_triples(torch.from_numpy(u)).numpy():
        together = np.isin(apart, apart[triple])
        if together.sum() <= _LARGEST_GROUP:
            apart[together] = apart[triple].min()
    return apart


def log_ratio_within(
    values: list[Tensor], members: tuple[np.ndarray, ...], folds: np.ndarray, apart: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``Σ_G ln p(x_G) / Π p(x_i)``, counted in other folds, and its mean weight less one.

    At each of two samples, the first of which is counted, (2, n_samples); the weight is the mean
    of p/q over independent sites, with their frequencies in the fold itself, (n_samples,).
    """
    gain, excess = np.zeros((2, len(folds))), np.zeros(len(folds))
    for name in np.flatnonzero(np.bincount(apart) > 1):
        sites = np.flatnonzero(apart == name)
        letters = np.stack([value[:, sites, 0].numpy() for value in values])
        up = letters > (letters.min() + letters.max()) / 2
        codes, n_cells = up @ 2 ** np.arange(len(sites)), 2 ** len(sites)
        cells = np.arange(n_cells)[:, None] >> np.arange(len(sites)) & 1
        for rows in members:
            for fold in np.unique(folds):
                test, train = rows[folds[rows] == fold], rows[folds[rows] != fold]
                p = np.bincount(codes[0, train], minlength=n_cells) + 0.5
                p /= p.sum()
                alone, here = p @ cells, up[0, test].mean(axis=0)
                log_ratio = np.log(p) - np.log(np.where(cells, alone, 1 - alone)).sum(axis=1)
                gain[:, test] += log_ratio[codes[:, test]]
                q = np.where(cells, here, 1 - here).prod(axis=1)
                excess[test] += q @ np.exp(log_ratio) - 1
    return gain, excess

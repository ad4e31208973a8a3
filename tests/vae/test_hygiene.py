"""Every trap in the rows that `fit` is handed: a warning that names it, and silence without it."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from mfvae import MeanFieldVAE
from mfvae._validation import check_columns, check_rows
from mfvae.systems import CurieWeiss
from mfvae.vae.polish import polish


def words(n: int = 1500, n_cells: int = 20, strength: float = 1.5) -> np.ndarray:
    """Return words of one latent."""
    rng = np.random.default_rng(0)
    logits = strength * rng.standard_normal((n, 1)) * rng.choice([-1, 1], n_cells)
    return (rng.random((n, n_cells)) < 1 / (1 + np.exp(-logits))).astype(np.uint8)


def slow_words(n: int = 1500) -> np.ndarray:
    """Return words of one latent that remembers: an AR(1) of 0.95."""
    rng = np.random.default_rng(1)
    z = rng.standard_normal(n)
    for t in range(1, n):
        z[t] = 0.95 * z[t - 1] + np.sqrt(1 - 0.95**2) * z[t]
    return (rng.random((n, 20)) < 1 / (1 + np.exp(-2 * z[:, None]))).astype(np.uint8)


def short(n_latents: int = 1, n_epochs: int = 20, **options) -> MeanFieldVAE:
    options |= {"n_epochs": n_epochs, "learning_rate": 2e-2, "progress": False}
    return MeanFieldVAE(n_latents, **options)


def dead(x: np.ndarray) -> np.ndarray:
    x[:, 3] = 0
    return x


def near_dead(x: np.ndarray) -> np.ndarray:
    x[:, 3] = 0
    x[::400, 3] = 1
    return x


def doubled(x: np.ndarray) -> np.ndarray:
    x[:, 9] = 1 - x[:, 2]
    return x


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (dead, "1 dead columns never change: 3"),
        (near_dead, "1 near-dead columns .*: 3"),
        (doubled, "1 duplicated columns: 9 of 2"),
        (lambda x: x.T, "transposed"),
        (lambda x: slow_words(), "correlated rows"),
        (lambda x: x[:19], "too few rows"),
    ],
)
def test_a_trap_is_named_and_its_absence_is_not(spoil, message: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_rows(spoil(words()) == 1, 1, in_time=True)
    assert [w for w in caught if re.match(message, str(w.message))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_rows(words() == 1, 1, in_time=True)


def test_fit_warns_of_columns_and_of_correlated_rows_split_at_random() -> None:
    with pytest.warns(UserWarning, match="1 dead columns"):
        short().fit(dead(words()))
    x = slow_words()
    with pytest.warns(UserWarning, match="correlated rows"):
        short().fit(x)
    short().fit(x[:1000], validation=(x[1000:], None))  # split by hand: no warning
    short().fit(words())


def test_fit_warns_of_a_model_no_better_than_independent_sites() -> None:
    shuffled = np.stack([np.random.default_rng(i).permutation(c) for i, c in enumerate(words().T)])
    with pytest.warns(UserWarning, match="no better than independent sites"):
        short().fit(shuffled.T)


def test_masked_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="X must not be masked"):
        short().fit(np.ma.masked_array(words(), words()))


def test_sites_of_a_cold_magnet_are_no_copies() -> None:
    x = CurieWeiss(40).sample(0.5, 2000, seed=0)
    found = check_columns((x > 0).astype(np.uint8), [str(i) for i in range(40)], least=0.999)
    assert found.doubles == []
    assert found.warnings == []


def test_false_alarms_of_correlated_rows_are_rare() -> None:
    rng = np.random.default_rng(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(50):
            check_rows(rng.random((400, 30)) < 0.3, 1, in_time=True)


@pytest.mark.slow
def test_the_polish_takes_the_bias_out_of_couplings() -> None:
    rng, n, n_latents = np.random.default_rng(3), 4000, 2
    weights = np.linalg.qr(rng.standard_normal((30, n_latents)))[0] * np.sqrt(30)
    logits = rng.standard_normal((n, n_latents)) @ weights.T
    x = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.uint8)

    def slope(vae: MeanFieldVAE) -> float:
        z = vae.sample_prior(20_000, seed=0)
        w = vae.module_.decoder.affine.weight.detach().numpy()
        ours, theirs = w @ np.atleast_2d(np.cov(z.T)) @ w.T, weights @ weights.T
        return float((ours * theirs).sum() / (theirs**2).sum())

    held = x[:500], None
    plain = short(n_latents, 40, polish_steps=0).fit(x[500:], validation=held)
    polished = short(n_latents, 40, polish_steps=400).fit(x[500:], validation=held)
    # The ELBO draws couplings towards zero; 3,500 words of 30 cells give the slope to some 0.03.
    assert slope(plain) + 0.02 < slope(polished) < 1.15
    assert polished.score(x[:500]) > plain.score(x[:500]) - 0.01


def test_the_polish_keeps_what_it_cannot_improve() -> None:
    x = words(600)
    vae = short(n_epochs=40, polish_steps=0).fit(x)
    before, rows = vae.score_samples(x), vae.as_tensors(x, None)
    options = vae.get_params() | {"polish_steps": 100}
    polish(vae.module_, rows, rows, options | {"learning_rate": 1e3})
    assert np.array_equal(vae.score_samples(x), before)
    polish(vae.module_, rows, rows, options)
    assert vae.score_samples(x).mean() > before.mean()

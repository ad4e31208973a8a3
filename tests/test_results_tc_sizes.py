"""The sweep over lattice sizes: the exact law given the magnetisation, rows, and peaks."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from scipy.special import xlogy

import mfvae
from mfvae.measure import all_configurations
from mfvae.systems import Ising2D

SIGMAS = 5.5


@pytest.fixture(scope="module")
def sweep():
    return importlib.import_module("tc_sizes")


@pytest.mark.parametrize("temperature", [1.8, 2.6])
def test_what_is_left_given_the_magnetization_is_that_of_enumeration(sweep, temperature) -> None:
    system, x = Ising2D(4), all_configurations(16)
    p = np.exp(system.log_prob(x, temperature))
    exact = 0.0
    for m in np.unique(x.sum(axis=1)):
        rows = x.sum(axis=1) == m
        mass, law = p[rows].sum(), p[rows] / p[rows].sum()
        up = (x[rows] > 0).T @ law
        sites = -np.sum(xlogy(up, up) + xlogy(1 - up, 1 - up))
        exact += mass * (sites + np.sum(xlogy(law, law)))
    seed = np.random.SeedSequence(1)
    nats, stderr = sweep.given_magnetization(system, temperature, 64 * 500, seed)
    assert abs(nats - exact) < SIGMAS * stderr < 0.2
    # Negative control: the total correlation given nothing.
    assert abs(nats - system.total_correlation(temperature)) > 2 * SIGMAS * stderr


@pytest.mark.slow
def test_small_rows_are_complete(sweep, monkeypatch) -> None:
    monkeypatch.setattr(sweep.chapter, "N_EPOCHS", 1)
    some = {"reduced": [1.0, 1.2, 2.0], "n_samples": 640}
    magnetization = sweep.compute_row(4, "magnetization", 0, **some)
    nothing = sweep.compute_row(4, "nothing", 0, **some)
    latents = sweep.compute_row(4, "1 latents", 0, **some, n_training=80, n_epochs=1)
    for row in (magnetization, nothing, latents):
        assert np.shape(row["nats"]) == (3, 2)
        exact = [Ising2D(4).total_correlation(t) for t in row["temperature"]]
        np.testing.assert_allclose(row["exact"], exact, atol=1e-4)
        assert np.all(np.diff(row["exact"]) < 0)  # no peak
    assert len(nothing["lower"]) == len(nothing["saturated"]) == 3
    assert np.all(np.array(nothing["lower"]) < nothing["exact"])
    assert np.shape(latents["gap"]) == (3, 2)
    other = sweep.compute_row(4, "magnetization", 1, **some)
    assert other["nats"] != magnetization["nats"]  # another seed, other data


def test_a_stored_row_can_be_computed_again(sweep) -> None:
    rows = {tuple(r[k] for k in sweep.NAMES): r for r in mfvae.load_results("tc_sizes")["rows"]}
    stored = rows[8, "magnetization", 0]
    first = sweep.GIVEN["magnetization"]["reduced"][:3]
    again = sweep.compute_row(8, "magnetization", 0, reduced=first)
    np.testing.assert_allclose(again["nats"], stored["nats"][:3], atol=2e-4)
    other = rows[8, "magnetization", 1]  # negative control
    assert np.abs(np.array(again["nats"]) - other["nats"][:3]).max() > 0.01


def test_keys_differ_and_peaks_are_found_and_shown(sweep, capsys) -> None:
    assert len(set(sweep.ROWS)) == len(sweep.ROWS)
    t = np.array([0.8, 1.0, 1.1, 1.3, 2.0])
    assert sweep.peak(t.tolist(), (3 - 5 * (t - 1.07) ** 2).tolist()) == pytest.approx(1.07)
    assert sweep.peak(t.tolist(), (-t).tolist()) == 0.8
    reduced = {"temperature": (t * sweep.CRITICAL).tolist(), "exact": [9, 8, 7, 5, 3]}
    nats = [[float(3 - 5 * (v - 1.07) ** 2), 0.1] for v in t]
    names = ("magnetization", 0), ("magnetization", 1), ("nothing", 0)
    sweep.show([{"length": 8, "given": g, "seed": s, **reduced, "nats": nats} for g, s in names])
    shown = capsys.readouterr().out
    assert "at 1.070 ± 0.000, 2.99" in shown
    assert "exact     8.00  found of it 0.372" in shown

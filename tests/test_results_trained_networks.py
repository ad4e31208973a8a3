"""Both sides of the theorem for every trained network: what the sweep sees, and what it says."""

from __future__ import annotations

import importlib
import json
from types import ModuleType

import numpy as np
import pytest

import mfvae
from mfvae import MeanFieldVAE
from mfvae.systems import CurieWeiss, Hopfield, MaierSaupe

SIGMAS = 6.0  # a few hundred cells
QUICK = {"n_epochs": 1, "progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def sweep() -> ModuleType:
    return importlib.import_module("trained_networks")


@pytest.fixture(scope="module")
def networks(sweep) -> list[dict]:
    stored = json.loads(sweep.OUTPUT.read_text())
    assert stored["configuration"] == json.loads(json.dumps(sweep.configuration()))
    assert [(row["source"],) for row in stored["rows"]] == sweep.ROWS
    return [network for row in stored["rows"] for network in row["networks"]]


def test_every_network_obeys_the_theorem(networks) -> None:
    cells = [cell for network in networks for cell in network["cells"] if "gap" in cell]
    assert len(networks) > 60
    assert len(cells) > 300
    for cell in (cell for network in networks for cell in network["cells"] if "gap" not in cell):
        assert cell["gap_at_least"][0] > cell["cut"][0] - cell["rate"][0]
    kinds = {cell["system"].split(",")[0] for cell in cells}
    assert kinds == {"Curie–Weiss", "Hopfield", "Maier–Saupe", "Ising"}

    def violated(cut_factor: float) -> int:
        count = 0
        for cell in cells:
            (cut, cut_error), (rate, rate_error) = cell["cut"], cell["rate"]
            gap, error = cell["gap"]
            noise = np.sqrt(cut_error**2 + rate_error**2 + error**2)
            count += gap < cut_factor * cut - rate - SIGMAS * noise
        return count

    assert violated(1.0) == 0
    assert violated(2.5) > 0  # negative control: the theorem is about this cut, not a larger one


def test_every_chapter_that_trains_is_watched(sweep) -> None:
    """A chapter that comes to train networks of a solvable system must be named."""
    for page in sweep.BOOK.glob("*.md"):
        text = page.read_text()
        trains = "MeanFieldVAE(" in text and "{code-cell}" in text
        assert not trains or page.stem in (*sweep.CHAPTERS, "intro"), page.stem


def test_draws_are_recognised_whatever_their_shape(sweep) -> None:
    magnet, nematic = CurieWeiss(40), MaierSaupe(20)
    with sweep.watching() as witness:
        x = mfvae.sample_cached(magnet, [1.2, 1.6], 200, seed=0)
        chains = magnet.sample_chains(2.0, 4, 50, seed=1)
        directors = nematic.sample(0.2, 30, seed=2)
        vae = MeanFieldVAE(1, **QUICK)
        mfvae.fit_cached(vae, x.reshape(-1, 40).astype(np.int64))
    ((network, data),) = witness.networks
    assert network is vae
    assert [t for _, t in witness.laws_of(data)] == [1.2, 1.6]
    assert [t for _, t in witness.laws_of(chains.reshape(-1, 40))] == [2.0]
    assert witness.laws_of(directors)[0][0] is nematic
    cells = sweep.against_laws(vae, witness.laws_of(data))
    assert [cell["temperature"] for cell in cells] == [1.2, 1.6]
    assert all(cell["gap"][0] > cell["cut"][0] - cell["rate"][0] - 1 for cell in cells)


def test_columns_that_were_permuted_are_not_taken_for_draws(sweep) -> None:
    magnet = CurieWeiss(40)
    with sweep.watching() as witness:
        x = magnet.sample(1.5, 300, seed=0)
    columns = np.random.default_rng(0).permuted(x, axis=0)
    assert witness.laws_of(columns) is None


def test_the_package_is_as_before_afterwards(sweep) -> None:
    before = CurieWeiss.sample, MeanFieldVAE.fit, mfvae.fit_cached
    with pytest.raises(KeyError, match="planted"), sweep.watching():
        raise KeyError("planted")
    assert (CurieWeiss.sample, MeanFieldVAE.fit, mfvae.fit_cached) == before


def test_data_without_a_law_give_a_gap_from_below(sweep) -> None:
    system = Hopfield.random(24, 4, seed=0)
    assert not sweep.has_exact_law(system)
    assert sweep.has_exact_law(Hopfield.random(24, 3, seed=0))
    assert sweep.describe(system) == "Hopfield, P = 4"
    x = system.sample(0.8, 400, seed=1)
    (cell,) = sweep.against_data(MeanFieldVAE(2, **QUICK).fit(x), x)
    assert cell["gap_at_least"][0] > -5 * cell["gap_at_least"][1]
    assert cell["cut"][0] > 0
    # Three letters, all sites alike: the halves share ln 3.
    letters = np.repeat(np.random.default_rng(0).integers(3, size=(600, 1)), 8, axis=1)
    letters = letters.astype(np.uint8)
    vae = MeanFieldVAE(1, likelihood="categorical", **QUICK).fit(letters)
    (cell,) = sweep.against_data(vae, letters)
    assert cell["cut"][0] == pytest.approx(np.log(3), abs=0.05)


@pytest.mark.slow
def test_a_stored_row_can_be_computed_again(sweep) -> None:
    stored = json.loads(sweep.OUTPUT.read_text())["rows"]
    (row,) = (row for row in stored if row["source"] == "curie-weiss")
    again = sweep.compute_row("curie-weiss")
    for one, two in zip(row["networks"], again["networks"], strict=True):
        for first, second in zip(one["cells"], two["cells"], strict=True):
            assert first["temperature"] == second["temperature"]
            for side, spread in (("cut", 1e-3), ("rate", 0.3), ("gap", 0.3)):
                assert first[side][0] == pytest.approx(second[side][0], abs=spread)

"""What is kept of a run and of a store: how often, in which form, and what a kill leaves behind."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from _works import X, small_vae

import mfvae
from mfvae.compare import IndependentModel, compare_models, compare_statistics
from mfvae.data import EquilibriumSamples, download_retina, words_from_spikes
from mfvae.decode import GeneralizedHopfield
from mfvae.measure import capacity
from mfvae.systems import CurieWeiss, Ising2D
from mfvae.vae import training


def writes(monkeypatch, folder: Path, share: float) -> list[int]:
    """Return the epochs after which a run of twelve was kept, each time in a fifth of a second."""
    kept, write = [], training.write_torch

    def slowly(path: Path, content: dict) -> None:
        kept.append(len(content["mfvae_records"]))
        time.sleep(0.2)
        write(path, content)

    monkeypatch.setattr(training, "write_torch", slowly)
    monkeypatch.setattr(training, "WRITING", share)
    small_vae(n_epochs=12, checkpoint_path=folder).fit(X)
    return kept


@pytest.mark.slow
def test_checkpoints_take_no_more_than_their_share_of_the_time(tmp_path, monkeypatch) -> None:
    assert writes(monkeypatch, tmp_path / "a", 1e-3) == [1, 12]
    assert writes(monkeypatch, tmp_path / "b", 1.0) == list(range(1, 13))


def test_a_run_kept_in_another_form_is_refused(tmp_path: Path) -> None:
    small_vae(checkpoint_path=tmp_path).fit(X)
    record = tmp_path / "run.json"
    content = json.loads(record.read_text())
    del content["description"]["format"]
    record.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="differs in format"):
        small_vae(checkpoint_path=tmp_path).fit(X)


@pytest.mark.parametrize("path", ["file/model.pt", "nowhere/model.pt"])
def test_a_file_that_cannot_be_made_is_named(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=path):
        small_vae(n_epochs=1).fit(X).save(tmp_path / path)


def test_a_kill_after_the_last_chunk_leaves_nothing_once_resumed(tmp_path: Path) -> None:
    path, left = tmp_path / "store", tmp_path / "store.partial"
    options = {"seed": 0, "n_chains": 8, "progress": False}
    store = EquilibriumSamples.create(path, CurieWeiss(9), [0.9], 200, **options)
    content = {f: f.read_bytes() for f in path.rglob("*") if f.is_file()}
    (left / "half").mkdir(parents=True)
    store.resume(progress=False)
    assert not left.exists()
    assert {f: f.read_bytes() for f in path.rglob("*") if f.is_file()} == content


def test_long_doubles_are_taken_for_doubles(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MFVAE_CACHE", str(tmp_path))
    for value in (np.longdouble(0.5), 0.25, np.longdouble(0.25)):
        vae = mfvae.fit_cached(small_vae(n_epochs=1, beta=value), X)
        assert vae.history_ == small_vae(n_epochs=1, beta=float(value)).fit(X).history_ | {
            "seconds": vae.history_["seconds"]
        }
    assert len(list(tmp_path.iterdir())) == 2


REFUSED = {
    "stop": lambda: words_from_spikes([[[0.01]]], stop=1e12),
    "bin_width": lambda: words_from_spikes([[[0.01]]], stop=0.04, bin_width=5e-324),
    "url": lambda: download_retina(2),
    "prior": lambda: GeneralizedHopfield(np.eye(9, 1), np.zeros(9), small_vae()),
    "rival": lambda: capacity(small_vae(n_epochs=1).fit(X), X, rival=0.5),
    "train": lambda: compare_models({"independent": IndependentModel()}, 7, X),
    "test": lambda: compare_models({"independent": IndependentModel()}, X, 7),
    "temperature": lambda: Ising2D(3).specific_heat(1e-200),
    "progress": lambda: small_vae(n_epochs=1, progress=np.ones(3)).fit(X),
    "path": lambda: small_vae(n_epochs=1).fit(X).save(""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_was_obscure_or_endless_is_refused_by_name(name: str) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        REFUSED[name]()


def test_statistics_of_words_that_never_change_are_numbers() -> None:
    words = np.zeros((50, 4), dtype=np.uint8)
    row = compare_statistics({"other": (X[:50, :4] > 0).astype(np.uint8)}, words)["other"]
    assert np.isfinite(list(row.values())).all()
    assert row["covariance_slope"] == 0

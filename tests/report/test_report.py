"""The whole way from words to a page: codes, resuming, repeating, the command line."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import torch

import mfvae
from mfvae.__main__ import main
from mfvae.report.ladder import Ladder, fit_and_score
from mfvae.report.page import figures


def words(n: int = 1500, n_cells: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Return words of one latent, and its weights."""
    rng = np.random.default_rng(0)
    weights = rng.choice([-1.0, 1.0], n_cells) * 1.4
    z = rng.standard_normal((n, 1))
    return (rng.random((n, n_cells)) < 1 / (1 + np.exp(-z * weights))).astype(np.uint8), weights


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    options = {"ordered": False, "quick": True, "folder": folder, "progress": False}
    return mfvae.report(words()[0], **options), folder


def test_one_latent_is_found(found) -> None:
    report, _ = found
    weights = words()[1]
    assert report.code == "mean-field"
    assert report.n_latents == 1
    assert report.n_latents_interval == (1, 1)
    assert report.gain[1] < report.gain[0] < report.gain[2]
    assert report.warnings == []
    # Fields on spins are half the log odds; errors are those of the report.
    off = np.abs(report.patterns[:, 0] * np.sign(report.patterns[0, 0] * weights[0]) - weights / 2)
    assert np.mean(off < 3 * report.facts["patterns_stderr"][:, 0]) > 0.7
    assert report.vae.n_features_in_ == 24


def test_of_few_words_all_teach_the_parameters(found, monkeypatch) -> None:
    report, folder = found
    monkeypatch.setattr("mfvae.report.pipeline.FEW", len(words()[0]))
    options = {"ordered": False, "quick": True, "folder": folder, "progress": False}
    some = mfvae.report(words()[0], **options)
    assert (some.models, some.verdict) == (report.models, report.verdict)
    ours, theirs = (one.patterns @ one.patterns.T for one in (report, some))
    true = np.outer(words()[1], words()[1]) / 4
    # A third more words: the error falls by a fifth or so.
    assert np.linalg.norm(ours - true) < 0.95 * np.linalg.norm(theirs - true)
    assert report.vae.score(words()[0]) > some.vae.score(words()[0])


def test_page_without_triples(found) -> None:
    check = {**found[0].facts["check"], "third": np.zeros((2, 0))}
    bare = dataclasses.replace(found[0], facts={**found[0].facts, "check": check})
    assert len(figures(bare)) == 7  # no warning that a panel collapsed


@pytest.mark.slow
def test_report_does_not_depend_on_the_workers(found, monkeypatch) -> None:
    monkeypatch.setattr("mfvae.report.ladder.LEAST_TO_SHARE", 0)
    options = {"ordered": False, "quick": True, "progress": False, "n_jobs": 2}
    ours, theirs = found[0].to_dict(), mfvae.report(words()[0], **options).to_dict()
    for row in ours["models"] + theirs["models"]:
        row.pop("seconds")
    assert ours == theirs


def test_models_do_not_depend_on_the_threads_of_torch() -> None:
    train, validate, test = np.split(words()[0], (1000, 1250))
    parts = {"train": train, "validate": validate, "test": test}
    found, before = [], torch.get_num_threads()
    try:
        for n_threads in (1, 2):  # once set, no limit on BLAS and OpenMP reaches the threads
            torch.set_num_threads(n_threads)
            (task,) = Ladder(parts, None, [0], quick=True, n_seen=1)._vae(1)
            task[-1].set_params(n_epochs=20)
            found.append(fit_and_score(*task, parts, None, 8))
            assert torch.get_num_threads() == n_threads  # given back
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0].test, found[1].test)


def test_resumed_report_is_the_same(found) -> None:
    report, folder = found
    stamp = (folder / "VAE-1-latents-seed-0").stat().st_mtime_ns
    again = mfvae.report(words()[0], ordered=False, quick=True, folder=folder, progress=False)
    assert (folder / "VAE-1-latents-seed-0").stat().st_mtime_ns == stamp
    assert again.to_dict() == report.to_dict()
    (folder / "mixture-of-2").write_bytes(b"cut short")
    (folder / "VAE-1-latents-seed-0").unlink()
    third = mfvae.report(words()[0], ordered=False, quick=True, folder=folder, progress=False)
    ours, theirs = report.to_dict(), third.to_dict()
    for row in ours["models"] + theirs["models"]:
        row.pop("seconds")
    assert ours == theirs
    with pytest.raises(ValueError, match="other words or settings"):
        mfvae.report(words(1400)[0], ordered=False, quick=True, folder=folder, progress=False)


def test_page_is_whole(found, tmp_path) -> None:
    report, _ = found
    report.to_html(tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert len(text) < 3_000_000
    assert "<script" not in text
    assert not re.search(r"(?:src|href|srcset)=\"(?!data:)", text)
    assert text.count("<img ") == 7
    assert not re.search(r"<img (?![^>]*alt=\"[^\"]{20,})", text)
    assert "prefers-color-scheme: dark" in text
    assert "mean-field" in report._repr_html_()
    report.to_json(tmp_path / "r.json")
    plain = json.loads((tmp_path / "r.json").read_text())
    assert plain["code"] == "mean-field"
    assert np.allclose(plain["patterns"], report.patterns)


@pytest.mark.slow
def test_independent_cells_have_no_structure() -> None:
    x = (np.random.default_rng(1).random((1500, 24)) < 0.4).astype(np.uint8)
    spins = 2 * x.astype(np.int8) - 1
    report = mfvae.report(spins, ordered=False, quick=True, progress=False)
    assert report.vae.transform(spins).shape == (1500, 1)
    assert set(np.unique(report.vae.sample(50, seed=0))) == {-1, 1}
    assert report.code == "no-structure"
    assert report.n_latents == 0
    assert report.patterns is None
    assert report.gain[0] == 0
    assert "nats" in report.verdict


@pytest.mark.slow
def test_thin_data_are_undecided() -> None:
    report = mfvae.report(words(150)[0], ordered=False, quick=True, progress=False)
    assert report.code == "undecided"
    assert any("too few" in warning for warning in report.warnings)


def test_command_line(tmp_path, capsys) -> None:
    np.save(tmp_path / "words.npy", words(600)[0])
    output = tmp_path / "out"
    call = ["report", str(tmp_path / "words.npy"), "--output", str(output)]
    call += ["--quick", "--unordered"]
    assert main(call) == 0
    assert "mean-field" in capsys.readouterr().out
    assert {p.name for p in output.iterdir()} >= {"report.html", "report.json", "vae.pt", "stages"}
    np.save(tmp_path / "counts.npy", 5 * words(600)[0])
    call[1] = str(tmp_path / "counts.npy")
    assert main(call) == 2
    assert "two letters" in capsys.readouterr().err


def test_module_and_function_are_one() -> None:
    import mfvae.report.words

    assert callable(mfvae.report)
    assert mfvae.Report is mfvae.report.Report


@pytest.mark.slow
def test_drift_is_named_and_not_judged() -> None:
    rng = np.random.default_rng(4)
    logits = np.linspace(-2, 2, 1500)[:, None] * rng.choice([-1, 1], 24)
    x = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    report = mfvae.report(x, quick=True, progress=False)
    assert report.code == "undecided"
    assert any("drift" in warning for warning in report.warnings)
    assert report.facts["n_effective"] < 100

"""Models on disk: what comes back is what was saved, and nothing else is taken for it."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

from mfvae import MeanFieldVAE
from mfvae.systems import CurieWeiss, MaierSaupe
from mfvae.vae.storage import replace_file, write_torch

DATA = {
    "bernoulli": CurieWeiss(16).sample(1.0, 50, seed=0),
    "categorical": np.random.default_rng(0).integers(0, 3, (50, 5)),
    "gaussian": np.random.default_rng(1).normal(5, 3, (50, 6)),
    "bingham": MaierSaupe(6).sample(0.25, 40, seed=0),
    "bingham-rotation": MaierSaupe(6).sample(0.25, 40, seed=0),
}


def fitted(likelihood: str = "bernoulli", **options) -> MeanFieldVAE:
    given = {"n_epochs": 1, "progress": False, "likelihood": likelihood, **options}
    x = DATA[likelihood]
    return MeanFieldVAE(2, **given).fit(x, conditions=np.linspace(0.5, 1.5, len(x)))


@pytest.fixture(scope="module")
def vae() -> MeanFieldVAE:
    return fitted()


@pytest.mark.parametrize("likelihood", list(DATA))
@pytest.mark.parametrize("prior", ["spline", "coupling"])
def test_a_loaded_model_gives_identical_numbers(tmp_path, likelihood: str, prior: str) -> None:
    saved, x = fitted(likelihood, prior=prior), DATA[likelihood]
    c = np.linspace(0.5, 1.5, len(x))
    saved.save(tmp_path / "model.pt")
    loaded = MeanFieldVAE.load(tmp_path / "model.pt")
    for method in ("elbo", "iwae"):
        scores = [vae.score_samples(x, c, method=method) for vae in (saved, loaded)]
        np.testing.assert_array_equal(*scores)
    samples = [vae.sample(7, 0.9, seed=3) for vae in (saved, loaded)]
    assert samples[0].dtype == samples[1].dtype
    np.testing.assert_array_equal(*samples)
    np.testing.assert_array_equal(saved.transform(x, c), loaded.transform(x, c))
    assert saved.history_ == loaded.history_
    assert saved.training_seconds_ == loaded.training_seconds_
    assert saved.configuration_ == loaded.configuration_
    assert saved.n_features_in_ == loaded.n_features_in_
    assert not loaded.module_.training


def test_parameters_come_back_as_they_were_and_fit_again(tmp_path: Path) -> None:
    options = {
        "lattice_shape": (2, 8),
        "encoder_options": {"channels": (4, 8), "padding_mode": "circular"},
        "decoder_options": {"channels": (4, 8)},
        "prior": "spline",
        "prior_options": {"n_bins": np.int64(5)},
        "trainer_options": {"gradient_clip_val": 1.0},
        "beta": np.float32(0.5),
        "checkpoint_path": tmp_path / "run",
        "random_state": np.int64(3),
    }
    saved = fitted(**options)
    saved.save(str(tmp_path / "model.pt"))
    loaded = MeanFieldVAE.load(str(tmp_path / "model.pt"))
    assert loaded.get_params() == saved.get_params()
    assert isinstance(loaded.lattice_shape, tuple)
    assert isinstance(loaded.checkpoint_path, Path)
    x, c = DATA["bernoulli"], np.linspace(0.5, 1.5, 50)
    again = clone(loaded).set_params(checkpoint_path=None).fit(x, conditions=c)
    np.testing.assert_array_equal(again.transform(x, c), saved.transform(x, c))
    same_run = clone(loaded).fit(x, conditions=c)  # the finished run is recognised
    np.testing.assert_array_equal(same_run.transform(x, c), saved.transform(x, c))


def test_objects_among_the_trainer_options_do_not_prevent_saving(tmp_path: Path) -> None:
    from lightning.pytorch.callbacks import Callback

    saved = fitted(trainer_options={"callbacks": [Callback()], "gradient_clip_val": 1.0})
    saved.save(tmp_path / "model.pt")
    assert MeanFieldVAE.load(tmp_path / "model.pt").trainer_options == {"gradient_clip_val": 1.0}


def test_an_unfitted_model_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not fitted"):
        MeanFieldVAE().save(tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


class Planted:
    def __reduce__(self):
        return Path.touch, (Path("/nonexistent/touched"),)


def _seal(content: bytes) -> bytes:
    return content + b"sha256:" + hashlib.sha256(content).digest()


def damaged(content: bytes, folder: Path) -> dict[str, bytes]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "something else")
    whole = torch.load(io.BytesIO(content), weights_only=True)
    parameters, configuration = (whole["description"][k] for k in ("parameters", "configuration"))
    assert configuration["n_latents"] == 2
    another = {**whole["description"], "configuration": {**configuration, "n_latents": 3}}
    unknown = {**whole["description"], "parameters": {**parameters, "bета": 1.0}}
    unsealed = io.BytesIO()
    torch.save(whole, unsealed)

    def sealed(**entries) -> bytes:
        write_torch(folder / "sealed", entries)
        return (folder / "sealed").read_bytes()

    return {
        "truncated": content[: len(content) // 2],
        "almost complete": content[:-1],
        "empty": b"",
        "text": b"model",
        "pickle": pickle.dumps({"format": "mfvae model", "planted": Planted()}),
        "pickle with a checksum": _seal(pickle.dumps({"planted": Planted()})),
        "zip": archive.getvalue(),
        "version 99": sealed(**whole | {"version": 99}),
        "only weights": sealed(weights=whole["weights"]),
        "no description": sealed(format=whole["format"], version=whole["version"]),
        "another description": sealed(**whole | {"description": another}),
        "unknown parameter": sealed(**whole | {"description": unknown}),
        "no checksum": unsealed.getvalue(),
    }


def test_damaged_and_foreign_files_are_refused(vae: MeanFieldVAE, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    vae.save(path)
    for name, content in damaged(path.read_bytes(), tmp_path).items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=str(path)) as caught:
            MeanFieldVAE.load(path)
        if name == "version 99":
            assert "version 99" in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path, vae: MeanFieldVAE) -> None:
    for path in (tmp_path / "none.pt", tmp_path):
        with pytest.raises(FileNotFoundError):
            MeanFieldVAE.load(path)
    with pytest.raises(OSError, match="none"):
        vae.save(tmp_path / "none" / "model.pt")


def test_a_failed_write_leaves_the_old_file(vae: MeanFieldVAE, tmp_path, monkeypatch) -> None:
    path = tmp_path / "model.pt"
    vae.save(path)
    before = path.read_bytes()

    def fail(content, stream) -> None:
        stream.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        vae.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_files_are_as_readable_as_any_other(tmp_path: Path) -> None:
    replace_file(tmp_path / "a", lambda stream: stream.write(b"1"))
    (tmp_path / "b").write_bytes(b"1")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode

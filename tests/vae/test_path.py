"""A default fit stays in few files, its import light; NumPy's numbers are as good as Python's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV, ParameterGrid

import mfvae.vae
from mfvae import MeanFieldVAE
from mfvae.systems import CurieWeiss

ROOM = Path(mfvae.vae.__file__).parent


def test_a_default_fit_takes_part_in_at_most_seven_files() -> None:
    x, files = CurieWeiss(64).sample(1.0, 200, seed=0), set()

    def trace(frame, event, argument) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.parent == ROOM:
            files.add(path.name)

    sys.setprofile(trace)
    try:
        MeanFieldVAE(n_epochs=1, progress=False).fit(x)
    finally:
        sys.setprofile(None)
    assert {"estimator.py", "model.py", "training.py"} < files
    assert len(files) <= 7, sorted(files)


def test_importing_the_estimator_leaves_lightning_and_numba_alone() -> None:
    code = (
        "from mfvae import MeanFieldVAE; import sys; print({'lightning', 'numba'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_numpy_numbers_fit_save_and_load_and_stay_as_they_were(tmp_path: Path) -> None:
    given = {
        "n_latents": np.int64(2),
        "n_epochs": np.int64(3),
        "batch_size": np.int32(32),
        "learning_rate": np.float64(1e-3),
        "weight_decay": np.float32(0.0),
        "momentum": np.float64(0.8),
        "beta": np.float64(0.5),
        "patience": np.int64(2),
        "random_state": np.int64(4),
        "lattice_shape": (np.int64(4), np.int64(4)),
        "encoder_options": {"channels": (np.int64(4),)},
        "prior_options": {"n_bins": np.int64(5), "width": np.int64(8), "bound": np.float64(4.0)},
        "checkpoint_path": tmp_path / "run",
    }
    x = CurieWeiss(16).sample(1.0, 120, seed=0)
    vae = MeanFieldVAE(**given, progress=False).fit(x)
    for name, value in given.items():
        assert getattr(vae, name) is value, name
    again = MeanFieldVAE(**given, progress=False).fit(x)  # the finished run is recognised
    assert again.history_ == vae.history_
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in given.items()
    }
    same = MeanFieldVAE(**plain | {"checkpoint_path": None}, progress=False).fit(x)
    np.testing.assert_array_equal(same.transform(x), vae.transform(x))
    vae.save(tmp_path / "model.pt")
    loaded = MeanFieldVAE.load(tmp_path / "model.pt")
    assert loaded.get_params() == vae.get_params()
    assert type(loaded.learning_rate) is float
    np.testing.assert_array_equal(loaded.transform(x), vae.transform(x))


def leaves(value):
    if isinstance(value, dict):
        return [leaf for entry in value.values() for leaf in leaves(entry)]
    if isinstance(value, (list, tuple)):
        return [leaf for entry in value for leaf in leaves(entry)]
    return [value]


def numpy_numbers(value) -> list:
    return [leaf for leaf in leaves(value) if isinstance(leaf, (np.generic, np.ndarray))]


def test_a_grid_of_numpy_numbers_trains_and_goes_on_from_checkpoints(tmp_path: Path) -> None:
    x = CurieWeiss(16).sample(1.0, 120, seed=0)
    grid = {
        "learning_rate": np.logspace(-3, -2, 2),
        "n_epochs": np.arange(2, 3),
        "batch_size": np.array([32], dtype=np.int64),
        "patience": np.arange(1, 2),
        "n_latents": np.arange(1, 3),
        "encoder_options": [{"widths": tuple(np.array([8, 4]))}],
        "prior_options": [{"n_bins": np.int64(5), "bound": np.float64(4.0)}],
        "trainer_options": [{"gradient_clip_val": np.float64(5.0)}],
    }
    given = {"encoder": "mlp", "decoder": "linear", "progress": False}
    for place, candidate in enumerate(ParameterGrid(grid)):
        assert isinstance(candidate["n_epochs"], np.int64)
        assert len(numpy_numbers(candidate)) == 10  # negative control
        vae, again = (
            MeanFieldVAE(**given, **candidate, checkpoint_path=tmp_path / str(place)).fit(x)
            for _ in range(2)
        )
        assert vae.history_ == again.history_
        assert numpy_numbers(vae.configuration_) == numpy_numbers(vae.history_) == []
        assert (
            numpy_numbers({k: v for k, v in vars(vae.module_.prior).items() if k[0] != "_"}) == []
        )
        kept = torch.load(tmp_path / str(place) / "last.ckpt", weights_only=True)
        assert numpy_numbers(kept) == []
    found = GridSearchCV(MeanFieldVAE(**given), grid, cv=2).fit(x).best_estimator_
    assert found.learning_rate in grid["learning_rate"]
    assert numpy_numbers(found.configuration_) == []

"""Five ways in which work was once lost or falsified, and others that were merely obscure."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from _sweep import run_sweep
from sklearn.model_selection import GridSearchCV

from mfvae import MeanFieldVAE, _cache, fit_cached, sample_cached
from mfvae._validation import check_finite_array
from mfvae.data import EquilibriumSamples, retina
from mfvae.systems import CurieWeiss

# Python 3.12 and later warn of threads, which the children do not use.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
X = CurieWeiss(16).sample(0.9, 120, seed=0)


def vae(**options) -> MeanFieldVAE:
    given = {"decoder": "linear", "n_epochs": 3, "batch_size": 32, "progress": False}
    given["polish_steps"] = 0
    return MeanFieldVAE(1, **{**given, **options})


def weights(model: MeanFieldVAE) -> dict[str, torch.Tensor]:
    return model.module_.state_dict()


def same(one: MeanFieldVAE, other: MeanFieldVAE) -> bool:
    equal = map(torch.equal, weights(one).values(), weights(other).values())
    return all(equal) and one.history_["loss"] == other.history_["loss"]


def flip(path: Path, position: int, bit: int = 4) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1 << bit
    path.write_bytes(content)


# ------------------------------------------------------------------- NumPy's scalars


def test_a_grid_of_numpy_numbers_is_searched_and_saved(tmp_path: Path) -> None:
    grid = {"learning_rate": np.logspace(-4, -2, 2), "batch_size": np.array([16, 32])}
    found = GridSearchCV(vae(n_epochs=1), grid, cv=2).fit(X).best_estimator_
    found.save(tmp_path / "model.pt")
    assert same(MeanFieldVAE.load(tmp_path / "model.pt"), found)


@pytest.mark.parametrize(
    "options",
    [
        {"n_epochs": np.int64(2)},
        {"n_epochs": None, "n_steps": np.uint16(8)},
        {"patience": np.int8(1), "beta": np.array(0.5)},
        {"weight_decay": np.float32(1e-4), "momentum": np.float64(0.5)},
        {"trainer_options": {"gradient_clip_val": np.float32(1.0)}},
        {"prior": "mixture", "prior_options": {"n_components": np.int64(2)}},
        {"lattice_shape": tuple(np.array([4, 4])), "encoder": "mlp", "random_state": np.uint64(7)},
    ],
    ids=lambda options: "+".join(options),
)
def test_numpy_numbers_are_taken_for_numbers(tmp_path: Path, options: dict) -> None:
    own = {"checkpoint_path": tmp_path / "run"}
    first, again = (vae(**options, **own).fit(X) for _ in range(2))
    assert same(first, again)
    first.save(tmp_path / "model.pt")
    assert same(MeanFieldVAE.load(tmp_path / "model.pt"), first)


# ------------------------------------------------------------------ two of everything


def fit_and_tell(path: Path, barrier, answers) -> None:
    torch.set_num_threads(1)
    barrier.wait()
    try:
        answers.put(vae(checkpoint_path=path, n_epochs=20).fit(X).history_["loss"])
    except RuntimeError as error:
        answers.put(str(error))


def test_the_second_fit_on_one_folder_is_refused(tmp_path: Path) -> None:
    expected = vae(n_epochs=20).fit(X).history_["loss"]
    context = multiprocessing.get_context("fork")
    for round in range(3):
        barrier, answers = context.Barrier(2), context.Queue()
        work = (tmp_path / str(round), barrier, answers)
        both = [context.Process(target=fit_and_tell, args=work) for _ in range(2)]
        for process in both:
            process.start()
        told = [answers.get(timeout=60) for _ in both]
        for process in both:
            process.join()
        assert expected in told
        for answer in told:
            assert answer == expected or "another fit is at work" in answer


def test_a_fit_holds_its_folder_to_the_end(tmp_path: Path) -> None:
    told = []

    def redraw(epoch: int):
        if epoch == 1:  # in the middle of the first, a second
            with pytest.raises(RuntimeError, match="another fit is at work"):
                vae(checkpoint_path=tmp_path).fit(X, redraw=redraw)
            told.append(epoch)
        return X[:108], None

    first = vae(checkpoint_path=tmp_path).fit(X, redraw=redraw)
    assert told == [1]
    assert same(vae(checkpoint_path=tmp_path).fit(X, redraw=redraw), first)  # and then lets go


def sweep_and_tell(path: Path, barrier, own: str) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    order = [(name, n) for name in "ab" for n in range(12)]
    barrier.wait()
    run_sweep(
        path, {}, order, lambda *key: {"y": key[1]}, names=("s", "n"), wanted=lambda k: k[0] == own
    )


def test_two_sweeps_into_one_file_keep_all_rows(tmp_path: Path) -> None:
    context, path = multiprocessing.get_context("fork"), tmp_path / "rows.json"
    barrier = context.Barrier(2)
    both = [context.Process(target=sweep_and_tell, args=(path, barrier, s)) for s in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join()
    rows = json.loads(path.read_text())["rows"]
    assert [(r["s"], r["n"], r["y"]) for r in rows] == [(s, n, n) for s in "ab" for n in range(12)]


# --------------------------------------------------------------- temporaries elsewhere


def test_checkpoints_never_pass_through_the_folder_of_temporaries(tmp_path, monkeypatch) -> None:
    moved, move = [], shutil.move
    monkeypatch.setattr(shutil, "move", lambda *names: moved.append(names) or move(*names))
    vae(checkpoint_path=tmp_path / "run").fit(X)
    assert moved == []
    kept = {"last.ckpt", "lock", "run.json"}
    assert {file.name for file in (tmp_path / "run").iterdir()} == kept


# ----------------------------------------------------------------------- flipped bits


def refused(read, path: Path, n_flips: int, seed: int) -> None:
    """Every flip is an error that names the file, or leaves what is read as it was."""
    content = path.read_bytes()
    for position in np.random.default_rng(seed).integers(len(content), size=n_flips):
        flip(path, int(position))
        with pytest.raises(ValueError, match=str(path)):
            read()
        path.write_bytes(content)


def test_a_flipped_bit_in_a_saved_model_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    vae().fit(X).save(path)
    refused(lambda: MeanFieldVAE.load(path), path, 60, seed=1)


def test_a_flipped_bit_in_a_cached_model_trains_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MFVAE_CACHE", str(tmp_path))
    first = fit_cached(vae(), X)
    (path,) = tmp_path.glob("vae-*.pt")
    whole = path.read_bytes()
    for part in (0.3, 0.6):
        flip(path, int(part * len(whole)))
        assert same(fit_cached(vae(), X), first)
        MeanFieldVAE.load(path)  # kept anew


def test_a_flipped_bit_in_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    vae(checkpoint_path=tmp_path).fit(X)
    read = vae(checkpoint_path=tmp_path)
    refused(lambda: read.fit(X), tmp_path / "last.ckpt", 30, seed=2)


@pytest.fixture
def store(tmp_path: Path) -> EquilibriumSamples:
    return EquilibriumSamples.create(
        tmp_path / "store", CurieWeiss(16), [0.8, 1.2], 160, seed=3, n_chains=8, progress=False
    )


def contents(store: EquilibriumSamples) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in store.path.rglob("*") if file.is_file()}


def test_no_door_of_a_store_takes_a_flipped_bit_and_repair_mends_it(store) -> None:
    rng, whole = np.random.default_rng(4), contents(store)
    files = [file for file in whole if file != store.path / "zarr.json"]
    x = store.arrays()[0]
    for file in sorted(files):
        flip(file, int(rng.integers(len(whole[file]))))
        samples = EquilibriumSamples(store.path)
        for door in (samples.resume, samples.verify):
            with pytest.raises(ValueError, match=r"damaged.*repair\(\)"):
                door()
        parts = file.relative_to(store.path).parts
        if parts[0] == "x" or file.name == "zarr.json":
            with pytest.raises(ValueError, match="damaged"):
                samples.arrays()
        assert np.array_equal(samples.repair(progress=False).arrays()[0], x)
        assert contents(store) == whole


def test_a_store_with_damaged_chunks_is_not_resumed_on_top_of_them(store) -> None:
    energy = store.path / "energy" / "c" / "0" / "1" / "0"
    shutil.rmtree(store.path / "diagnostics" / "c")
    flip(energy, 40)
    with pytest.raises(ValueError, match="chunk 1: energy/c/0/1/0 does not match"):
        EquilibriumSamples(store.path).resume(progress=False)


# -------------------------------------------------------------------------- patience


def test_killed_before_the_end_of_patience_is_noted_no_epoch_is_added(tmp_path: Path) -> None:
    options = {"n_epochs": 30, "patience": 2, "learning_rate": 1e-9, "schedule": "constant"}
    n_epochs = len(vae(checkpoint_path=tmp_path, **options).fit(X).history_["loss"])
    record = tmp_path / "run.json"
    for _ in range(3):
        content = json.loads(record.read_text())
        record.write_text(json.dumps({**content, "finished": False}))
        again = vae(checkpoint_path=tmp_path, **options).fit(X)
        assert len(again.history_["loss"]) == n_epochs < 30


# ---------------------------------------------------------------------------- caches


@pytest.mark.parametrize("folder", ["not a folder", "cannot be made"])
def test_a_cache_that_cannot_be_written_costs_no_result(tmp_path, monkeypatch, folder) -> None:
    (tmp_path / "file").write_text("in the way")
    where = tmp_path / "file" if folder == "not a folder" else tmp_path / "file" / "cache"
    monkeypatch.setenv("MFVAE_CACHE", str(where))
    with pytest.warns(UserWarning, match="cannot be kept"):
        x = sample_cached(CurieWeiss(8), 1.0, 5, seed=0)
    assert np.array_equal(x, CurieWeiss(8).sample(1.0, 5, seed=0))
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert same(fit_cached(vae(n_epochs=1), X), vae(n_epochs=1).fit(X))


def test_a_disk_that_fills_up_costs_no_result(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MFVAE_CACHE", str(tmp_path))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="No space left"):
        assert len(sample_cached(CurieWeiss(8), 1.0, 5, seed=0)) == 5
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="No space left"):
        vae(n_epochs=1).fit(X[:20]).save(tmp_path / "model.pt")


def test_a_redefined_sampler_is_not_given_the_old_draws(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MFVAE_CACHE", str(tmp_path))

    def system(shift: int) -> CurieWeiss:
        class Own(CurieWeiss):
            if shift == 1:

                def sample(self, *args, **kwargs):
                    return np.ones((3, 8), dtype=np.int8)
            else:

                def sample(self, *args, **kwargs):
                    return -np.ones((3, 8), dtype=np.int8)

        return Own(8)

    for shift in (1, -1, 1):
        assert (sample_cached(system(shift), 1.0, 3, seed=0) == shift).all()
    assert len(list(tmp_path.iterdir())) == 2  # and what is the same is not drawn again


def test_another_version_of_a_library_is_another_key(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MFVAE_CACHE", str(tmp_path))
    sample_cached(CurieWeiss(8), 1.0, 3, seed=0)
    _cache._code_hash.cache_clear()
    monkeypatch.setattr(_cache, "version", lambda name: "0.0")
    sample_cached(CurieWeiss(8), 1.0, 3, seed=0)
    _cache._code_hash.cache_clear()
    assert len(list(tmp_path.iterdir())) == 2


# --------------------------------------------------------------------- masks, left-overs


def test_a_mask_is_not_lost() -> None:
    masked = np.ma.masked_array([1.0, 2.0, 300.0], mask=[False, False, True])
    for given in (masked, [masked, masked]):
        with pytest.raises(ValueError, match=r"series.*masked"):
            check_finite_array(given, "series")
    assert check_finite_array(np.ma.masked_array([1.0, 2.0]), "series").sum() == 3.0
    spins = np.ma.masked_array(X, mask=X > 0)
    for fit in (vae().fit, lambda x: vae(likelihood="gaussian").fit(x.astype(float))):
        with pytest.raises(ValueError, match=r"X.*masked"):
            fit(spins)


def test_what_a_kill_left_beside_a_file_goes_with_a_later_write(tmp_path: Path) -> None:
    left, fresh, other = (tmp_path / f".{32 * c}.part" for c in "abc")
    for file in (left, fresh):
        file.write_bytes(b"half")
    other = tmp_path / ".notes.part"
    other.write_text("a user's own")
    for file in (left, other):
        os.utime(file, (0, 0))
    vae(n_epochs=1).fit(X[:20]).save(tmp_path / "model.pt")
    assert {file.name for file in tmp_path.iterdir()} == {"model.pt", fresh.name, other.name}


# ------------------------------------------------------------------------- silent NaN


@pytest.mark.parametrize("options", [{"weight_decay": 1e300}, {"learning_rate": 1e300}])
def test_weights_that_are_not_numbers_are_an_error(tmp_path: Path, options: dict) -> None:
    model = vae(n_epochs=1, checkpoint_path=tmp_path, schedule="constant", **options)
    for _ in range(2):
        with pytest.raises(ValueError, match="training diverged"):
            model.fit(X)


# --------------------------------------------------------------------- the book's build

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize("given", [None, "/somewhere"])
def test_the_build_looks_for_the_recording_where_the_loader_does(monkeypatch, given) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import build_book

    monkeypatch.delenv("MFVAE_DATA", raising=False)
    if given:
        monkeypatch.setenv("MFVAE_DATA", given)
    assert build_book.data_places() == retina.retina_places()
    assert len(build_book.data_places()) == (2 if given else 1)


def test_a_killed_build_takes_its_child_along(tmp_path: Path) -> None:
    package = tmp_path / "jupyter_book" / "cli"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    told = tmp_path / "pid"
    sleeper = f"import os, time\ndef main():\n    open({str(told)!r}, 'w').write(str(os.getpid()))"
    (package / "main.py").write_text(f"{sleeper}\n    time.sleep(60)\n")
    work = (
        f"import build_book, pathlib; build_book.run_jupyter_book(pathlib.Path({str(tmp_path)!r}))"
    )
    paths = os.pathsep.join([str(tmp_path), str(SCRIPTS)])
    parent = subprocess.Popen([sys.executable, "-c", work], env=os.environ | {"PYTHONPATH": paths})

    def wait_for(condition) -> bool:
        deadline = time.monotonic() + 30
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        return condition()

    try:
        assert wait_for(lambda: told.exists() and told.read_text())
    finally:
        parent.kill()
        parent.wait()
    child = Path("/proc", told.read_text(), "cmdline")
    assert wait_for(lambda: not child.exists() or not child.read_bytes())

"""Training: repeatable to the bit, resumable from a kill, and clear when it fails."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from mfvae import MeanFieldVAE
from mfvae.systems import CurieWeiss

N_SITES = 16


def data(n_samples: int = 200, seed: int = 0) -> np.ndarray:
    return CurieWeiss(N_SITES).sample(0.9, n_samples, seed=seed)


def vae(**options) -> MeanFieldVAE:
    given = {"encoder": "mlp", "decoder": "linear", "n_epochs": 4, "batch_size": 32}
    return MeanFieldVAE(1, progress=False, **{**given, **options})


def weights(model: MeanFieldVAE) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.module_.state_dict().items()}


def same(one: MeanFieldVAE, other: MeanFieldVAE) -> bool:
    return all(map(torch.equal, weights(one).values(), weights(other).values()))


def losses(model: MeanFieldVAE) -> list[float]:
    return model.history_["loss"]


class KilledError(Exception):
    pass


class Kill(Callback):
    """Raise in the middle of an epoch."""

    def __init__(self, epoch: int, batch: int = 3) -> None:
        self.epoch, self.batch = epoch, batch

    def on_train_batch_end(self, trainer, module, outputs, batch, index) -> None:
        if (trainer.current_epoch, index) == (self.epoch, self.batch):
            raise KilledError


@contextlib.contextmanager
def planted(*callbacks: Callback) -> Iterator[None]:
    """Add callbacks behind the back of the options, by which a run is known."""
    trainer = lightning.Trainer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            lightning,
            "Trainer",
            lambda **own: trainer(**{**own, "callbacks": [*own["callbacks"], *callbacks]}),
        )
        yield


# --------------------------------------------------------------------------- repeatable


@pytest.mark.parametrize("prior", ["spline", "mixture"])
def test_the_same_seed_gives_the_same_bits(prior: str) -> None:
    x = data()
    first, again = (vae(prior=prior).fit(x) for _ in range(2))
    assert same(first, again)
    assert losses(first) == losses(again)
    assert not same(first, vae(prior=prior, random_state=1).fit(x))


def test_training_lowers_the_loss_and_keeps_the_best_epoch() -> None:
    x, held_out = data(1000), data(500, seed=1)
    model = vae(n_epochs=10, learning_rate=1e-2).fit(x, validation=(held_out, None))
    history = model.history_
    assert history["epoch"] == list(range(10))
    assert history["validation_loss"][-1] < history["validation_loss"][0] - 0.1
    best = min(history["validation_loss"])
    kept = -model.score_samples(held_out, method="elbo", n_importance=64).mean()
    assert kept == pytest.approx(best, abs=0.05)


def test_the_best_epoch_is_kept_when_training_goes_on_to_spoil_it() -> None:
    class Spoil(Callback):
        def on_train_epoch_start(self, trainer, module) -> None:
            if trainer.current_epoch == 3:
                with torch.no_grad():
                    for weight in module.model.parameters():
                        weight.add_(3 * torch.ones_like(weight))

    x = data()
    spoilt = vae(trainer_options={"callbacks": [Spoil()]}, schedule="constant").fit(x)
    short = vae(n_epochs=3, schedule="constant").fit(x)
    assert spoilt.history_["validation_loss"][3] > min(spoilt.history_["validation_loss"]) + 0.5
    assert same(spoilt, short)


@pytest.mark.parametrize("schedule", ["one-cycle", "exponential", "constant"])
def test_schedules(schedule: str) -> None:
    rates = vae(schedule=schedule, n_epochs=5, learning_rate=1e-3).fit(data()).history_
    rates = rates["learning_rate"]
    assert max(rates) <= 1e-3 * (1 + 1e-9)
    if schedule == "constant":
        assert set(rates) == {1e-3}
    else:
        assert rates[-1] < 0.1 * max(rates)


@pytest.mark.parametrize("schedule", ["one-cycle", "exponential", "constant"])
def test_one_epoch_of_one_batch(schedule: str) -> None:
    model = vae(schedule=schedule, n_epochs=1, batch_size=256).fit(data(100))
    assert len(losses(model)) == 1


@pytest.mark.parametrize("n_batches", range(1, 9))
def test_the_one_cycle_schedule_of_a_few_steps(n_batches: int) -> None:
    model = vae(n_epochs=1, batch_size=32).fit(data(32 * n_batches), validation=(data(40), None))
    assert np.isfinite(losses(model)).all()
    assert model.history_["learning_rate"][0] < 1e-2


def test_global_state_is_left_alone() -> None:
    torch.manual_seed(3)
    before, dtype, threads = (
        torch.get_rng_state(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
    )
    filters, grad = list(warnings.filters), torch.is_grad_enabled()
    on_interrupt = signal.getsignal(signal.SIGINT)
    model = vae(n_epochs=1).fit(data())
    model.sample(3, seed=0), model.score_samples(data(5))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_default_dtype() is dtype
    assert torch.get_num_threads() == threads
    assert list(warnings.filters) == filters
    assert torch.is_grad_enabled() is grad
    assert signal.getsignal(signal.SIGINT) is on_interrupt
    assert not model.module_.training


def test_an_interrupt_is_an_interrupt() -> None:
    class Interrupt(Callback):
        def on_train_batch_end(self, *args) -> None:
            raise KeyboardInterrupt

    on_interrupt = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        vae(trainer_options={"callbacks": Interrupt()}).fit(data())
    assert signal.getsignal(signal.SIGINT) is on_interrupt


def test_patience_stops_early() -> None:
    model = vae(n_epochs=30, patience=2, learning_rate=1e-9, schedule="constant")
    model.fit(data(), validation=(data(50, seed=3), None))
    stopped = len(losses(model))
    best = int(np.argmin(model.history_["validation_loss"]))
    assert stopped == best + 3 < 30


def test_validation_by_fraction_and_without() -> None:
    assert "validation_loss" in vae(n_epochs=1).fit(data(100)).history_
    assert "validation_loss" not in vae(n_epochs=1).fit(data(99)).history_
    assert "validation_loss" in vae(n_epochs=1).fit(data(20), validation=0.5).history_


# ------------------------------------------------------------------------------- redraw


def test_redraw_replaces_the_data_every_epoch() -> None:
    epochs = []

    def redraw(epoch: int):
        epochs.append(epoch)
        return data(180, seed=100 + epoch), None

    x = data()
    fresh = vae(n_epochs=3).fit(x, redraw=redraw)
    assert epochs == [0, 1, 2]
    assert not same(fresh, vae(n_epochs=3).fit(x))


def test_redraw_must_keep_the_number_of_rows_and_the_letters() -> None:
    with pytest.raises(ValueError, match="redraw must return 180 rows"):
        vae().fit(data(), redraw=lambda epoch: (data(10), None))
    with pytest.raises(ValueError, match="letters"):
        vae().fit(data(), redraw=lambda epoch: (np.zeros((180, N_SITES)), None))


@pytest.mark.filterwarnings("ignore:too few rows")
def test_an_epoch_is_a_permutation_of_the_rows_fixed_by_seed_and_epoch() -> None:
    class Look(Callback):
        def on_train_batch_start(self, trainer, module, batch, index) -> None:
            seen.append((trainer.current_epoch, [tuple(row) for row in batch[0].tolist()]))

    x, runs = 2 * np.eye(10, 16, dtype=np.int8) - 1, []
    for seed in (0, 0, 1):
        seen = []
        options = {"n_epochs": 2, "batch_size": 4, "trainer_options": {"callbacks": [Look()]}}
        vae(**options, random_state=seed).fit(x)
        runs.append(seen)
    assert [len(rows) for _, rows in runs[0]] == [4, 4, 2, 4, 4, 2]
    first, second = (
        [row for epoch, rows in runs[0] for row in rows if epoch == number] for number in (0, 1)
    )
    assert sorted(first) == sorted(second) == sorted(tuple(row) for row in (x > 0).astype(int))
    assert first != second
    assert runs[0] == runs[1] != runs[2]


# ------------------------------------------------------------------------------- resume


@pytest.mark.parametrize("schedule", ["one-cycle", "exponential"])
@pytest.mark.parametrize("epoch", [0, 2])
def test_killed_in_mid_epoch_and_resumed_ends_at_the_same_weights(
    tmp_path, schedule, epoch
) -> None:
    x = data()
    whole = vae(schedule=schedule, prior="mixture").fit(x)
    options = {"schedule": schedule, "prior": "mixture", "checkpoint_path": tmp_path / "run"}
    with planted(Kill(epoch)), pytest.raises(KilledError):
        vae(**options).fit(x)
    model = vae(**options).fit(x)
    assert same(model, whole)
    assert losses(model) == losses(whole)


SCRIPT = """
import sys, numpy as np
from mfvae import MeanFieldVAE
from mfvae.systems import CurieWeiss
x = CurieWeiss(16).sample(0.9, 400, seed=0)
vae = MeanFieldVAE(1, encoder="mlp", decoder="linear", n_epochs=400, batch_size=8,
                   progress=False, checkpoint_path=sys.argv[1])
print("ready", flush=True)
vae.fit(x)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:no better than independent")  # it is stopped early on purpose
def test_killed_by_the_system_and_resumed(tmp_path: Path) -> None:
    """SIGKILL at an arbitrary moment: what is on disk must be the end of some epoch."""
    folder = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not (folder / "last.ckpt").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.3)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    last = torch.load(folder / "last.ckpt", weights_only=True)
    assert not last["mfvae_finished"]
    done = last["mfvae_records"]
    assert 0 < len(done) < 400

    class StopSoon(Callback):
        def on_train_epoch_end(self, trainer, module) -> None:
            trainer.should_stop = trainer.current_epoch >= len(done) + 1

    x = CurieWeiss(16).sample(0.9, 400, seed=0)
    options = {"encoder": "mlp", "decoder": "linear", "n_epochs": 400, "batch_size": 8}
    resumed, whole = (
        MeanFieldVAE(1, progress=False, checkpoint_path=path, **options)
        for path in (folder, tmp_path / "other")
    )
    for model in (resumed, whole):
        with planted(StopSoon()):
            model.fit(x)
    assert losses(resumed) == losses(whole)
    assert losses(resumed)[: len(done)] == [record["loss"] for record in done]
    assert same(resumed, whole)


def test_a_finished_run_is_returned_not_trained_again(tmp_path: Path) -> None:
    x = data()
    first = vae(checkpoint_path=tmp_path).fit(x)
    again = vae(checkpoint_path=str(tmp_path), device="cpu").fit(x)
    assert same(first, again)
    assert first.history_ == again.history_  # the seconds, too, are those of the first


def test_a_run_stopped_early_is_finished(tmp_path: Path) -> None:
    options = {"n_epochs": 30, "patience": 1, "learning_rate": 1e-9, "schedule": "constant"}
    first, again = (vae(checkpoint_path=tmp_path, **options).fit(data()) for _ in range(2))
    assert len(losses(first)) < 30
    assert first.history_ == again.history_
    assert same(first, again)


@pytest.mark.parametrize(
    ("options", "x", "named"),
    [
        ({"n_epochs": 5}, data(), "n_epochs"),
        ({"learning_rate": 2e-2}, data(), "learning_rate"),
        ({"random_state": 1}, data(), "seed, the model"),
        ({"prior": "normal"}, data(), "the model"),
        ({}, data(seed=1), "the training data, the validation data"),
        ({}, data(201), "the training data"),
    ],
)
def test_a_folder_of_another_run_is_refused(tmp_path, options: dict, x, named: str) -> None:
    vae(checkpoint_path=tmp_path, n_epochs=1 if "n_epochs" in options else 4).fit(data())
    with pytest.raises(ValueError, match=f"differs in .*{named}"):
        vae(checkpoint_path=tmp_path, **options).fit(x)


def test_another_condition_or_a_redraw_is_another_run(tmp_path: Path) -> None:
    x = data()
    vae(checkpoint_path=tmp_path, n_epochs=1).fit(x)
    with pytest.raises(ValueError, match="differs in"):
        vae(checkpoint_path=tmp_path, n_epochs=1).fit(x, conditions=np.full(len(x), 0.9))
    with pytest.raises(ValueError, match="differs in redraw"):
        vae(checkpoint_path=tmp_path, n_epochs=1).fit(x, redraw=lambda epoch: (x[:180], None))


@pytest.mark.parametrize("damage", ["truncated", "pickle", "no run.json", "bad run.json"])
def test_damaged_folders_are_refused(tmp_path: Path, damage: str) -> None:
    x = data()
    with planted(Kill(2)), pytest.raises(KilledError):
        vae(checkpoint_path=tmp_path).fit(x)
    last, record = tmp_path / "last.ckpt", tmp_path / "run.json"
    if damage == "truncated":
        last.write_bytes(last.read_bytes()[:500])
    elif damage == "pickle":
        last.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    elif damage == "no run.json":
        record.unlink()
    else:
        record.write_text("[]")
    with pytest.raises(ValueError, match=r"cannot be read|no run\.json"):
        vae(checkpoint_path=tmp_path).fit(x)


def test_a_folder_may_be_moved(tmp_path: Path) -> None:
    x, whole = data(), vae().fit(data())
    with planted(Kill(2)), pytest.raises(KilledError):
        vae(checkpoint_path=tmp_path / "here").fit(x)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = vae(checkpoint_path=tmp_path / "there").fit(x)
    assert same(moved, whole)
    assert not (tmp_path / "here").exists()


# ------------------------------------------------------------------------------ failures


@pytest.mark.parametrize("prior", ["spline", "normal", "mixture"])
def test_divergence_is_reported(prior: str) -> None:
    x = np.random.default_rng(0).normal(size=(200, N_SITES))
    model = vae(likelihood="gaussian", prior=prior, learning_rate=1e30, schedule="constant")
    with pytest.raises(ValueError, match="training diverged"):
        model.fit(x)


def test_divergence_of_directors_is_reported() -> None:
    x = np.zeros((100, 4, 3))
    x[..., 2] = 1.0
    model = MeanFieldVAE(2, likelihood="bingham", learning_rate=1e30, progress=False)
    with pytest.raises(ValueError, match="training diverged"):
        model.fit(x)


def test_trainer_options_reach_lightning() -> None:
    seen = []

    class Look(Callback):
        def on_train_start(self, trainer, module) -> None:
            seen.append((trainer.gradient_clip_val, trainer.max_epochs))

    vae(trainer_options={"gradient_clip_val": 0.5, "callbacks": [Look()]}).fit(data())
    assert seen == [(0.5, 4)]


def test_training_that_never_completes_an_epoch_is_an_error() -> None:
    with pytest.raises(ValueError, match="before one epoch was complete"):
        vae(trainer_options={"max_time": {"seconds": 0}}).fit(data())

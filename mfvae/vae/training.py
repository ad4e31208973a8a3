"""Training by Lightning: batches, loss, schedule, checkpoints, and resuming after a kill.

`MeanFieldVAE.fit` imports this module when it is called: Lightning takes seconds to import.
"""

import contextlib
import logging
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from mfvae._progress import progress_bar
from mfvae.vae.model import LatentVariableModel
from mfvae.vae.storage import content_hash, read_torch, run_folder, write_torch

__all__ = ["train"]

WRITING = 0.05  #: Share of the time that may go into checkpoints.

Batch = tuple[Tensor, Tensor]  # data, standardised conditions
_SEVERAL = ("strategy", "devices", "num_nodes")  # of Lightning's, by which processes train together


class _Batches:
    """Batches of tensors in memory; with ``redraw`` and order of ``module``'s epoch, if given."""

    def __init__(self, data: Batch, batch_size: int, module=None, redraw=None) -> None:
        self.data, self.batch_size, self.module, self.redraw = data, batch_size, module, redraw

    def __len__(self) -> int:
        return -(-len(self.data[0]) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        n_rows = len(self.data[0])
        if self.redraw is not None:
            self.data = self.redraw(self.module.current_epoch)
            if len(self.data[0]) != n_rows:
                raise ValueError(f"redraw must return {n_rows} rows, got {len(self.data[0])}")
        x, conditions = self.data
        if self.module is None:
            yield from zip(x.split(self.batch_size), conditions.split(self.batch_size), strict=True)
            return
        generator = torch.Generator().manual_seed(self.module.epoch_seed(1))
        for rows in torch.randperm(n_rows, generator=generator).split(self.batch_size):
            yield x[rows], conditions[rows]


class VAETraining(lightning.LightningModule):
    """The loss ``E_q[-ln p(x|z)] + beta E_q[ln q(z|x) - ln p(z|c)]`` and its optimiser.

    The noise of the reparameterisation comes from a generator seeded by (seed, epoch), so
    that a run resumed at an epoch's end goes on with the same numbers. Processes that train
    together draw the same noise and take every n-th row of each batch: the arithmetic is that of
    one process, but for rounding. Each of them computes the whole validation loss.
    """

    def __init__(
        self, model: LatentVariableModel, options: dict[str, Any], n_batches: int, bar: Any
    ) -> None:
        super().__init__()
        self.model, self.options, self.n_batches, self.bar = model, options, n_batches, bar
        self.records: list[dict[str, float]] = []
        self.best: tuple[float, dict[str, Tensor]] | None = None  # the watched loss, weights
        # By stage, "" or "validation_": the noise, and rows with the sums of loss and rate.
        self._noise: dict[str, torch.Generator] = {}
        self._totals: dict[str, tuple[int, Tensor]] = {}

    def epoch_seed(self, stream: int) -> int:
        """Return the seed of one stream of random numbers in the current epoch."""
        return (self.options["random_state"] * 1_000_003 + self.current_epoch) * 8 + stream

    def _start(self, stage: str, seed: int) -> None:
        self._noise[stage] = torch.Generator(self.device).manual_seed(seed)
        self._totals.pop(stage, None)

    def _step(self, batch: Batch, stage: str, n_shares: int = 1) -> Tensor:
        n_rows = len(batch[0])
        shape = (n_rows, self.model.prior.n_latents)
        noise = torch.randn(shape, generator=self._noise[stage], device=batch[0].device)
        share = slice(self.global_rank % n_shares, None, n_shares)
        x, conditions, noise = (part[share] for part in (*batch, noise))
        distortion, rate = (part.mean() for part in self.model.loss_terms(x, conditions, noise))
        loss = distortion + self.options["beta"] * rate
        n, total = self._totals.get(stage, (0, 0.0))
        self._totals[stage] = n + len(x), total + torch.stack([loss, rate]).detach() * len(x)
        return loss * (len(x) * n_shares / n_rows)  # gradients are averaged over processes

    def on_train_start(self) -> None:
        self.bar.update(self.current_epoch)

    def on_train_epoch_start(self) -> None:
        self._started, self._totals = time.perf_counter(), {}
        self._start("", self.epoch_seed(0))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        n_processes = self.trainer.world_size
        return self._step(batch, "", n_processes if n_processes <= len(batch[0]) else 1)

    def on_validation_epoch_start(self) -> None:
        self._start("validation_", self.options["random_state"])

    def validation_step(self, batch: Batch, index: int) -> None:
        self._step(batch, "validation_")

    def on_train_epoch_end(self) -> None:
        record = {"epoch": self.current_epoch, "seconds": time.perf_counter() - self._started}
        add = self.trainer.strategy.reduce  # over the processes that train together
        for stage, (n, total) in self._totals.items():
            n = add(total.new_tensor(n, dtype=torch.int64), reduce_op="sum")
            total = add(total, reduce_op="sum")
            record[f"{stage}loss"], record[f"{stage}rate"] = (total / n).tolist()
        record["learning_rate"] = self.optimizers().param_groups[0]["lr"]
        watched = record.get("validation_loss", record["loss"])
        self.log_dict({"loss": record["loss"], "validation_loss": watched})
        self.records.append(record)
        self.bar.set_postfix_str(f"loss {watched:.3f}")
        self.bar.update(1)
        if not np.isfinite(list(record.values())).all():
            raise ValueError(
                f"training diverged: the loss is not finite in epoch {self.current_epoch}; "
                "lower learning_rate, or check the data for outliers"
            )
        if self.best is None or watched < self.best[0]:
            self.best = watched, {key: w.clone() for key, w in self.model.state_dict().items()}

    def is_finished(self) -> bool:
        """Whether the run is at its end: all epochs are done, or the loss has stopped falling."""
        stopped = self.trainer.early_stopping_callback.stopped_epoch > 0
        return stopped or len(self.records) >= self.options["n_epochs"]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["mfvae_records"], checkpoint["mfvae_best"] = self.records, self.best
        checkpoint["mfvae_finished"] = self.is_finished()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.records, self.best = checkpoint["mfvae_records"], checkpoint["mfvae_best"]

    def configure_optimizers(self) -> Any:
        rate, n_epochs = self.options["learning_rate"], self.options["n_epochs"]
        betas, decay = (self.options["momentum"], 0.999), self.options["weight_decay"]
        weights = self.model.parameters()
        optimizer = torch.optim.AdamW(weights, lr=rate, betas=betas, weight_decay=decay)
        if self.options["schedule"] == "constant":
            return optimizer
        if self.options["schedule"] == "exponential":
            factor = 0.01 ** (1 / max(1, n_epochs - 1))
            return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, factor)]
        n_steps = max(2, n_epochs * self.n_batches)
        warmup = max(0.2, 1.5 / n_steps)  # torch divides by pct_start * total_steps - 1
        scheduler = OneCycleLR(optimizer, rate, total_steps=n_steps, pct_start=warmup)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]


class _LastEpoch(Checkpoint):
    """Keeps the end of an epoch at ``path``, if any: the last one's, and before as time allows."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.due = path, 0.0

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: VAETraining) -> None:
        started = time.monotonic()
        due = started >= self.due or trainer.should_stop or module.is_finished()
        if self.path and trainer.strategy.broadcast(due):
            trainer.save_checkpoint(self.path)
            self.due = started + (time.monotonic() - started) / WRITING


class _SealedCheckpoints(TorchCheckpointIO):
    """Writes beside the target, with a checksum; Lightning's own passes through ``$TMPDIR``."""

    def save_checkpoint(self, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        write_torch(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        return read_torch(Path(path))


def _is_finite(model: LatentVariableModel) -> bool:
    return all(bool(torch.isfinite(weight).all()) for weight in model.parameters())


@contextlib.contextmanager
def _lightning_tamed(model: LatentVariableModel) -> Iterator[None]:
    """Keep Lightning's announcements out of a chapter, and say its failures in our words."""
    logger = logging.getLogger("lightning.pytorch")
    level, on_interrupt = logger.level, signal.getsignal(signal.SIGINT)
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Lightning 2.6.6 on torch 2.13.0 uses a deprecated class of torch's own.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            for message in (
                "Skipping val loop",  # without held-out data the training loss picks the epoch
                "available but not used",  # device="cpu" on a machine with a GPU is a choice
            ):
                warnings.filterwarnings("ignore", message=f".*{message}.*")
            yield
    except SystemExit:  # Lightning's answer to Ctrl-C: it leaves the interpreter, deaf to the next
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None
    except (RuntimeError, ArithmeticError, AssertionError, IndexError) as error:
        if _is_finite(model):
            raise
        raise ValueError(
            "training diverged: the weights are not finite; lower learning_rate, or check the "
            "data for outliers"
        ) from error
    finally:
        logger.setLevel(level)


def train(
    model: LatentVariableModel,
    training: Batch,
    validation: Batch | None,
    options: dict[str, Any],
    redraw: Callable[[int], Batch] | None,
    configuration: dict[str, Any],
) -> list[dict[str, float]]:
    """Train ``model`` in place, leave it with its best epoch's weights, return a record an epoch.

    ``options`` are the estimator's parameters, checked. With a ``checkpoint_path`` ends of epochs
    are kept, as many as a twentieth of the time allows, and a run of the same model (known by its
    ``configuration``), options and data goes on from the last. Without validation data the training
    loss picks the best epoch. ValueError if the loss is not finite, or the folder holds another run
    or cannot be read; RuntimeError if another process trains there.
    """
    n_epochs, batch_size = options["n_epochs"], options["batch_size"]
    own, precision = options["trainer_options"], options["precision"]
    if precision == "auto":
        gpu = options["device"] in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        precision = "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"
    with contextlib.ExitStack() as stack:
        last, resume, done = None, None, {}
        if options["checkpoint_path"] is not None:
            # Where it is trained, and how it is shown, may change.
            followed = ("beta", "n_epochs", "batch_size", "learning_rate", "weight_decay")
            followed += ("momentum", "schedule", "patience", "precision", "trainer_options")
            description = {name: options[name] for name in followed} | {
                "format": 2,
                "seed": options["random_state"],
                "the model": configuration,
                "redraw": redraw is not None,
                "the training data": content_hash(*training),
                "the validation data": None if validation is None else content_hash(*validation),
            }
            folder, alone = Path(options["checkpoint_path"]), own.keys().isdisjoint(_SEVERAL)
            leads, last = alone or rank_zero_only.rank == 0, folder / "last.ckpt"
            if resume := stack.enter_context(run_folder(folder, description, leads=leads)):
                done = read_torch(resume)
        stack.enter_context(_lightning_tamed(model))
        if not done.get("mfvae_finished"):
            bar = stack.enter_context(progress_bar(n_epochs, "training", show=options["progress"]))
            module = VAETraining(model, options, -(-len(training[0]) // batch_size), bar)
            stopping = EarlyStopping("validation_loss", patience=options["patience"] or math.inf)
            added, plugins = (own.get(name) or [] for name in ("callbacks", "plugins"))
            callbacks = [_LastEpoch(last), stopping]
            callbacks += added if isinstance(added, list) else [added]
            plugins = plugins if isinstance(plugins, list) else [plugins]
            sealed = [_SealedCheckpoints()] if last else []  # checksums for what stays
            trainer = lightning.Trainer(
                **{
                    "accelerator": options["device"],
                    "devices": 1,
                    "precision": precision,
                    "max_epochs": n_epochs,
                    "logger": False,
                    "enable_progress_bar": False,
                    "enable_model_summary": False,
                    "num_sanity_val_steps": 0,
                    **own,
                    "callbacks": callbacks,
                    "plugins": [*sealed, *plugins],
                }
            )
            batches = _Batches(training, batch_size, module, redraw)
            held_out = None if validation is None else _Batches(validation, 4 * batch_size)
            trainer.fit(module, batches, held_out, ckpt_path=resume, weights_only=True)
            if module.best is None:
                reason = "training ended before one epoch was complete: see trainer_options"
                raise ValueError(reason)
            done = {"mfvae_records": module.records, "mfvae_best": module.best}
        model.load_state_dict(done["mfvae_best"][1])
        if not _is_finite(model):  # the last step of an epoch comes after its last loss
            raise ArithmeticError("no epoch ended with finite weights")
        return done["mfvae_records"]

"""Training by Lightning: batches, schedule, best checkpoint, resuming after a kill."""

from __future__ import annotations

import contextlib
import logging
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping

from mfvae._progress import progress_bar
from mfvae.vae.checkpoints import EpochCheckpoint, RunFolder, tensor_hash
from mfvae.vae.model import LatentVariableModel

__all__ = ["TensorBatches", "TrainingOptions", "train"]

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass
class TrainingOptions:
    """How to train: one field per argument of ``MeanFieldVAE`` of that name."""

    beta: float = 1.0
    n_epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    schedule: str = "one-cycle"
    patience: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    checkpoint_path: str | Path | None = None
    progress: bool = True
    trainer_options: dict[str, Any] = field(default_factory=dict)


class TensorBatches:
    """Batches of tensors held in memory, in an order fixed by seed and epoch.

    Parameters
    ----------
    x, conditions : torch.Tensor
        Data and standardised conditions, one row a configuration.
    batch_size : int
        Rows a batch; the last one may be smaller.
    order_seed : callable or None
        Returns the seed of this epoch's shuffle; None keeps the rows' order.
    redraw : callable or None
        Returns a fresh ``(x, conditions)`` for this epoch, of any number of rows.
    """

    def __init__(
        self,
        x: torch.Tensor,
        conditions: torch.Tensor,
        batch_size: int,
        order_seed: Callable[[], int] | None = None,
        redraw: Callable[[], Batch] | None = None,
    ) -> None:
        self.x, self.conditions = x, conditions
        self.batch_size = batch_size
        self.order_seed = order_seed
        self.redraw = redraw

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        if self.redraw is not None:
            x, conditions = self.redraw()
            if len(x) != len(self.x):
                raise ValueError(f"redraw must return {len(self.x)} rows, got {len(x)}")
            self.x, self.conditions = x, conditions
        if self.order_seed is None:
            for start in range(0, len(self.x), self.batch_size):
                rows = slice(start, start + self.batch_size)
                yield self.x[rows], self.conditions[rows]
            return
        generator = torch.Generator().manual_seed(self.order_seed())
        order = torch.randperm(len(self.x), generator=generator)
        for rows in order.split(self.batch_size):
            yield self.x[rows], self.conditions[rows]


class VAETraining(lightning.LightningModule):
    """The loss ``E_q[-ln p(x|z)] + beta E_q[ln q(z|x) - ln p(z|c)]`` and its optimiser.

    The noise of the reparameterisation comes from a generator seeded by (seed, epoch), so
    that a run resumed at an epoch's end goes on with the same numbers.
    """

    def __init__(
        self, model: LatentVariableModel, options: TrainingOptions, n_batches: int, bar: Any
    ) -> None:
        super().__init__()
        self.model = model
        self.options = options
        self.n_batches = n_batches
        self.bar = bar
        self.records: list[dict[str, float]] = []
        self._sums: dict[str, torch.Tensor] = {}

    def epoch_seed(self, stream: int) -> int:
        """Return the seed of one stream of random numbers in the current epoch."""
        return (self.options.seed * 1_000_003 + self.current_epoch) * 8 + stream

    def _step(self, batch: Batch, stage: str) -> torch.Tensor:
        x, conditions = batch
        noise = torch.randn(
            len(x), self.model.prior.n_latents, generator=self.generator, device=x.device
        )
        distortion, rate = self.model.loss_terms(x, conditions, noise)
        distortion, rate = distortion.mean(), rate.mean()
        loss = distortion + self.options.beta * rate
        for name, value in (("loss", loss), ("rate", rate)):
            key = f"{stage}{name}"
            self._sums[key] = self._sums.get(key, 0.0) + value.detach() * len(x)
        self._sums[f"{stage}n"] = self._sums.get(f"{stage}n", 0) + len(x)
        return loss

    def on_train_start(self) -> None:
        self.bar.update(self.current_epoch)

    def on_train_epoch_start(self) -> None:
        self._sums = {}
        self._started = time.perf_counter()
        self.generator = torch.Generator(self.device).manual_seed(self.epoch_seed(0))

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        return self._step(batch, "")

    def on_validation_epoch_start(self) -> None:
        self._sums = {key: v for key, v in self._sums.items() if not key.startswith("validation_")}
        self._training_generator = self.generator
        self.generator = torch.Generator(self.device).manual_seed(self.options.seed)

    def validation_step(self, batch: Batch, index: int) -> None:
        self._step(batch, "validation_")

    def on_validation_epoch_end(self) -> None:
        self.generator = self._training_generator
        value = self._sums["validation_loss"] / self._sums["validation_n"]
        self.log("validation_loss", value)

    def on_train_epoch_end(self) -> None:
        record = {"epoch": self.current_epoch, "seconds": time.perf_counter() - self._started}
        for stage in ("", "validation_"):
            if f"{stage}n" in self._sums:
                for name in ("loss", "rate"):
                    total = self._sums[f"{stage}{name}"] / self._sums[f"{stage}n"]
                    record[f"{stage}{name}"] = float(total)
        record["learning_rate"] = self.optimizers().param_groups[0]["lr"]
        self.log("loss", record["loss"])
        if "validation_loss" not in record:
            self.log("validation_loss", record["loss"])
        self.records.append(record)
        self.bar.set_postfix_str(f"loss {record.get('validation_loss', record['loss']):.3f}")
        self.bar.update(1)
        if not all(value == value and abs(value) < float("inf") for value in record.values()):
            raise ValueError(
                f"training diverged: the loss is not finite in epoch {self.current_epoch}; "
                "lower learning_rate, or check the data for outliers"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["mfvae_records"] = self.records

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.records = checkpoint["mfvae_records"]

    def configure_optimizers(self) -> Any:
        options = self.options
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        if options.schedule == "constant":
            return optimizer
        if options.schedule == "exponential":
            decay = 0.01 ** (1 / max(1, options.n_epochs - 1))
            scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler}}
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            options.learning_rate,
            total_steps=max(2, options.n_epochs * self.n_batches),
            pct_start=0.2,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


@contextlib.contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's announcements of devices out of a chapter; restore them after."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Lightning 2.6.6 on torch 2.13.0 uses a deprecated class of torch's own.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        # The folder is ours: run.json is there first, and a resumed run finds its checkpoints.
        warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
        # Without held-out data the training loss picks the best epoch.
        warnings.filterwarnings("ignore", message=".*Skipping val loop.*")
        # device="cpu" on a machine with a GPU is a choice.
        warnings.filterwarnings("ignore", message=".*available but not used.*")
        try:
            yield
        finally:
            logger.setLevel(level)


def _precision(options: TrainingOptions) -> str:
    if options.precision != "auto":
        return options.precision
    gpu = options.device in ("auto", "gpu", "cuda") and torch.cuda.is_available()
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"


def _trainer(options: TrainingOptions, callbacks: list[Callback]) -> lightning.Trainer:
    own = dict(options.trainer_options)
    added = own.pop("callbacks", None) or []
    callbacks = [*callbacks, *(added if isinstance(added, list) else [added])]
    return lightning.Trainer(
        **{
            "accelerator": options.device,
            "devices": 1,
            "precision": _precision(options),
            "max_epochs": options.n_epochs,
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "callbacks": callbacks,
            **own,
        }
    )


def _run_folder(
    options: TrainingOptions,
    training: Batch,
    validation: Batch | None,
    redraw: Callable | None,
    configuration: dict[str, Any] | None,
) -> RunFolder:
    """Return the folder of this run; where it is trained, and how it is shown, may change."""
    free = ("checkpoint_path", "device", "progress")
    description = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in free}
    description |= {
        "the model": configuration,
        "redraw": redraw is not None,
        "the training data": tensor_hash(*training),
        "the validation data": None if validation is None else tensor_hash(*validation),
    }
    return RunFolder(options.checkpoint_path, description)


def _load_weights(model: LatentVariableModel, checkpoint: dict[str, Any]) -> None:
    weights = checkpoint["state_dict"]
    model.load_state_dict({key.removeprefix("model."): value for key, value in weights.items()})


@contextlib.contextmanager
def _failures_explained(model: LatentVariableModel) -> Iterator[None]:
    """Report weights that are no numbers as divergence, and an interrupt as an interrupt."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:  # Lightning's answer to Ctrl-C: it leaves the interpreter, deaf to the next
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None
    except (RuntimeError, ArithmeticError, AssertionError, IndexError) as error:
        if all(bool(torch.isfinite(weight).all()) for weight in model.parameters()):
            raise
        raise ValueError(
            "training diverged: the weights are not finite; lower learning_rate, or check the "
            "data for outliers"
        ) from error


def train(
    model: LatentVariableModel,
    training: Batch,
    validation: Batch | None,
    options: TrainingOptions,
    redraw: Callable[[int], Batch] | None = None,
    configuration: dict[str, Any] | None = None,
) -> list[dict[str, float]]:
    """Train ``model`` in place and leave it with the weights of its best epoch.

    Parameters
    ----------
    model : LatentVariableModel
        The model; its weights are changed.
    training, validation : (torch.Tensor, torch.Tensor)
        Data and standardised conditions; without validation data the training loss picks
        the best epoch.
    options : TrainingOptions
        The rest. With a ``checkpoint_path`` (a folder), the end of every epoch is kept
        there, and a run of the same model, options and data goes on from it.
    redraw : callable or None
        Given the epoch, returns a fresh training set of the same number of rows.
    configuration : dict or None
        Plain description of the model, by which a run in ``checkpoint_path`` is known.

    Returns
    -------
    list of dict
        One record an epoch: losses and rate (nats), learning rate, seconds.

    Raises
    ------
    ValueError
        If the loss is not finite, a checkpoint cannot be read, or ``checkpoint_path`` holds
        the run of another model, other options or other data.
    """
    run = None
    if options.checkpoint_path is not None:
        run = _run_folder(options, training, validation, redraw, configuration)
        if run.finished:
            _load_weights(model, run.read(run.best))
            return run.read(run.last)["mfvae_records"]
        resume = run.last if run.last.exists() else None
        if resume is not None:
            run.read(resume)  # a damaged file is better reported here than by Lightning
    batches = TensorBatches(*training, options.batch_size)
    held_out = None
    if validation is not None:
        held_out = TensorBatches(*validation, 4 * options.batch_size)
    with contextlib.ExitStack() as stack:
        bar = progress_bar(options.n_epochs, "training", show=options.progress)
        stack.enter_context(contextlib.closing(bar))
        module = VAETraining(model, options, len(batches), bar)
        batches.order_seed = lambda: module.epoch_seed(1)
        if redraw is not None:
            batches.redraw = lambda: redraw(module.current_epoch)
        folder = run.path if run else stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(_quiet_lightning())
        best = EpochCheckpoint(folder, "best", monitor="validation_loss")
        callbacks: list[Callback] = [best]
        if run is not None:
            callbacks.append(EpochCheckpoint(folder, "last", save_on_train_epoch_end=True))
        stopping = None
        if options.patience is not None:
            stopping = EarlyStopping("validation_loss", patience=options.patience)
            callbacks.append(stopping)
        trainer = _trainer(options, callbacks)
        with _failures_explained(model):
            trainer.fit(
                module,
                batches,
                held_out,
                ckpt_path=resume if run else None,
                weights_only=True,
            )
        if not best.path.exists():
            raise ValueError("training ended before one epoch was complete: see trainer_options")
        _load_weights(model, torch.load(best.path, map_location="cpu", weights_only=True))
        stopped_early = stopping is not None and stopping.stopped_epoch > 0
        if run is not None and (stopped_early or len(module.records) >= options.n_epochs):
            run.finish()
        return module.records

"""Training by Lightning: the trainer, the best epoch, resuming after a kill."""

from __future__ import annotations

import contextlib
import logging
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping

from mfvae._progress import progress_bar
from mfvae.vae.checkpoints import EpochCheckpoint, RunFolder, tensor_hash
from mfvae.vae.loop import Batch, TensorBatches, TrainingOptions, VAETraining
from mfvae.vae.model import LatentVariableModel

__all__ = ["train"]


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

    Args:
        model (LatentVariableModel): The model; its weights are changed.
        training, validation ((torch.Tensor, torch.Tensor)): Data and standardised conditions;
            without validation data the training loss picks the best epoch.
        options (TrainingOptions): The rest. With a ``checkpoint_path`` (a folder), the end of every
            epoch is kept there, and a run of the same model, options and data goes on from it.
        redraw (callable or None): Given the epoch, returns a fresh training set of the same number
            of rows.
        configuration (dict or None): Plain description of the model, by which a run in
            ``checkpoint_path`` is known.

    Returns:
        list of dict: One record an epoch: losses and rate (nats), learning rate, seconds.

    Raises:
        ValueError: If the loss is not finite, a checkpoint cannot be read, or ``checkpoint_path``
            holds the run of another model, other options or other data.
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

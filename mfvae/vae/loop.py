"""What happens in an epoch: batches, the loss, its optimiser and its records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import torch

from mfvae.vae.model import LatentVariableModel

__all__ = ["Batch", "TensorBatches", "TrainingOptions"]

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass
class TrainingOptions:
    """How to train: one field per argument of ``MeanFieldVAE`` of that name."""

    beta: float = 1.0
    n_epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    momentum: float = 0.9
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

    Args:
        x, conditions (torch.Tensor): Data and standardised conditions, one row a configuration.
        batch_size (int): Rows a batch; the last one may be smaller.
        order_seed (callable or None): Returns the seed of this epoch's shuffle; None keeps the
            rows' order.
        redraw (callable or None): Returns a fresh ``(x, conditions)`` for this epoch, of any number
            of rows.
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
            self.model.parameters(),
            lr=options.learning_rate,
            betas=(options.momentum, 0.999),
            weight_decay=options.weight_decay,
        )
        if options.schedule == "constant":
            return optimizer
        if options.schedule == "exponential":
            decay = 0.01 ** (1 / max(1, options.n_epochs - 1))
            scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, decay)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler}}
        total_steps = max(2, options.n_epochs * self.n_batches)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            options.learning_rate,
            total_steps=total_steps,
            pct_start=max(0.2, 1.5 / total_steps),  # torch divides by pct_start * total_steps - 1
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

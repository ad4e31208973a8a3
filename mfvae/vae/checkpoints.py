"""The folder of a resumable run: whose run it is, how far it came, what was best."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from mfvae.vae.storage import replace_file

__all__ = ["EpochCheckpoint", "RunFolder", "tensor_hash"]


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else repr(value)


def tensor_hash(*tensors: torch.Tensor) -> str:
    """Return the SHA-256 of shapes, dtypes and values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


class EpochCheckpoint(ModelCheckpoint):
    """Keeps ``NAME.ckpt`` at the end of epochs, and finds it again in a folder that was moved."""

    def __init__(self, folder: str | Path, name: str, **options: Any) -> None:
        super().__init__(folder, name, enable_version_counter=False, **options)

    @property
    def path(self) -> Path:
        """Where the checkpoint is, or will be."""
        return Path(self.dirpath) / f"{self.filename}.ckpt"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        here = {"dirpath": self.dirpath, "best_model_path": str(self.path), "last_model_path": ""}
        if state_dict.get("best_k_models"):
            score = state_dict["best_model_score"]
            here |= {
                "kth_best_model_path": str(self.path),
                "best_k_models": {str(self.path): score},
            }
        super().load_state_dict({**state_dict, **here})


class RunFolder:
    """A folder that belongs to one run: the same model, options and data.

    ``run.json`` says which; ``last.ckpt`` is the end of the last complete epoch and
    ``best.ckpt`` the epoch of the lowest validation loss.

    Args:
        path (str or Path): The folder, made if need be.
        description (dict): Everything that the result follows from, ready for JSON.

    Raises:
        ValueError: If the folder holds another run, or something that this class did not write.
    """

    def __init__(self, path: str | Path, description: dict[str, Any]) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.description = json.loads(json.dumps(description, default=_plain))
        self.last, self.best = self.path / "last.ckpt", self.path / "best.ckpt"
        self._record = self.path / "run.json"
        self.finished = False
        if self._record.exists():
            self._compare()
        elif self.last.exists() or self.best.exists():
            raise ValueError(f"{self.path} holds checkpoints, but no run.json says of which run")
        else:
            self._write()

    def _compare(self) -> None:
        try:
            content = json.loads(self._record.read_text())
            there, self.finished = content["description"], content["finished"]
            names = there.keys() | self.description.keys()
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self._record} cannot be read: {error}") from error
        other = sorted(key for key in names if there.get(key) != self.description.get(key))
        if other:
            raise ValueError(
                f"{self.path} holds a run that differs in {', '.join(other)}: "
                "choose another checkpoint_path, or delete that folder to start anew"
            )

    def _write(self) -> None:
        content = {"description": self.description, "finished": self.finished}
        replace_file(self._record, lambda stream: stream.write(json.dumps(content).encode()))

    def finish(self) -> None:
        """Note that the run is complete: a later ``fit`` takes its result."""
        self.finished = True
        self._write()

    def read(self, path: Path) -> dict[str, Any]:
        """Return a checkpoint's content; ``ValueError`` if it is missing or damaged."""
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(f"the checkpoint {path} cannot be read: {error}") from error

"""On disk: trained models, versioned and without pickles, and the folders of resumable runs."""

import contextlib
import hashlib
import io
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from mfvae.vae.model import LatentVariableModel, build_model

__all__ = ["content_hash", "plain", "read_model", "read_torch", "replace_file", "run_folder"]
__all__ += ["write_model", "write_torch"]

FORMAT = "mfvae model"
VERSION = 3
_SEAL = b"sha256:"  # and 32 bytes, at the end of every file of tensors


def replace_file(path: Path, write: Callable[[Any], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it into place.

    What processes killed more than an hour ago left of the same file is removed.
    """
    for left in path.parent.glob(".????????????????????????????????.part"):
        with contextlib.suppress(OSError):  # another process is as tidy
            if left.stat().st_mtime < time.time() - 3600:
                left.unlink()
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            part.unlink()
        if getattr(error, "filename", None):
            error.filename = os.fspath(path)  # the name that the caller knows
        raise


def _python(value: Any) -> Any:
    """Return numbers, words, lists, tuples and dicts of these as Python's own; else TypeError."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = plain(value)
    if isinstance(value, dict):
        return {key: _python(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        entries = map(_python, value)
        return tuple(entries) if isinstance(value, tuple) else list(entries)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be saved: {value!r}")


def write_torch(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain data to a file of torch's that ends with its SHA-256."""
    stream = io.BytesIO()  # torch would hide the errors of a full disk
    torch.save(content, stream)
    seal = _SEAL + hashlib.sha256(stream.getbuffer()).digest()
    replace_file(path, lambda file: file.writelines((stream.getbuffer(), seal)))


def read_torch(path: Path) -> dict[str, Any]:
    """Return what ``write_torch`` wrote; ValueError if anything else is there. No pickles."""
    content, n = path.read_bytes() if path.is_file() else b"", len(_SEAL) + 32
    try:
        if content[-n:] != _SEAL + hashlib.sha256(memoryview(content)[:-n]).digest():
            raise ValueError("its checksum is wrong")
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        reason = f"{path} cannot be read: it is damaged, or of another mfvae ({error})"
        raise ValueError(reason) from error


def write_model(path: Path, description: dict[str, Any], module: LatentVariableModel) -> None:
    """Write weights and ``description``, plain data, to one versioned file without pickles.

    What the ``trainer_options`` hold besides plain data served training only and is left out.
    """
    parameters, kept = dict(description["parameters"]), {}
    for key, value in (parameters["trainer_options"] or {}).items():
        with contextlib.suppress(TypeError):
            kept[key] = _python(value)
    parameters["trainer_options"] = kept or None
    if parameters["checkpoint_path"] is not None:
        parameters["checkpoint_path"] = os.fspath(parameters["checkpoint_path"])
    content = {
        "format": FORMAT,
        "version": VERSION,
        "description": _python({**description, "parameters": parameters}),
        "weights": {key: value.cpu() for key, value in module.state_dict().items()},
    }
    write_torch(path, content)


def read_model(path: Path) -> tuple[dict[str, Any], LatentVariableModel]:
    """Return the description, and the module of its ``configuration``, that ``write_model`` wrote.

    FileNotFoundError if there is no such file; ValueError if it is damaged, of another version, or
    not a model of this package.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no model file at {path}")
    content = read_torch(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a model written by MeanFieldVAE.save")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path} has format version {content.get('version')}, this package reads {VERSION}"
        )
    try:
        description = content["description"]
        if folder := description["parameters"]["checkpoint_path"]:
            description["parameters"]["checkpoint_path"] = Path(folder)
        module = build_model(description["configuration"])
        module.load_state_dict(content["weights"])
    except Exception as error:
        reason = f"{path} does not describe a model this package builds: {error}"
        raise ValueError(reason) from error
    return description, module


def plain(value: Any) -> Any:
    """Return what JSON may hold in place of ``value``: numbers for an array, else its text."""
    # The text of a long array leaves out its middle, so it cannot stand for the array.
    if not isinstance(value, (np.ndarray, np.generic)):
        return repr(value)
    return np.asarray(value, float if value.dtype == np.longdouble else None).tolist()


def content_hash(*arrays: Any, text: str = "") -> str:
    """Return the SHA-256 of a text and of shapes, dtypes and values of arrays, tensors or None."""
    digest = hashlib.sha256(text.encode())
    for array in arrays:
        digest.update(b"none" if array is None else f"{array.dtype}{tuple(array.shape)}".encode())
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def run_folder(path: Path, description: dict[str, Any], *, leads: bool) -> Iterator[Path | None]:
    """Hold the folder of one run; give its last checkpoint, or None if there is none yet.

    ``run.json`` describes the run by everything its result follows from; ``last.ckpt`` is the end
    of an epoch, with the weights of the best so far. ValueError if the folder holds another run or
    cannot be read, RuntimeError if another ``fit`` is at work there, which is no fault of the
    processes that one of them ``leads``.
    """
    description = json.loads(json.dumps(description, default=plain))
    record, last = path / "run.json", path / "last.ckpt"
    path.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if leads:
            try:
                stack.enter_context(FileLock(path / "lock", timeout=0))
            except Timeout:
                raise RuntimeError(f"another fit is at work in checkpoint_path {path}") from None
            for left in path.glob(".*.part"):
                left.unlink()
        if not record.exists():
            if last.exists():
                raise ValueError(f"{path} holds a checkpoint, but no run.json says of which run")
            content = json.dumps({"description": description}).encode()
            replace_file(record, lambda stream: stream.write(content))
        try:
            there = json.loads(record.read_text())["description"]
            names = sorted(there.keys() | description.keys())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{record} cannot be read: {error}") from error
        if other := [key for key in names if there.get(key) != description.get(key)]:
            raise ValueError(
                f"{path} holds a run that differs in {', '.join(other)}: "
                "choose another checkpoint_path, or delete that folder to start anew"
            )
        yield last if last.exists() else None

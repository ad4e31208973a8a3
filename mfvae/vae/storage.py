"""Trained models on disk: weights and plain settings, versioned, without pickles."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mfvae.vae.model import LatentVariableModel, build_model

__all__ = ["read_model", "replace_file", "write_model"]

FORMAT = "mfvae model"
VERSION = 1


def replace_file(path: Path, write: Callable[[Any], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it into place."""
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with open(part, "xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _to_json(value: Any) -> Any:
    """Return plain data in a form that JSON keeps: a tuple stays a tuple, a path a path."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        return {"dict": [[_to_json(key), _to_json(entry)] for key, entry in value.items()]}
    if isinstance(value, list):
        return [_to_json(entry) for entry in value]
    if isinstance(value, tuple):
        return {"tuple": [_to_json(entry) for entry in value]}
    if isinstance(value, np.ndarray):
        return _to_json(value.tolist())
    if isinstance(value, os.PathLike):
        return {"path": os.fspath(value)}
    raise TypeError(f"a {type(value).__name__} cannot be saved: {value!r}")


def _from_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_json(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "path":
        return Path(content)
    if kind == "tuple":
        return tuple(_from_json(entry) for entry in content)
    if kind == "dict":
        return {_from_json(key): _from_json(entry) for key, entry in content}
    raise ValueError(f"unknown kind {kind!r}")


def _without_objects(parameters: dict[str, Any]) -> dict[str, Any]:
    """Leave out what ``trainer_options`` hold besides plain data: it served training only."""
    options = {}
    for key, value in (parameters.get("trainer_options") or {}).items():
        try:
            _to_json(value)
        except TypeError:
            continue
        options[key] = value
    return {**parameters, "trainer_options": options or None}


def write_model(
    path: Path,
    parameters: dict[str, Any],
    configuration: dict[str, Any],
    state: dict[str, Any],
    module: LatentVariableModel,
) -> None:
    """Write a model; ``parameters``, ``configuration`` and ``state`` must be plain data."""
    description = {
        "parameters": _without_objects(parameters),
        "configuration": configuration,
        "state": state,
    }
    content = {
        "format": FORMAT,
        "version": VERSION,
        "description": json.dumps(_to_json(description)),
        "weights": {key: value.cpu() for key, value in module.state_dict().items()},
    }
    replace_file(path, lambda stream: torch.save(content, stream))


def read_model(
    path: Path,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], LatentVariableModel]:
    """Read what ``write_model`` wrote: parameters, configuration, state, module.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, of another version, or not a model of this package.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no model file at {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(
            f"{path} is not a readable model: damaged, or a pickle, which is never loaded ({error})"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a model written by MeanFieldVAE.save")
    if content.get("version") != VERSION:
        raise ValueError(
            f"{path} has format version {content.get('version')}, this package reads {VERSION}"
        )
    try:
        description = _from_json(json.loads(content["description"]))
        parameters, configuration, state = (
            description[key] for key in ("parameters", "configuration", "state")
        )
        module = build_model(configuration)
        module.load_state_dict(content["weights"])
    except Exception as error:
        raise ValueError(
            f"{path} does not describe a model this package builds: {error}"
        ) from error
    return parameters, configuration, state, module

"""Trained models on disk: weights and plain settings, versioned, without pickles."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mfvae.vae.model import LatentVariableModel, build_model

__all__ = ["read_model", "replace_file", "write_model"]

FORMAT = "mfvae model"
VERSION = 1


def replace_file(path: Path, write: Callable[[Any], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it into place."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_model(
    path: Path,
    parameters: dict[str, Any],
    configuration: dict[str, Any],
    state: dict[str, Any],
    module: LatentVariableModel,
) -> None:
    """Write a model; ``parameters``, ``configuration`` and ``state`` must be plain data."""
    description = {"parameters": parameters, "configuration": configuration, "state": state}
    content = {
        "format": FORMAT,
        "version": VERSION,
        "description": json.dumps(description, default=str),
        "weights": {key: value.cpu() for key, value in module.state_dict().items()},
    }
    replace_file(path, lambda stream: torch.save(content, stream))


def read_model(
    path: Path,
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], LatentVariableModel]:
    """Read what ``write_model`` wrote: parameters, configuration, state, module.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, of another version, or not a model of this package.
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
    if content["version"] != VERSION:
        raise ValueError(
            f"{path} has format version {content['version']}, this package reads {VERSION}"
        )
    description = json.loads(content["description"])
    configuration = description["configuration"]
    try:
        module = build_model(configuration)
        module.load_state_dict(content["weights"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} does not describe a model this package builds: {error}") from None
    return description["parameters"], configuration, description["state"], module

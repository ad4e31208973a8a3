"""The files of a sample store: laid out as Zarr 3, written whole or not at all, checksummed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

try:
    import fcntl
except ImportError:  # Windows: two processes drawing one store are then not kept apart
    fcntl = None

__all__ = ["attributes_sha256", "create_skeleton", "encode", "staging", "write_atomically"]


def create_arrays(
    store: Any, arrays: dict[str, dict[str, Any]], attributes: dict[str, Any] | None = None
) -> zarr.Group:
    """Create a group with the arrays described by their shape, dtype, chunks and fill value."""
    group = zarr.create_group(store=store, zarr_format=3, attributes=attributes)
    for name, description in arrays.items():
        _create_array(group, name, description)
    return group


def _create_array(group: zarr.Group, name: str, description: dict[str, Any]) -> zarr.Array:
    return group.create_array(
        name=name,
        shape=description["shape"],
        dtype=description["dtype"],
        chunks=description["chunks"],
        fill_value=description["fill"],
        compressors=ZstdCodec(level=3) if description.get("compress", True) else None,
        filters=None,
        attributes=description.get("attributes", {}),
        config={"write_empty_chunks": True},
    )


def create_skeleton(
    folder: Path, arrays: dict[str, dict[str, Any]], attributes: dict[str, Any]
) -> None:
    """Write the metadata of an empty store, with the checksums of its parts in its attributes."""
    memory: dict[str, Any] = {}
    create_arrays(zarr.storage.MemoryStore(store_dict=memory), arrays)
    attributes = dict(attributes)
    attributes["metadata_sha256"] = {
        name: hashlib.sha256(memory[f"{name}/zarr.json"].to_bytes()).hexdigest() for name in arrays
    }
    attributes["attributes_sha256"] = attributes_sha256(attributes)
    create_arrays(zarr.storage.LocalStore(folder), arrays, attributes)


def attributes_sha256(attributes: dict[str, Any]) -> str:
    """Return the SHA-256 of all attributes but this one, in canonical JSON."""
    others = {name: value for name, value in attributes.items() if name != "attributes_sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def chunk_file(name: str, index: tuple[int, ...]) -> str:
    """Return the path, relative to the store, of one chunk of the array ``name``."""
    return "/".join([name, "c", *map(str, index)])


def encode(name: str, description: dict[str, Any], index: tuple[int, ...], block: Any) -> bytes:
    """Return the bytes of the file that holds chunk ``index`` of an array."""
    memory: dict[str, Any] = {}
    group = zarr.create_group(store=zarr.storage.MemoryStore(store_dict=memory), zarr_format=3)
    array = _create_array(group, name, description)
    region = tuple(
        slice(i * size, min((i + 1) * size, length))
        for i, size, length in zip(index, description["chunks"], description["shape"], strict=True)
    )
    array[region] = np.asarray(block)
    return memory[chunk_file(name, index)].to_bytes()


def write_atomically(target: Path, content: bytes, workspace: Path) -> None:
    """Write ``content`` under a temporary name, flush it to disk, and rename it to ``target``."""
    handle, temporary = tempfile.mkstemp(dir=workspace)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(temporary, 0o644)
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, target)


@contextlib.contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Give a folder beside the store for unfinished files; held by one process at a time.

    What a killed process left there is removed; the store itself only ever holds whole files.
    """
    folder = path.with_name(path.name + ".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        if fcntl is not None:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError(f"another process is drawing the store {path}") from None
        for leftover in folder.iterdir():
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            elif leftover.name != "lock":
                leftover.unlink(missing_ok=True)
        try:
            yield folder
        except OSError as error:
            raise _cannot_write(path, error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)


def _cannot_write(path: Path, error: OSError) -> OSError:
    message = (
        f"cannot write the store {path}: {error.strerror or error}. Chunks already drawn stay "
        "readable; to draw more, make its folder writable or copy the store to one that is."
    )
    return OSError(error.errno or errno.EACCES, message)

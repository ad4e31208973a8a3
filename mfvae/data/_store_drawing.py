"""How a sample store is laid out, drawn chunk by chunk, and checked."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from threadpoolctl import threadpool_limits

from mfvae.data import _store_files as files
from mfvae.data.diagnostics import COLUMNS, OBSERVABLES, diagnose

__all__ = ["chunk_files", "chunk_seed", "describe", "draw_chunk", "find_damage", "layout"]

#: What a drawn chunk consists of, besides its checksum.
DRAWN = ("x", "energy", "order_parameter", "seed")
_CHUNK_BYTES = 32 * 2**20
_SHORTEST_CHAIN = 25


def layout(
    n_samples: int, n_chains: int | None, chains_per_chunk: int, sample_bytes: int
) -> tuple[int, int]:
    """Return the number of chunks and of records a chain, for at least ``n_samples``."""
    if n_chains is None:
        n_chunks = min(20, max(2, n_samples // (chains_per_chunk * _SHORTEST_CHAIN)))
        n_chunks = max(n_chunks, math.ceil(n_samples * sample_bytes / _CHUNK_BYTES))
    else:
        n_chunks = math.ceil(n_chains / chains_per_chunk)
    n_records = math.ceil(n_samples / (n_chunks * chains_per_chunk))
    return math.ceil(n_samples / (n_records * chains_per_chunk)), n_records


def plain(value: Any) -> Any:
    """Return ``value`` as it comes back from JSON: plain numbers, strings, lists and dicts."""

    def convert(item: Any) -> Any:
        if isinstance(item, (np.ndarray, np.generic)):
            return item.tolist()
        raise TypeError(f"{type(item).__name__} cannot be stored as JSON: {item!r}")

    return json.loads(json.dumps(value, default=convert))


def schedule(system: Any, temperatures: np.ndarray, options: dict[str, Any]) -> list | None:
    """Return burn-in and thinning at each temperature, or None if the system does not tell."""
    given = [options.get("burn_in"), options.get("thinning")]
    others = {k: v for k, v in options.items() if k not in ("burn_in", "thinning")}
    if None not in given:
        return [given] * len(temperatures)
    if not hasattr(system, "schedule"):
        return None
    defaults = [system.schedule(float(t), **others) for t in temperatures]
    return plain(
        [[d if g is None else g for g, d in zip(given, pair, strict=True)] for pair in defaults]
    )


def describe(attributes: dict[str, Any], system: Any, x: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return shape, dtype and chunks of every array, from one sample ``x`` (1, n_sites[, 3])."""
    n_temperatures = len(attributes["temperatures"])
    n_chains, n_records = attributes["n_chains"], attributes["n_records"]
    size = attributes["chains_per_chunk"]
    n_chunks = n_chains // size

    def along_chains(shape: tuple[int, ...], dtype: Any, names: list[str]) -> dict[str, Any]:
        return {
            "shape": (n_temperatures, n_chains, n_records, *shape),
            "chunks": (n_temperatures, size, n_records, *shape),
            "dtype": np.dtype(dtype).name,
            "fill": 0,
            "attributes": {"axes": ["temperature", "chain", "record", *names]},
        }

    table = (n_temperatures, len(OBSERVABLES), len(COLUMNS))
    checksums = (n_chunks + 1, len(DRAWN), 32)
    return {
        "x": along_chains(x.shape[1:], x.dtype, ["site", "component"][: x.ndim - 1]),
        "energy": along_chains((), np.float64, []),
        "order_parameter": along_chains(
            np.shape(system.order_parameter(x))[1:], np.float32, ["component"]
        ),
        "seed": {
            "shape": (n_chunks, 4),
            "chunks": (1, 4),
            "dtype": "uint32",
            "fill": 0,
            "compress": False,
            "attributes": {"meaning": "first words of the random state of each chunk"},
        },
        "checksum": {
            "shape": checksums,
            "chunks": (1, *checksums[1:]),
            "dtype": "uint8",
            "fill": 0,
            "compress": False,
            "attributes": {"rows": list(DRAWN), "last": "the diagnostics", "hash": "sha256"},
        },
        "diagnostics": {
            "shape": table,
            "chunks": table,
            "dtype": "float64",
            "fill": "NaN",
            "attributes": {"observables": list(OBSERVABLES), "columns": list(COLUMNS)},
        },
    }


def chunk_seed(attributes: dict[str, Any], chunk: int) -> np.random.SeedSequence:
    """Return the seed of a chunk: the child of the store's seed with the chunk's number."""
    seed = attributes["seed"]
    return np.random.SeedSequence(
        seed["entropy"], spawn_key=(*seed["spawn_key"], chunk), pool_size=seed["pool_size"]
    )


def chunk_files(arrays: dict[str, dict[str, Any]], chunk: int) -> dict[str, str]:
    """Return the files of a chunk; the number after the last stands for the diagnostics."""
    if chunk == arrays["seed"]["shape"][0]:
        return {"diagnostics": files.chunk_file("diagnostics", (0, 0, 0))}
    index = {
        name: (0, chunk, *[0] * (len(arrays[name]["shape"]) - 2))
        for name in DRAWN
        if name != "seed"
    }
    index["seed"] = (chunk, 0)
    return {name: files.chunk_file(name, index[name]) for name in DRAWN}


def is_drawn(path: Path, arrays: dict[str, dict[str, Any]], chunk: int) -> bool:
    """Whether the checksum and all files of a chunk are there."""
    names = [files.chunk_file("checksum", (chunk, 0, 0)), *chunk_files(arrays, chunk).values()]
    return all((path / name).is_file() for name in names)


def draw_chunk(
    path: Path,
    arrays: dict[str, dict[str, Any]],
    attributes: dict[str, Any],
    system: Any,
    chunk: int,
    workspace: Path,
) -> None:
    """Draw one block of chains at all temperatures and write it; runs in a worker process."""
    seed = chunk_seed(attributes, chunk)
    shape = tuple(arrays["x"]["chunks"])
    with threadpool_limits(1):  # the order of a threaded sum would change the last bits
        x = system.sample_chains(
            np.array(attributes["temperatures"]), *shape[1:3], seed=seed, **attributes["options"]
        )
        if x.shape != shape or x.dtype != arrays["x"]["dtype"]:
            raise ValueError(
                f"{type(system).__name__}.sample_chains returned {x.dtype} {x.shape}, "
                f"expected {arrays['x']['dtype']} {shape}"
            )
        flat = x.reshape(-1, *shape[3:])
        blocks = {
            "x": x,
            "energy": system.energy(flat).reshape(shape[:3]),
            "order_parameter": np.asarray(system.order_parameter(flat), dtype=np.float32).reshape(
                arrays["order_parameter"]["chunks"]
            ),
            "seed": seed.generate_state(4)[None],
        }
    write_chunk(path, arrays, chunk, blocks, workspace)


def write_chunk(
    path: Path,
    arrays: dict[str, dict[str, Any]],
    chunk: int,
    blocks: dict[str, np.ndarray],
    workspace: Path,
) -> None:
    """Write the files of a chunk, each at once, and its checksums last: then it counts as drawn."""
    checksums = np.zeros(arrays["checksum"]["chunks"], dtype=np.uint8)
    for row, (name, file) in enumerate(chunk_files(arrays, chunk).items()):
        index = tuple(int(i) for i in file.split("/")[2:])
        content = files.encode(name, arrays[name], index, blocks[name])
        checksums[0, row] = np.frombuffer(hashlib.sha256(content).digest(), dtype=np.uint8)
        files.write_atomically(path / file, content, workspace)
    content = files.encode("checksum", arrays["checksum"], (chunk, 0, 0), checksums)
    files.write_atomically(path / files.chunk_file("checksum", (chunk, 0, 0)), content, workspace)


def write_diagnostics(
    path: Path, arrays: dict[str, dict[str, Any]], group: zarr.Group, workspace: Path
) -> None:
    """Compute the diagnostics of a fully drawn store, a temperature at a time, and write them."""
    n_chunks = arrays["seed"]["shape"][0]
    if is_drawn(path, arrays, n_chunks):
        return
    table = np.empty(arrays["diagnostics"]["shape"])
    for t in range(len(table)):
        for k, name in enumerate(OBSERVABLES):
            table[t, k] = diagnose(group[name][t])
    write_chunk(path, arrays, n_chunks, {"diagnostics": table}, workspace)


def find_damage(
    path: Path, arrays: dict[str, dict[str, Any]], attributes: dict[str, Any], chunk: int
) -> list[str]:
    """Return the files of a chunk that differ from their checksums."""
    n_chunks = arrays["seed"]["shape"][0]
    label = "diagnostics" if chunk == n_chunks else f"chunk {chunk}"
    record = path / files.chunk_file("checksum", (chunk, 0, 0))
    present = [record, *(path / file for file in chunk_files(arrays, chunk).values())]
    if missing := [str(f.relative_to(path)) for f in present if not f.is_file()]:
        return [f"{label}: missing {', '.join(missing)}"]
    expected = record.read_bytes()
    problems, found = [], b""
    for file in chunk_files(arrays, chunk).values():
        digest = hashlib.sha256((path / file).read_bytes()).digest()
        if digest != expected[len(found) : len(found) + 32]:
            problems.append(f"{label}: {file} does not match its checksum")
        found += digest
    if len(expected) != 32 * len(DRAWN) or any(expected[len(found) :]):
        problems.append(f"{label}: its record of checksums is damaged")
    if chunk < n_chunks and not problems:
        state = chunk_seed(attributes, chunk).generate_state(4).astype("<u4").tobytes()
        if (path / chunk_files(arrays, chunk)["seed"]).read_bytes() != state:
            problems.append(f"{label}: its seed is not the one of this store")
    return problems

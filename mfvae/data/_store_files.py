"""The files of a sample store: Zarr 3 arrays, written whole or not at all, with checksums."""

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
from filelock import FileLock, Timeout
from pooch import file_hash
from threadpoolctl import threadpool_limits
from zarr.codecs import ZstdCodec

from mfvae.data.diagnostics import COLUMNS, OBSERVABLES

__all__ = ["DRAWN", "StoreFiles", "attributes_sha256", "describe", "staging"]

#: What a drawn chunk consists of, besides its checksum.
DRAWN = ("x", "energy", "order_parameter", "seed")


def describe(attributes: dict[str, Any], system: Any, x: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return shape, dtype and chunks of every array, from one sample ``x`` (1, n_sites[, 3])."""
    size = attributes["chains_per_chunk"]
    chains = len(attributes["temperatures"]), attributes["n_chains"], attributes["n_records"]
    block, n_chunks = (chains[0], size, chains[2]), chains[1] // size
    site, order = x.shape[1:], np.shape(system.order_parameter(x))[1:]
    axes = ["temperature", "chain", "record"]
    sites, components = [*axes, "site", "component"][: x.ndim + 2], [*axes, "component"]
    table, row = (chains[0], len(OBSERVABLES), len(COLUMNS)), (len(DRAWN), 32)
    seeds = {"meaning": "first words of the random state of each chunk"}
    hashes = {"rows": list(DRAWN), "last": "the diagnostics", "hash": "sha256"}
    columns = {"observables": list(OBSERVABLES), "columns": list(COLUMNS)}
    arrays = {
        "x": ((*chains, *site), (*block, *site), x.dtype.name, {"axes": sites}),
        "energy": (chains, block, "float64", {"axes": axes}),
        "order_parameter": ((*chains, *order), (*block, *order), "float32", {"axes": components}),
        "seed": ((n_chunks, 4), (1, 4), "uint32", seeds),
        "checksum": ((n_chunks + 1, *row), (1, *row), "uint8", hashes),
        "diagnostics": (table, table, "float64", columns),
    }
    about = {}
    for name, (shape, chunks, dtype, meaning) in arrays.items():
        fill = "NaN" if name == "diagnostics" else 0
        raw = {"compress": False} if name in ("seed", "checksum") else {}
        own = {"shape": shape, "chunks": chunks, "dtype": dtype, "fill": fill}
        about[name] = own | raw | {"attributes": meaning}
    return about


def attributes_sha256(attributes: dict[str, Any]) -> str:
    """Return the SHA-256 of all attributes but this one, in canonical JSON."""
    others = {name: value for name, value in attributes.items() if name != "attributes_sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


class StoreFiles:
    """The files of each chunk: drawn, written, checked. Chunk ``n_chunks`` is the diagnostics."""

    def __init__(self, path: Path, attributes: dict[str, Any]) -> None:
        self.path, self.attributes, self.arrays = path, attributes, attributes["arrays"]
        self.n_chunks = attributes["n_chains"] // attributes["chains_per_chunk"]

    def create(self, workspace: Path) -> tuple[zarr.Group, dict[str, zarr.Array], Path]:
        """Write the metadata of all arrays to a new folder; return group, arrays and folder."""
        folder = Path(tempfile.mkdtemp(dir=workspace)) / "store"
        group = zarr.create_group(folder, zarr_format=3)
        arrays = {}
        for name, about in self.arrays.items():
            arrays[name] = group.create_array(
                name=name,
                shape=about["shape"],
                dtype=about["dtype"],
                chunks=about["chunks"],
                fill_value=about["fill"],
                compressors=ZstdCodec(level=3) if about.get("compress", True) else None,
                filters=None,
                attributes=about["attributes"],
                config={"write_empty_chunks": True},
            )
        return group, arrays, folder

    def metadata_sha256(self, folder: Path) -> dict[str, str]:
        """Return the checksum of the metadata of every array that is there."""
        files = {name: folder / name / "zarr.json" for name in self.arrays}
        return {name: file_hash(file) for name, file in files.items() if file.is_file()}

    def names(self, chunk: int) -> dict[str, str]:
        """Return the files of a chunk, relative to the store; that of its checksums is last."""
        record = {"checksum": f"checksum/c/{chunk}/0/0"}
        if chunk == self.n_chunks:
            return {"diagnostics": "diagnostics/c/0/0/0"} | record
        zeros = {name: "/0" * (len(self.arrays[name]["shape"]) - 2) for name in DRAWN[:3]}
        chains = {name: f"{name}/c/0/{chunk}{zeros[name]}" for name in DRAWN[:3]}
        return chains | {"seed": f"seed/c/{chunk}/0"} | record

    def is_drawn(self, chunk: int) -> bool:
        """Whether the checksum and all files of a chunk are there."""
        return all((self.path / name).is_file() for name in self.names(chunk).values())

    def seed(self, chunk: int) -> np.random.SeedSequence:
        """Return the seed of a chunk: the child of the store's seed with the chunk's number."""
        own = self.attributes["seed"]
        return np.random.SeedSequence(**own | {"spawn_key": (*own["spawn_key"], chunk)})

    def draw(self, system: Any, chunk: int, workspace: Path) -> None:
        """Draw one block of chains at all temperatures and write it; runs in a worker process."""
        seed, shape = self.seed(chunk), tuple(self.arrays["x"]["chunks"])
        temperatures = np.array(self.attributes["temperatures"])
        options = self.attributes["options"]
        with threadpool_limits(1):  # the order of a threaded sum would change the last bits
            x = system.sample_chains(temperatures, *shape[1:3], seed=seed, **options)
            if x.shape != shape:
                raise ValueError(f"sample_chains returned shape {x.shape}, expected {shape}")
            flat = x.reshape(-1, *shape[3:])
            energy, order = system.energy(flat), np.asarray(system.order_parameter(flat))
        blocks = {
            "x": x,
            "energy": energy.reshape(shape[:3]),
            "order_parameter": order.reshape(self.arrays["order_parameter"]["chunks"]),
            "seed": seed.generate_state(4),
        }
        self.write(chunk, blocks, workspace)

    def write(self, chunk: int, blocks: dict[str, np.ndarray], workspace: Path) -> None:
        """Write the files of a chunk elsewhere and move them here, the checksums last."""
        _, arrays, folder = self.create(workspace)
        names, size = self.names(chunk), self.attributes["chains_per_chunk"]
        checksums = np.zeros((len(DRAWN), 32), dtype=np.uint8)
        for row, (name, block) in enumerate(blocks.items()):
            chains = np.s_[:, chunk * size : (chunk + 1) * size]
            arrays[name][{"seed": chunk, "diagnostics": ...}.get(name, chains)] = block
            content = (folder / names[name]).read_bytes()
            checksums[row] = np.frombuffer(hashlib.sha256(content).digest(), dtype=np.uint8)
        arrays["checksum"][chunk] = checksums
        for name in names.values():
            with open(folder / name, "rb") as file:
                os.fsync(file.fileno())  # a name must not outlive its content
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder / name, self.path / name)
        shutil.rmtree(folder.parent)

    def damaged_metadata(self) -> list[str]:
        """Return the arrays whose ``zarr.json`` is missing or not as written."""
        expected = self.attributes["metadata_sha256"]
        return sorted(dict(self.metadata_sha256(self.path).items() ^ expected.items()))

    def repair_metadata(self, workspace: Path) -> None:
        """Write the damaged ``zarr.json`` again; ValueError where another Zarr writes others."""
        _, _, folder = self.create(workspace)
        again = self.metadata_sha256(folder)
        for name in self.damaged_metadata():
            if again[name] != self.attributes["metadata_sha256"][name]:
                raise ValueError(f"{self.path}: this zarr cannot repair {name}/zarr.json")
            (self.path / name).mkdir(exist_ok=True)
            os.replace(folder / name / "zarr.json", self.path / name / "zarr.json")
        shutil.rmtree(folder.parent)

    def damage(self, chunk: int, read: tuple[str, ...] = DRAWN) -> list[str]:
        """Return what is wrong with the files of a chunk: those missing, or not as written.

        Of a chunk's arrays only those to be ``read`` are looked at.
        """
        label = "diagnostics" if chunk == self.n_chunks else f"chunk {chunk}"
        *arrays, record = self.names(chunk).items()
        rows = {r: file for r, (name, file) in enumerate(arrays) if name in (*read, "diagnostics")}
        names, record = list(rows.values()), record[1]
        if missing := [n for n in (record, *names) if not (self.path / n).is_file()]:
            return [f"{label}: missing {', '.join(missing)}"]
        expected, problems, content = (self.path / record).read_bytes(), [], b""
        for row, name in rows.items():
            content = (self.path / name).read_bytes()
            if hashlib.sha256(content).digest() != expected[32 * row : 32 * (row + 1)]:
                problems.append(f"{label}: {name} does not match its checksum")
        if expected[32 * len(arrays) :] != bytes(32 * (len(DRAWN) - len(arrays))):
            problems.append(f"{label}: its record of checksums is damaged")
        state = self.seed(chunk).generate_state(4).astype("<u4").tobytes()
        if chunk < self.n_chunks and "seed" in read and not problems and content != state:
            problems.append(f"{label}: its seed is not the one of this store")
        return problems


@contextlib.contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Give a folder beside the store for unfinished files; held by one process at a time.

    It goes at the end, with what killed processes left there; the store only holds whole files.
    """
    folder = path.with_name(path.name + ".partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", timeout=0):
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except Timeout:
        raise RuntimeError(f"another process is drawing the store {path}") from None
    except OSError as error:
        raise OSError(
            error.errno or errno.EACCES,
            f"cannot write the store {path}: {error.strerror or error}. Chunks already drawn stay "
            "readable; to draw more, make its folder writable or copy the store to one that is.",
        ) from error

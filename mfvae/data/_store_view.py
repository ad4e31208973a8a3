"""Reading a store of equilibrium samples: all of it, or the chunks of one side of a split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import mfvae
from mfvae._validation import check_count, check_fraction
from mfvae.data import _store_drawing as drawing
from mfvae.data import _store_files as files
from mfvae.data.diagnostics import ChainDiagnostics
from mfvae.systems.base import System

__all__ = ["FORMAT", "VERSION", "CorruptStoreError", "StoredSamples"]

FORMAT, VERSION = "mfvae equilibrium samples", 1


class CorruptStoreError(ValueError):
    """A store whose bytes are not what was written; ``chunks`` lists the damaged chunks."""

    def __init__(self, message: str, chunks: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.chunks = chunks


class StoredSamples:
    """What a store holds, read-only; the part that both sides of a split share."""

    def __init__(self, path: Path, system: Any = None, chunks: range | None = None) -> None:
        self.path = Path(path)
        try:
            self._group = zarr.open_group(self.path, mode="r", zarr_format=3)
            self.attributes = dict(self._group.attrs)
            recognised = self.attributes.get("format") == FORMAT
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no store of samples at {path}") from None
        except Exception as error:
            raise CorruptStoreError(f"{path} is not a readable store: {error}") from error
        if not recognised:
            raise ValueError(f"{path} is a Zarr store, but not one of equilibrium samples")
        if self.attributes.get("version") != VERSION:
            raise ValueError(
                f"{path} has format version {self.attributes.get('version')}, this mfvae "
                f"({mfvae.__version__}) reads version {VERSION}"
            )
        checksum = self.attributes.get("attributes_sha256")
        if checksum != files.attributes_sha256(self.attributes):
            raise CorruptStoreError(f"{path} is damaged: zarr.json does not match its checksum")
        self._arrays = self.attributes["arrays"]
        self._system = system
        self._chunks = range(self.n_chunks) if chunks is None else chunks

    @property
    def system(self) -> Any:
        """The system that was sampled, built from the stored configuration."""
        if self._system is None:
            self._system = System.from_configuration(self.attributes["system"])
        return self._system

    @property
    def temperatures(self) -> np.ndarray:
        """Temperatures, float64 (n_temperatures,), units of J/k_B."""
        return np.array(self.attributes["temperatures"])

    @property
    def n_chunks(self) -> int:
        """Number of chunks of the whole store."""
        return self.attributes["n_chains"] // self.attributes["chains_per_chunk"]

    @property
    def n_samples(self) -> int:
        """Samples per temperature: of the store, or of this part of a split."""
        return sum(self._kept(c) for c in self._chunks)

    @property
    def is_complete(self) -> bool:
        """Whether all chunks and the diagnostics are drawn."""
        return all(self._is_drawn(c) for c in range(self.n_chunks + 1))

    @property
    def diagnostics(self) -> ChainDiagnostics:
        """Autocorrelation times, effective sample sizes, R-hat and drift of the whole store."""
        if not self._is_drawn(self.n_chunks):
            raise ValueError(f"the store {self.path} is not complete: call resume() first")
        try:
            table = self._group["diagnostics"][...]
        except Exception as error:
            raise CorruptStoreError(
                f"diagnostics of {self.path} cannot be read: {error}"
            ) from error
        return ChainDiagnostics(
            self.temperatures,
            table,
            self.attributes["n_chains"],
            self.attributes["n_records"],
            math.prod(self._arrays["order_parameter"]["shape"][3:]),
            self.attributes["schedule"],
        )

    def seed(self, chunk: int) -> np.random.SeedSequence:
        """Return the seed with which ``sample_chains`` drew a chunk."""
        chunk = check_count(chunk, "chunk", minimum=0, maximum=self.n_chunks - 1)
        return drawing.chunk_seed(self.attributes, chunk)

    def observables(self) -> tuple[np.ndarray, np.ndarray]:
        """Return energy and order parameter along the chains, for plots and diagnostics.

        Returns:
            - energy : ndarray, float64 (n_temperatures, n_chains, n_records): Units of J.
            - order_parameter : ndarray, float32 (n_temperatures, n_chains, n_records, …)
        """
        self._require(self._chunks)
        energy, order = (
            np.concatenate([self._block(name, c) for c in self._chunks], axis=1)
            for name in ("energy", "order_parameter")
        )
        return energy, order

    def iter_chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield ``x, temperature`` a chunk at a time, as in :meth:`arrays`, in little memory."""
        self._require(self._chunks)
        for chunk in self._chunks:
            x = self._flat(chunk)
            temperature = np.repeat(self.temperatures, x.shape[1])
            yield x.reshape(-1, *x.shape[2:]), temperature

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read all samples into memory, ready for ``vae.fit(x, conditions=temperature)``.

        Returns:
            - x : ndarray, (n_temperatures · n_samples, n_sites[, 3]): Spins int8 or directors
              float32; all of the first temperature, then all of the second, and so on.
            - temperature : ndarray, float64 (n_temperatures · n_samples,): Units of J/k_B.
        """
        self._require(self._chunks)
        stored, n = self._group["x"], self.n_samples
        x = np.empty((stored.shape[0], n, *stored.shape[3:]), dtype=stored.dtype)
        start = 0
        for chunk in self._chunks:
            block = self._flat(chunk)
            x[:, start : start + block.shape[1]] = block
            start += block.shape[1]
        return x.reshape(-1, *x.shape[2:]), np.repeat(self.temperatures, n)

    def split(self, validation: float = 0.1) -> tuple[StoredSamples, StoredSamples]:
        """Split by whole chunks, so that no chain is on both sides.

        Args:
            validation (float): Fraction, strictly between 0 and 1, rounded to whole chunks (at
                least one).

        Returns:
            train, validation : StoredSamples: Views of the same store. The validation part is the
                last chunks: chunks are independent of each other, so that their order does not
                matter.
        """
        validation = check_fraction(validation, "validation")
        n = len(self._chunks)
        if n < 2:
            raise ValueError("a single chunk of chains cannot be split; use more chains")
        cut = n - min(max(1, round(validation * n)), n - 1)
        parts = self._chunks[:cut], self._chunks[cut:]
        return tuple(type(self)(self.path, self._system, part) for part in parts)

    def __repr__(self) -> str:
        part = len(self._chunks) < self.n_chunks
        drawn = sum(self._is_drawn(c) for c in self._chunks)
        head = (
            f"EquilibriumSamples of {self.attributes['system']['class']}: "
            f"{len(self.temperatures)} temperatures × {self.n_samples} samples in "
            f"{len(self._chunks)} chunks{' (part of a split)' if part else ''}"
        )
        if drawn < len(self._chunks):
            return f"{head}, {drawn} of them drawn: call resume()"
        return head if part or not self.is_complete else f"{head}\n{self.diagnostics}"

    # ------------------------------------------------------------------ inside

    def _kept(self, chunk: int) -> int:
        """Samples of a chunk, per temperature, that count towards ``n_samples``."""
        size = self.attributes["chains_per_chunk"] * self.attributes["n_records"]
        return min(size, self.attributes["n_samples"] - chunk * size)

    def _block(self, name: str, chunk: int) -> np.ndarray:
        size = self.attributes["chains_per_chunk"]
        try:
            return self._group[name][:, chunk * size : (chunk + 1) * size]
        except Exception as error:
            raise CorruptStoreError(
                f"chunk {chunk} of {self.path} cannot be read ({name}: {error}); verify() tells "
                "what is damaged",
                (chunk,),
            ) from error

    def _flat(self, chunk: int) -> np.ndarray:
        x = self._block("x", chunk)
        return x.reshape(x.shape[0], -1, *x.shape[3:])[:, : self._kept(chunk)]

    def _is_drawn(self, chunk: int) -> bool:
        return drawing.is_drawn(self.path, self._arrays, chunk)

    def _require(self, chunks: range) -> None:
        missing = [c for c in chunks if not self._is_drawn(c)]
        if missing:
            raise ValueError(
                f"the store {self.path} is not complete: {len(missing)} of {len(chunks)} chunks "
                "are missing; call resume()"
            )

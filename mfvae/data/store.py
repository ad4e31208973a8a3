"""Equilibrium samples on disk: drawn in parallel, resumable, verified, split by whole chains."""

import json
import math
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from joblib import Parallel, delayed

from mfvae import __version__
from mfvae._progress import progress_bar
from mfvae._validation import (
    check_count,
    check_fraction,
    check_path,
    check_seed,
    check_temperatures,
)
from mfvae.data._store_files import DRAWN, StoreFiles, attributes_sha256, describe, staging
from mfvae.data.diagnostics import OBSERVABLES, ChainDiagnostics, NotEquilibratedWarning, diagnose
from mfvae.systems.base import System

__all__ = ["CorruptStoreError", "EquilibriumSamples"]

FORMAT = ("mfvae equilibrium samples", 1)
_CHUNK_BYTES = 32 * 2**20
_SHORTEST_CHAIN = 25


class CorruptStoreError(ValueError):
    """A store whose bytes are not what was written; ``chunks`` lists the damaged chunks."""

    def __init__(self, message: str, chunks: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.chunks = chunks


class EquilibriumSamples:
    """Equilibrium configurations of one system on a grid of temperatures, in a Zarr 3 store.

    A chunk is a block of independent chains at *all* temperatures (replica exchange runs over
    them), drawn with a seed of its own, so that the bytes of a store depend on its configuration
    and seed alone: not on the number of workers, nor on interruptions. The store holds the arrays
    ``x`` (n_temperatures, n_chains, n_records, n_sites[, 3]), ``energy`` and ``order_parameter``
    along the chains, for each chunk its ``seed`` and the SHA-256 ``checksum`` of its files, and
    the ``diagnostics`` of equilibration. Files appear under their names only when complete.

    ``temperatures`` is float64 (n_temperatures,) in units of J/k_B, ``n_samples`` the samples per
    temperature of the store or of this part of a split, ``n_chunks`` those of the whole store.

    >>> import tempfile, mfvae
    >>> folder, magnet = tempfile.TemporaryDirectory(), mfvae.systems.CurieWeiss(16)
    >>> path = folder.name + "/magnet"
    >>> samples = EquilibriumSamples.create(path, magnet, [0.8, 1.2], 1000, seed=0, progress=False)
    >>> samples.verify()
    >>> train, validation = samples.split(0.1)
    >>> x, temperature = train.arrays()
    >>> x.shape, temperature.shape
    ((1800, 16), (1800,))
    >>> folder.cleanup()
    """

    def __init__(self, path: Path, system: Any = None, chunks: range | None = None) -> None:
        self.path, self._system = check_path(path), system
        try:
            self._group = zarr.open_group(self.path, mode="r", zarr_format=3)
            attributes = self.attributes = dict(self._group.attrs)
            recognised = (attributes.get("format"), attributes.get("version")) == FORMAT
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no store of samples at {path}") from None
        except Exception as error:
            raise CorruptStoreError(f"{path} is not a readable store: {error}") from error
        if not recognised:
            raise ValueError(f"{path} is not one of equilibrium samples that this mfvae reads")
        if attributes.get("attributes_sha256") != attributes_sha256(attributes):
            raise CorruptStoreError(f"{path} is damaged: zarr.json does not match its checksum")
        self._files = StoreFiles(self.path, attributes)
        self.temperatures = np.array(attributes["temperatures"])
        self.n_chunks = self._files.n_chunks
        if not (chunks is None or isinstance(chunks, range)):
            raise TypeError(f"chunks must be a range or None, got {chunks!r}")
        if not (system is None or hasattr(system, "sample_chains")):
            raise TypeError(f"system must have a method sample_chains or be None: {system!r}")
        self._chunks = range(self.n_chunks) if chunks is None else chunks
        per_chunk = attributes["chains_per_chunk"] * attributes["n_records"]
        start, stop = self._chunks.start * per_chunk, self._chunks.stop * per_chunk
        self.n_samples = min(stop, attributes["n_samples"]) - start

    @classmethod
    def create(
        cls,
        path: str | os.PathLike,
        system: Any,
        temperatures: Any,
        n_samples: int,
        *,
        seed: int | np.random.SeedSequence,
        n_jobs: int = 1,
        n_chains: int | None = None,
        exist_ok: bool = False,
        progress: bool = True,
        **options: Any,
    ) -> Self:
        """Draw samples and store them; interrupted, the store is completed by :meth:`resume`.

        Warns with :class:`NotEquilibratedWarning` if chains drift, disagree, or are short against
        their autocorrelation time. A ``path`` that exists (with ``exist_ok``: and holds anything
        else) is a FileExistsError, one that cannot be written an OSError.

        Args:
            path: Folder of the new store.
            system: What to sample; its ``sample_chains`` draws.
            temperatures: ``(n_temperatures,)``, units of J/k_B.
            n_samples: Samples per temperature.
            seed: The same seed gives the same bytes, whatever the number of workers.
            n_jobs: Worker processes; -1 for one on each core.
            n_chains: Independent chains at each temperature, rounded up to whole chunks of 4 (of
                ``system.chains_per_chunk`` if the system has a preference). By default 20 chunks;
                more if one would exceed 32 MiB, fewer if a chain would be shorter than 25 records.
            exist_ok: Take a store that is there already, if it has this very configuration and
                seed, and complete it if it was interrupted.
            progress: Show a progress bar.
            **options: For ``sample_chains``, ready for JSON: ``burn_in`` (sweeps before the first
                record), ``thinning`` (sweeps between records), and what else it takes.
        """
        if (path := check_path(path)).exists() and not exist_ok:
            raise FileExistsError(f"{path} exists already; EquilibriumSamples.open opens it")
        if not hasattr(system, "sample_chains"):
            raise TypeError(f"system must have a method sample_chains: {type(system).__name__}")
        temperatures, single = check_temperatures(temperatures, "temperatures")
        if single:
            raise ValueError("temperatures must be an array; give one as [temperature]")
        n_samples, seed = check_count(n_samples, "n_samples"), check_seed(seed)
        n_jobs = check_count(n_jobs, "n_jobs", minimum=-1) or check_count(n_jobs, "n_jobs")
        for name, minimum in (("burn_in", 0), ("thinning", 1)):
            if name in options:
                options[name] = check_count(options[name], name, minimum=minimum)
        once = options | {"burn_in": 1, "thinning": 1}
        probe = system.sample_chains(temperatures[:1], 1, 1, seed=0, **once)[0, 0]
        size = getattr(system, "chains_per_chunk", 4)
        if n_chains is None:
            n_chunks = min(20, max(2, n_samples // (size * _SHORTEST_CHAIN)))
            n_bytes = n_samples * len(temperatures) * probe.nbytes
            n_chunks = max(n_chunks, math.ceil(n_bytes / _CHUNK_BYTES))
        else:
            n_chunks = math.ceil(check_count(n_chains, "n_chains") / size)
        n_records = math.ceil(n_samples / (n_chunks * size))
        schedule, given = None, [options.get("burn_in"), options.get("thinning")]
        if None not in given:
            schedule = [given] * len(temperatures)
        elif hasattr(system, "schedule"):
            others = {k: v for k, v in options.items() if k not in ("burn_in", "thinning")}
            pairs = (system.schedule(float(t), **others) for t in temperatures)
            schedule = [
                [own if g is None else g for g, own in zip(given, p, strict=True)] for p in pairs
            ]
        attributes = {
            "format": FORMAT[0],
            "version": FORMAT[1],
            "system": system.configuration(),
            "temperatures": temperatures,
            "n_samples": n_samples,
            "n_chains": math.ceil(n_samples / (n_records * size)) * size,
            "chains_per_chunk": size,
            "n_records": n_records,
            "options": options,
            "seed": {k: getattr(seed, k) for k in ("entropy", "spawn_key", "pool_size")},
            "schedule": schedule,
            "mfvae": __version__,
        }
        attributes["arrays"] = describe(attributes, system, probe)
        attributes = json.loads(json.dumps(attributes, default=_plain))
        if path.exists():
            try:
                there = cls(path, system)
            except (OSError, ValueError) as error:
                raise FileExistsError(f"{path} holds no usable store: {error}") from error
            others = attributes.keys() - {"mfvae"}
            if other := sorted(k for k in others if there.attributes.get(k) != attributes[k]):
                raise FileExistsError(f"{path} is another store: it differs in {', '.join(other)}")
            return there.resume(n_jobs=n_jobs, progress=progress)
        with staging(path) as workspace:
            files = StoreFiles(path, attributes)
            group, _, folder = files.create(workspace)
            attributes["metadata_sha256"] = files.metadata_sha256(folder)
            attributes["attributes_sha256"] = attributes_sha256(attributes)
            group.update_attributes(attributes)
            os.rename(folder, path)
            samples = cls(path, system)
            samples._draw(workspace, n_jobs, progress)
        return samples._warn()

    @classmethod
    def open(cls, path: str | os.PathLike, *, system: Any = None) -> Self:
        """Open a store for reading; warns if its data are not equilibrated.

        ``system`` is needed only for one that is not part of ``mfvae.systems``.
        """
        return cls(path, system)._warn()

    def resume(self, *, n_jobs: int = 1, progress: bool = True) -> Self:
        """Draw the chunks that are missing, then compute the diagnostics; return the store.

        A chunk counts as drawn when its checksum and all of its files are there. CorruptStoreError
        if one of those is damaged: see :meth:`repair`.
        """
        if self.is_complete and not self.path.with_name(self.path.name + ".partial").exists():
            self.verify()
        else:  # or a kill left something there after the last chunk
            with staging(self.path) as workspace:
                self._draw(workspace, n_jobs, progress)
        return self._warn()

    def repair(self, *, n_jobs: int = 1, progress: bool = True) -> Self:
        """Draw damaged chunks again, bit for bit, and what else is damaged; return the store."""
        with staging(self.path) as workspace:
            self._files.repair_metadata(workspace)
            drawn = (c for c in range(self.n_chunks + 1) if self._files.is_drawn(c))
            for chunk in [c for c in drawn if self._files.damage(c)]:
                *_, record = self._files.names(chunk).values()
                (self.path / record).unlink()
                (self.path / self._files.names(self.n_chunks)["checksum"]).unlink(missing_ok=True)
            self._draw(workspace, n_jobs, progress)
        return self._warn()

    def _draw(self, workspace: Path, n_jobs: int, progress: bool) -> None:
        todo = [c for c in range(self.n_chunks) if not self._files.is_drawn(c)]
        self._check(c for c in range(self.n_chunks) if c not in todo)
        tasks = (delayed(self._files.draw)(self.system, c, workspace) for c in todo)
        with progress_bar(len(todo), "chunks", show=progress) as bar:
            for _ in Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks):
                bar.update()
        # A temperature at a time, in little memory.
        grid = range(len(self.temperatures))
        table = [[diagnose(self._group[name][t]) for name in OBSERVABLES] for t in grid]
        self._files.write(self.n_chunks, {"diagnostics": np.array(table)}, workspace)

    def verify(self) -> None:
        """Compare every file with its checksum.

        The CorruptStoreError, a ValueError, names damaged files and, in ``.chunks``, the chunks.
        """
        try:
            EquilibriumSamples(self.path)
        except (OSError, ValueError) as error:
            raise CorruptStoreError(str(error)) from error
        self._require(range(self.n_chunks + 1))
        self._check(range(self.n_chunks + 1))

    def _check(self, chunks: Iterable[int], read: tuple[str, ...] = DRAWN) -> None:
        """Raise CorruptStoreError if metadata, or what is to be read of some chunks, is damaged."""
        bad = self._files.damaged_metadata()
        problems = [f"{name}/zarr.json does not match its checksum" for name in bad]
        damage = {} if bad else {c: self._files.damage(c, read) for c in chunks}
        if problems := problems + [problem for found in damage.values() for problem in found]:
            names = tuple(c for c, found in damage.items() if found and c < self.n_chunks)
            reason = f"{self.path} is damaged: {'; '.join(problems)}. repair() draws it again."
            raise CorruptStoreError(reason, names)

    @property
    def system(self) -> Any:
        """The system that was sampled, built from the stored configuration."""
        if self._system is None:
            self._system = System.from_configuration(self.attributes["system"])
        return self._system

    @property
    def is_complete(self) -> bool:
        """Whether all chunks and the diagnostics are drawn."""
        return all(self._files.is_drawn(c) for c in range(self.n_chunks + 1))

    @property
    def diagnostics(self) -> ChainDiagnostics:
        """Autocorrelation times, effective sample sizes, R-hat and drift of the whole store."""
        self._require(range(self.n_chunks + 1))
        self._check([self.n_chunks])
        table = self._group["diagnostics"][...]
        n_chains, n_records, *components = self._group["order_parameter"].shape[1:]
        counts = n_chains, n_records, math.prod(components)
        return ChainDiagnostics(self.temperatures, table, *counts, self.attributes["schedule"])

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all samples and their temperatures, ready for ``vae.fit(x, conditions=…)``.

        The samples are ``(n_temperatures · n_samples, n_sites[, 3])``, spins int8 or directors
        float32, all of the first temperature, then all of the second, and so on; temperatures are
        float64 ``(n_temperatures · n_samples,)``, units of J/k_B. CorruptStoreError if a file does
        not match its checksum, which is compared at every reading.
        """
        self._require(self._chunks)
        self._check(self._chunks, ("x",))
        size = self.attributes["chains_per_chunk"]
        x = self._group["x"][:, self._chunks.start * size : self._chunks.stop * size]
        x = x.reshape(len(x), -1, *x.shape[3:])[:, : self.n_samples]
        return x.reshape(-1, *x.shape[2:]), np.repeat(self.temperatures, self.n_samples)

    def split(self, validation: float = 0.1) -> tuple[Self, Self]:
        """Return two views of the store that share no chunk, so that no chain is on both sides.

        The second is the last chunks, which are independent of the others: the fraction
        ``validation`` of all, strictly between 0 and 1, rounded to whole chunks (at least one).
        """
        validation = check_fraction(validation, "validation")
        n = len(chunks := self._chunks)
        if n < 2:
            raise ValueError("a single chunk of chains cannot be split; use more chains")
        cut = n - min(max(1, round(validation * n)), n - 1)
        return tuple(type(self)(self.path, self._system, c) for c in (chunks[:cut], chunks[cut:]))

    def __repr__(self) -> str:
        samples = f"{len(self.temperatures)} temperatures × {self.n_samples} samples"
        system = self.attributes["system"]["class"]
        head = f"EquilibriumSamples of {system}: {samples} in {len(self._chunks)} chunks"
        if len(self._chunks) < self.n_chunks:
            return f"{head} (part of a split)"
        return f"{head}\n{self.diagnostics if self.is_complete else 'incomplete: call resume()'}"

    def _require(self, chunks: range) -> None:
        if missing := [c for c in chunks if not self._files.is_drawn(c)]:
            raise ValueError(f"{self.path} is not complete, chunks {missing} lack: call resume()")

    def _warn(self) -> Self:
        """Say so if the samples are not equilibrated, or if that cannot be known."""
        if self.is_complete:
            try:
                message, kind = self.diagnostics.warning(), NotEquilibratedWarning
            except CorruptStoreError as error:
                message, kind = str(error), UserWarning
            if message:
                warnings.warn(f"{self.path}: {message}", kind, stacklevel=3)
        return self


def _plain(item: Any) -> Any:
    if isinstance(item, (np.ndarray, np.generic)):
        return item.tolist()
    raise TypeError(f"{type(item).__name__} cannot be stored as JSON: {item!r}")

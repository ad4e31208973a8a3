"""Equilibrium samples on disk: drawn in parallel, resumable, verified, split by whole chains."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from tqdm.auto import tqdm

import mfvae
from mfvae._validation import check_count, check_seed, check_temperatures
from mfvae.data import _store_drawing as drawing
from mfvae.data import _store_files as files
from mfvae.data._store_view import FORMAT, VERSION, CorruptStoreError, StoredSamples
from mfvae.data.diagnostics import NotEquilibratedWarning

__all__ = ["CorruptStoreError", "EquilibriumSamples"]


class EquilibriumSamples(StoredSamples):
    """Equilibrium configurations of one system on a grid of temperatures, in a Zarr 3 store.

    A chunk is a block of independent chains at *all* temperatures (replica exchange runs over
    them), drawn with a seed of its own, so that the bytes of a store depend on its
    configuration and seed alone: not on the number of workers, nor on interruptions. The store
    holds the arrays ``x`` (n_temperatures, n_chains, n_records, n_sites[, 3]), ``energy`` and
    ``order_parameter`` along the chains, for each chunk its ``seed`` and the SHA-256
    ``checksum`` of its files, and the ``diagnostics`` of equilibration. Files appear under
    their names only when they are complete.

    Make one with :meth:`create`, open one with :meth:`open`.

    >>> import tempfile, mfvae
    >>> folder = tempfile.TemporaryDirectory()
    >>> samples = EquilibriumSamples.create(
    ...     folder.name + "/cw.zarr", mfvae.systems.CurieWeiss(16), [0.8, 1.2], 1000, seed=0,
    ...     progress=False,
    ... )
    >>> train, validation = samples.split(0.1)
    >>> x, temperature = train.arrays()
    >>> x.shape, temperature.shape
    ((1800, 16), (1800,))
    >>> samples.verify()
    >>> folder.cleanup()
    """

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
        chains_per_chunk: int | None = None,
        burn_in: int | None = None,
        thinning: int | None = None,
        options: dict[str, Any] | None = None,
        exist_ok: bool = False,
        progress: bool = True,
    ) -> EquilibriumSamples:
        """Draw samples and store them; interrupted, the store is completed by :meth:`resume`.

        Args:
            path (path): Folder of the new store.
            system (System): What to sample; its ``sample_chains`` draws.
            temperatures (array_like, (n_temperatures,)): Units of J/k_B.
            n_samples (int): Samples per temperature.
            seed (int or numpy.random.SeedSequence): The same seed gives the same bytes, whatever
                the number of workers.
            n_jobs (int): Worker processes (joblib's convention: -1 for one on each core).
            n_chains, chains_per_chunk (int): Independent chains at each temperature, rounded up to
                whole chunks, and how many of them a chunk holds. By default 20 chunks of 4 chains
                (of ``system.chains_per_chunk`` if the system has a preference); more chunks if one
                would exceed 32 MiB, fewer if a chain would be shorter than 25 records.
            burn_in, thinning (int or None): Handed to the sampler: sweeps before the first record
                and between records; None for its defaults.
            options (dict or None): More keyword arguments of ``sample_chains``, ready for JSON.
            exist_ok (bool): Accept a store that is already there, if it has this very configuration
                and seed, and complete it if it was interrupted.
            progress (bool): Show a progress bar.

        Returns:
            samples : EquilibriumSamples

        Raises:
            FileExistsError: If ``path`` exists (with ``exist_ok``: and holds anything else).
            OSError: If ``path`` cannot be written, e.g. ``PermissionError`` in a read-only folder.
            TypeError, ValueError: For a system without ``sample_chains`` and bad arguments.

        Warns:
            NotEquilibratedWarning: If chains drift, disagree, or are short against their
                autocorrelation time.
        """
        path = Path(path)
        for method in ("sample_chains", "configuration", "energy", "order_parameter"):
            if not hasattr(system, method):
                raise TypeError(f"system must have a method {method}, got {type(system).__name__}")
        temperatures, single = check_temperatures(temperatures, "temperatures")
        if single:
            raise ValueError("temperatures must be an array; give one as [temperature]")
        n_samples = check_count(n_samples, "n_samples")
        if chains_per_chunk is None:
            chains_per_chunk = getattr(system, "chains_per_chunk", 4)
        chains_per_chunk = check_count(chains_per_chunk, "chains_per_chunk")
        options = dict(options or {})
        if burn_in is not None:
            options["burn_in"] = check_count(burn_in, "burn_in", minimum=0)
        if thinning is not None:
            options["thinning"] = check_count(thinning, "thinning")
        seed = check_seed(seed)
        n_jobs = _check_jobs(n_jobs)

        if n_chains is not None:
            n_chains = check_count(n_chains, "n_chains")

        once = options | {"burn_in": 1, "thinning": 1}
        probe = system.sample_chains(temperatures[:1], 1, 1, seed=0, **once)[0, 0]
        sample_bytes = len(temperatures) * probe.nbytes
        n_chunks, n_records = drawing.layout(n_samples, n_chains, chains_per_chunk, sample_bytes)
        attributes = {
            "format": FORMAT,
            "version": VERSION,
            "system": drawing.plain(system.configuration()),
            "temperatures": temperatures.tolist(),
            "n_samples": n_samples,
            "n_chains": n_chunks * chains_per_chunk,
            "chains_per_chunk": chains_per_chunk,
            "n_records": n_records,
            "options": drawing.plain(options),
            "seed": {
                "entropy": drawing.plain(seed.entropy),
                "spawn_key": drawing.plain(seed.spawn_key),
                "pool_size": seed.pool_size,
            },
        }
        if path.exists():
            existing = cls._existing(path, attributes, exist_ok)
            existing._system = system
            return existing.resume(n_jobs=n_jobs, progress=progress)
        attributes["schedule"] = drawing.schedule(system, temperatures, options)
        attributes["mfvae"] = mfvae.__version__
        attributes["arrays"] = drawing.plain(drawing.describe(attributes, system, probe))
        with files.staging(path) as workspace:
            files.create_skeleton(workspace / "store", attributes["arrays"], attributes)
            os.rename(workspace / "store", path)
        return cls(path, system).resume(n_jobs=n_jobs, progress=progress)

    @classmethod
    def _existing(cls, path: Path, attributes: dict, exist_ok: bool) -> EquilibriumSamples:
        if not exist_ok:
            raise FileExistsError(
                f"{path} exists already; open it with EquilibriumSamples.open, or complete it with "
                "create(..., exist_ok=True)"
            )
        try:
            existing = cls(path)
        except (ValueError, FileNotFoundError) as error:
            raise FileExistsError(f"{path} exists and is no usable store: {error}") from error
        different = [k for k, v in attributes.items() if existing.attributes.get(k) != v]
        if different:
            raise FileExistsError(f"{path} holds other samples: they differ in {different}")
        return existing

    @classmethod
    def open(cls, path: str | os.PathLike, *, system: Any = None) -> EquilibriumSamples:
        """Open a store for reading; warns if its data are not equilibrated.

        Args:
            path (path): Folder of the store.
            system (System or None): Only for a system that is not part of ``mfvae.systems``.

        Raises:
            FileNotFoundError, ValueError: If there is no store, or it is not readable as one.
        """
        samples = cls(Path(path), system)
        samples._warn()
        return samples

    def resume(self, *, n_jobs: int = 1, progress: bool = True) -> EquilibriumSamples:
        """Draw the chunks that are missing, then compute the diagnostics; return the store.

        A chunk counts as drawn when its checksum and all of its files are there.
        Arguments, errors and warnings as in :meth:`create`.
        """
        n_jobs = _check_jobs(n_jobs)
        if not self.is_complete:
            with files.staging(self.path) as workspace:
                todo = [c for c in range(self.n_chunks) if not self._is_drawn(c)]
                place = (self.path, self._arrays)
                what = (self.attributes, self.system)
                tasks = (delayed(drawing.draw_chunk)(*place, *what, c, workspace) for c in todo)
                done = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks)
                for _ in tqdm(done, total=len(todo), desc="chunks", disable=not progress):
                    pass
                drawing.write_diagnostics(*place, self._group, workspace)
        self._warn()
        return self

    def verify(self) -> None:
        """Compare every file with its checksum.

        Raises:
            CorruptStoreError: (a ``ValueError``) that names the damaged files and, in ``.chunks``,
                the chunks.
            ValueError: If the store is not complete.
        """
        problems, chunks = self._metadata_damage(), []
        if not problems:
            self._require(range(self.n_chunks + 1))
            for chunk in range(self.n_chunks + 1):
                found = drawing.find_damage(self.path, self._arrays, self.attributes, chunk)
                problems += found
                if found and chunk < self.n_chunks:
                    chunks.append(chunk)
        if problems:
            raise CorruptStoreError(
                f"the store {self.path} is damaged:\n  " + "\n  ".join(problems), tuple(chunks)
            )

    def _metadata_damage(self) -> list[str]:
        problems = []
        try:
            StoredSamples(self.path)
        except ValueError:
            problems.append("zarr.json does not match its checksum")
        for name, expected in self.attributes["metadata_sha256"].items():
            file = self.path / name / "zarr.json"
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
                problems.append(f"{name}/zarr.json does not match its checksum")
        return problems

    def _warn(self) -> None:
        if not drawing.is_drawn(self.path, self._arrays, self.n_chunks):
            return
        try:
            message, kind = self.diagnostics.warning(), NotEquilibratedWarning
        except CorruptStoreError as error:
            message, kind = f"{error}; verify() tells what is damaged", UserWarning
        if message:
            warnings.warn(f"{self.path}: {message}", kind, stacklevel=3)


def _check_jobs(n_jobs: int) -> int:
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)):
        raise TypeError(f"n_jobs must be an integer, got {type(n_jobs).__name__}: {n_jobs!r}")
    if n_jobs == 0:
        raise ValueError("n_jobs must not be 0; -1 stands for one worker on each core")
    return int(n_jobs)

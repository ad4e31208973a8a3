"""The salamander recording: find it or fetch it, verify, split; else a labelled surrogate.

160 ganglion cells of a salamander retina, 297 repeats of a 19 s natural movie, 953 bins of
20 ms; O. Marre, G. Tkačik, D. Amodei, E. Schneidman, W. Bialek and M. J. Berry II,
doi:10.15479/AT:ISTA:61, recorded for Tkačik et al., PLoS Comput. Biol. 10, e1003408 (2014).
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import scipy.io

from mfvae._validation import check_choice, check_fraction, check_number, check_seed
from mfvae.data._retina_download import (
    FILE_BYTES,
    FILE_NAME,
    FILE_SHA256,
    DownloadError,
    download_retina,
    retina_cache,
)
from mfvae.data.spikes import bin_spikes
from mfvae.data.surrogate import sample_surrogate

__all__ = ["RetinaWords", "load_retina", "words_from_spikes"]

_SHAPE = (297, 953, 160)
_CITATION = "Marre et al., salamander retina, doi:10.15479/AT:ISTA:61"


@dataclass(frozen=True, eq=False)
class RetinaWords:
    """Binary words of a population of cells, by trial and time bin.

    Attributes:
        words (ndarray, uint8 (n_trials, n_bins, n_cells)): 1 where a cell fired at least once in a
            bin.
        source (str): Where the words come from, in a sentence fit for a figure's caption.
        sha256 (str): Checksum of the recording's file, or of the words themselves if they come from
            elsewhere.
        bin_width (float): Width of a time bin in seconds.
        is_surrogate (bool): Whether the words are drawn from a fitted model and not recorded.
    """

    words: np.ndarray = field(repr=False)
    source: str
    sha256: str
    bin_width: float = 0.02
    is_surrogate: bool = False

    def __post_init__(self) -> None:
        words = np.asarray(self.words)
        if words.ndim != 3 or words.size == 0:
            raise ValueError(
                f"words must have shape (n_trials, n_bins, n_cells), got {words.shape}"
            )
        if words.dtype.kind not in "bui" or words.max() > 1 or words.min() < 0:
            raise ValueError("words must hold the integers 0 (silent) and 1 (spike) only")
        object.__setattr__(self, "words", words.astype(np.uint8, copy=False))
        check_number(self.bin_width, "bin_width", positive=True)

    @property
    def n_trials(self) -> int:
        """Number of repeats."""
        return self.words.shape[0]

    @property
    def n_bins(self) -> int:
        """Number of time bins a trial."""
        return self.words.shape[1]

    @property
    def n_cells(self) -> int:
        """Number of cells: the length of a word."""
        return self.words.shape[2]

    def flat(self) -> np.ndarray:
        """Return all words in trial-major order, uint8 (n_trials · n_bins, n_cells)."""
        return self.words.reshape(-1, self.n_cells)

    def split_rows(
        self, by: str = "bins", test: float = 0.1, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of :meth:`flat` for training and for testing, int64.

        The trial of a row is ``row // n_bins``, its time bin ``row % n_bins``: the groups
        that an interval for a held-out likelihood has to respect. Arguments as in
        :meth:`split`.
        """
        by = check_choice(by, "by", ("bins", "trials", "movie"))
        test = check_fraction(test, "test")
        rng = np.random.default_rng(check_seed(seed))
        rows = np.arange(self.n_trials * self.n_bins).reshape(self.n_trials, self.n_bins)
        n = {"bins": rows.size, "trials": self.n_trials, "movie": self.n_bins}[by]
        n_test = int(n * test + 1e-9)
        if n_test == 0 or n_test == n:
            raise ValueError(f"test = {test} of {n} {by} leaves nothing on one side")
        if by == "movie":
            return rows[:, :-n_test].reshape(-1), rows[:, -n_test:].reshape(-1)
        order = rng.permutation(n)
        if by == "bins":
            return order[n_test:], order[:n_test]
        chosen = np.zeros(n, dtype=bool)
        chosen[order[:n_test]] = True
        return rows[~chosen].reshape(-1), rows[chosen].reshape(-1)

    def split(
        self, by: str = "bins", test: float = 0.1, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Split the words into a training and a test set.

        Args:
            by ({"bins", "trials", "movie"}): ``"bins"``: random words, the test words being the
                first ``test · n`` of ``numpy.random.default_rng(seed).permutation(n)`` in
                trial-major order. Every frame of the movie is then on both sides, which leaks the
                stimulus. ``"trials"``: random whole trials. ``"movie"``: the last bins of every
                trial, a piece of the movie that training never sees.
            test (float): Fraction, strictly between 0 and 1, of the bins, trials or movie held out.
            seed (int or numpy.random.SeedSequence): Seed of the permutation; without effect on
                ``"movie"``.

        Returns:
            train, test : ndarray, uint8 (n, n_cells)
        """
        train, held_out = self.split_rows(by, test, seed)
        flat = self.flat()
        return flat[train], flat[held_out]


def load_retina(path: str | os.PathLike | None = None, *, seed: int = 0) -> RetinaWords:
    """Load the recording of 160 salamander ganglion cells, or a labelled surrogate.

    Looks at ``path``; else in the folder ``MFVAE_DATA`` (an environment variable) for
    ``retina/bint_fishmovie32_100.mat``; else in the user's cache, where
    ``python -m mfvae.data.retina`` puts it. Found nowhere, and with no ``path`` given, words
    of the same shape are drawn from a fitted mixture and labelled as a surrogate. The
    network is never touched.

    Args:
        path (path or None): The MATLAB file, or a folder that holds it (possibly in a folder
            ``retina``).
        seed (int): Seed of the surrogate.

    Returns:
        retina : RetinaWords: Words uint8 (297, 953, 160) in bins of 20 ms, with their source and
            checksum.

    Raises:
        FileNotFoundError: If ``path`` is given and there is no such file.
        ValueError: If the file found is not the recording: names both checksums and both sizes.

    >>> retina = load_retina()
    >>> retina.words.shape
    (297, 953, 160)
    """
    if path is not None:
        file = Path(path)
        if file.is_dir():
            inside = [file / FILE_NAME, file / "retina" / FILE_NAME]
            file = next((candidate for candidate in inside if candidate.exists()), inside[0])
        if not file.exists():
            raise FileNotFoundError(f"no retina recording at {file}")
        return _read(file)
    candidates = [retina_cache() / FILE_NAME]
    if folder := os.environ.get("MFVAE_DATA"):
        candidates.insert(0, Path(folder) / "retina" / FILE_NAME)
    for file in candidates:
        if file.exists():
            return _read(file)
    words = sample_surrogate(int(np.prod(_SHAPE[:2])), seed=seed).reshape(_SHAPE)
    return RetinaWords(
        words,
        "SURROGATE, not recorded: independent words drawn from a mixture of Bernoulli products "
        f"fitted to the recording ({_CITATION})",
        hashlib.sha256(words).hexdigest(),
        is_surrogate=True,
    )


def words_from_spikes(
    trials: Sequence[Sequence[np.ndarray]],
    *,
    stop: float,
    start: float = 0.0,
    bin_width: float = 0.02,
    source: str = "a reader's own recording",
) -> RetinaWords:
    """Bin a recording given by spike times, any number of trials, into words.

    Args:
        trials (sequence over trials of sequences over cells of arrays): Spike times in seconds from
            the beginning of each trial; a single continuous recording is one trial.
        stop, start (float): Window of every trial, in seconds.
        bin_width (float): Width of a bin in seconds.
        source (str): A sentence that names the recording.

    Returns:
        words : RetinaWords: Words uint8 (n_trials, n_bins, n_cells); binned as in
            :func:`bin_spikes`.

    >>> own = words_from_spikes([[[0.01], [0.03]], [[], [0.01, 0.035]]], stop=0.04)
    >>> own.words.shape, own.flat().tolist()
    ((2, 2, 2), [[1, 0], [0, 1], [0, 1], [0, 1]])
    """
    if len(trials) == 0:
        raise ValueError("trials must hold at least one trial")
    n_cells = {len(cells) for cells in trials}
    if len(n_cells) != 1:
        raise ValueError(f"every trial must have the same number of cells, got {sorted(n_cells)}")
    words = np.stack(
        [bin_spikes(cells, start=start, stop=stop, bin_width=bin_width) for cells in trials]
    )
    return RetinaWords(words, source, hashlib.sha256(words).hexdigest(), bin_width)


def _read(file: Path) -> RetinaWords:
    content = file.read_bytes()
    checksum = hashlib.sha256(content).hexdigest()
    if checksum != FILE_SHA256:
        kind = "cut short" if len(content) < FILE_BYTES else "another file"
        raise ValueError(
            f"{file} is not the retina recording ({kind}): its sha256 is {checksum} "
            f"({len(content)} bytes), expected {FILE_SHA256} ({FILE_BYTES} bytes). Delete it and "
            "fetch it again with `python -m mfvae.data.retina`."
        )
    spikes = scipy.io.loadmat(io.BytesIO(content), variable_names=["bint"])["bint"]
    words = np.ascontiguousarray(spikes.transpose(0, 2, 1))
    return RetinaWords(words, f"recording: {_CITATION}", checksum)


if __name__ == "__main__":
    try:
        print(f"{download_retina()} is in place, its checksum is right")
    except DownloadError as error:
        raise SystemExit(f"error: {error}") from None

"""The salamander recording: find it or fetch it, verify, split; else a labelled surrogate.

160 ganglion cells of a salamander retina, 297 repeats of a 19 s natural movie, 953 bins of
20 ms; O. Marre, G. Tkačik, D. Amodei, E. Schneidman, W. Bialek and M. J. Berry II,
doi:10.15479/AT:ISTA:61, recorded for Tkačik et al., PLoS Comput. Biol. 10, e1003408 (2014).
"""

import hashlib
import os
import re
import tempfile
import threading
import time
import urllib.parse
import zipfile
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pooch
import requests
import scipy.io
from scipy.special import expit

from mfvae._validation import check_choice, check_fraction, check_number, check_path, check_seed

__all__ = ["RetinaWords", "download_retina", "load_retina"]

FILE_NAME = "bint_fishmovie32_100.mat"
FILE_SHA256 = "50fa85a05950b76033809c8468f70c91fcd0c76d04587a685c1b76085f7f4dae"
FILE_BYTES = 1_336_936
MOST_BYTES = 64_000_000
#: Tried in turn: the record of the publisher (by its DOI, since file addresses move) and the copy
#: on figshare. Whatever an address delivers, only the file with the right checksum is kept.
URLS = (
    "https://doi.org/10.15479/AT:ISTA:61",
    "https://figshare.com/ndownloader/articles/5009840/versions/1",
)
SURROGATE = Path(__file__).with_name("retina_surrogate.npz")
LOGIT_STEP, LOGIT_LOWEST = 1 / 12, -10.0  # logits are stored in one byte
_SHAPE = (297, 953, 160)
_CITATION = "Marre et al., salamander retina, doi:10.15479/AT:ISTA:61"


@dataclass(frozen=True, eq=False)
class RetinaWords:
    """Binary words of a population of cells, by trial and time bin.

    Attributes:
        words: uint8 ``(n_trials, n_bins, n_cells)``, 1 where a cell fired at least once in a bin.
        source: Where the words come from, in a sentence fit for a figure's caption.
        sha256: Checksum of the recording's file, or of the words if they come from elsewhere.
        bin_width: Width of a time bin in seconds.
        is_surrogate: Whether the words are drawn from a fitted model and not recorded.
    """

    words: np.ndarray = field(repr=False)
    source: str
    sha256: str
    bin_width: float = 0.02
    is_surrogate: bool = False

    def __post_init__(self) -> None:
        words = np.asarray(self.words)
        if words.ndim != 3 or words.size == 0:
            raise ValueError(f"words need shape (n_trials, n_bins, n_cells), got {words.shape}")
        if words.dtype.kind not in "bui" or words.max() > 1 or words.min() < 0:
            raise ValueError("words must hold the integers 0 (silent) and 1 (spike) only")
        object.__setattr__(self, "words", words.astype(np.uint8, copy=False))

    n_trials = property(lambda self: self.words.shape[0], doc="Number of repeats.")
    n_bins = property(lambda self: self.words.shape[1], doc="Number of time bins a trial.")
    n_cells = property(lambda self: self.words.shape[2], doc="Length of a word.")

    def flat(self) -> np.ndarray:
        """Return all words in trial-major order, uint8 ``(n_trials · n_bins, n_cells)``."""
        return self.words.reshape(-1, self.n_cells)

    def split_rows(
        self, by: str = "bins", test: float = 0.1, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of :meth:`flat` on either side of :meth:`split`, int64.

        Row r is of trial ``r // n_bins`` and bin ``r % n_bins``: groups that an interval respects.
        """
        by = check_choice(by, "by", ("bins", "trials", "movie"))
        test = check_fraction(test, "test")
        rng = np.random.default_rng(check_seed(seed))
        rows = np.arange(self.n_trials * self.n_bins).reshape(self.n_trials, self.n_bins)
        n = {"bins": rows.size, "trials": self.n_trials, "movie": self.n_bins}[by]
        n_test = int(n * test + 1e-9)
        if n_test in (0, n):
            raise ValueError(f"test = {test} of {n} {by} leaves nothing on one side")
        if by == "movie":
            return rows[:, :-n_test].reshape(-1), rows[:, -n_test:].reshape(-1)
        order = rng.permutation(n)
        sides = order[n_test:], order[:n_test]
        return sides if by == "bins" else tuple(rows[np.sort(s)].reshape(-1) for s in sides)

    def split(
        self, by: str = "bins", test: float = 0.1, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return words for training and for testing, each uint8 ``(n, n_cells)``.

        Args:
            by: ``"bins"``: random words, the test words being the first ``test · n`` of
                ``numpy.random.default_rng(seed).permutation(n)`` in trial-major order. Every
                frame of the movie is then on both sides, which leaks the stimulus. ``"trials"``:
                random whole trials. ``"movie"``: the last bins of every trial, a piece of the
                movie that training never sees.
            test: Fraction of the bins, trials or movie held out.
            seed: Seed of the permutation; without effect on ``"movie"``.
        """
        return tuple(self.flat()[rows] for rows in self.split_rows(by, test, seed))


def retina_cache() -> Path:
    """Return the folder of the user's cache in which the recording is kept."""
    return Path(pooch.os_cache("mfvae")) / "retina"


def retina_places() -> list[Path]:
    """Return where the recording is looked for, in turn; `scripts/build_book.py` does the same."""
    given = os.environ.get("MFVAE_DATA")
    places = [Path(given) / "retina" / FILE_NAME] if given else []
    return [*places, retina_cache() / FILE_NAME]


def load_retina(path: str | os.PathLike | None = None, *, seed: int = 0) -> RetinaWords:
    """Return the recording of 160 salamander ganglion cells, or a labelled surrogate.

    Looks at ``path``, the MATLAB file or a folder that holds it; without one in the folder
    ``MFVAE_DATA`` (an environment variable) for ``retina/bint_fishmovie32_100.mat``, then in the
    user's cache, where ``python -m mfvae.data.retina`` puts it. Found in neither, words of the
    same shape, uint8 (297, 953, 160), are drawn by ``seed`` from the rates of the movie and
    labelled as a surrogate. The network is never touched. FileNotFoundError if there is no such
    file at ``path``; ValueError, with both checksums and sizes, if the file found is another one.

    >>> load_retina().words.shape
    (297, 953, 160)
    """
    places = retina_places()
    if path is not None:
        given = check_path(path)
        places = [given, given / FILE_NAME, given / "retina" / FILE_NAME]
    for file in filter(Path.is_file, places):
        if wrong := _what_is_wrong(file):
            advice = "Delete it and fetch it again with `python -m mfvae.data.retina`."
            raise ValueError(f"{file} is not the retina recording: {wrong}. {advice}")
        spikes = scipy.io.loadmat(file, variable_names=["bint"])["bint"]
        words = np.ascontiguousarray(spikes.transpose(0, 2, 1))
        return RetinaWords(words, f"recording: {_CITATION}", FILE_SHA256)
    if path is not None:
        raise FileNotFoundError(f"no retina recording {FILE_NAME} at {path}")
    words = sample_surrogate(seed=seed)
    source = f"SURROGATE, not recorded: random words with the rates of the movie ({_CITATION})"
    return RetinaWords(words, source, hashlib.sha256(words).hexdigest(), is_surrogate=True)


def sample_surrogate(*, seed: int | np.random.SeedSequence = 0) -> np.ndarray:
    """Draw showings of the movie, uint8 (297, 953, 160): independent of each other, and alike.

    In bin ``t`` of a showing the logits of all cells are shifted by ``spread[t]`` times one
    Normal(0, 1) number, less what keeps their mean rates to second order in the spread.
    """
    rng = np.random.default_rng(seed)
    with np.load(SURROGATE, allow_pickle=False) as stored:
        logits = LOGIT_LOWEST + LOGIT_STEP * stored["logits"].astype(np.float32)
        spread = stored["spread"][:, None]
    logits -= spread**2 / 2 * (1 - 2 * expit(logits))
    words = np.empty(_SHAPE, dtype=np.uint8)
    for showing in words:
        gain = spread * rng.standard_normal(spread.shape, dtype=np.float32)
        showing[:] = rng.random(logits.shape, dtype=np.float32) < expit(logits + gain)
    return words


def _what_is_wrong(file: Path) -> str:
    """Return nothing if ``file`` is the recording, else why it is not."""
    checksum, size = pooch.file_hash(file), file.stat().st_size
    if checksum == FILE_SHA256:
        return ""
    return (
        f"wrong checksum ({'cut short' if size < FILE_BYTES else 'another file'}): sha256 "
        f"{checksum} ({size} bytes), expected {FILE_SHA256} ({FILE_BYTES} bytes)"
    )


def download_retina(
    url: str | None = None, folder: str | os.PathLike | None = None, *, timeout: float = 300.0
) -> Path:
    """Fetch the recording, verify its checksum, and return where it is kept.

    It appears under its name only once it is complete and its checksum is right; a file already
    there and right is not fetched again. OSError if no address delivered it, with what went wrong
    at each: unreachable, cut short, too long, too slow, or a wrong checksum (both are named).

    Args:
        url: Addresses tried in turn, separated by blanks; by default ``MFVAE_RETINA_URL`` if that
            environment variable is set, else the two public archives. An address may deliver the
            MATLAB file, a zip archive that holds it, or a web page that links to it.
        folder: Where the file is kept; by default the user's cache, where `load_retina` looks.
        timeout: Seconds for each address; more than 64 MB are never taken from one.
    """
    timeout = check_number(timeout, "timeout", positive=True)
    if not (url is None or isinstance(url, str)):
        raise TypeError(f"url must be a string of addresses or None, got {url!r}")
    urls = (url or os.environ.get("MFVAE_RETINA_URL", "")).split() or URLS
    folder = retina_cache() if folder is None else check_path(folder, "folder")
    target = folder / FILE_NAME
    if target.exists() and not _what_is_wrong(target):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for address in urls:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as workspace:
            try:
                found = Path(workspace) / FILE_NAME
                _fetch(address, found, time.monotonic() + timeout)
                if wrong := _what_is_wrong(found):
                    raise ValueError(wrong)
                os.replace(found, target)
                return target
            except Exception as e:
                failures.append(f"  {address}: {type(e).__name__}: {' '.join(str(e).split())}\n")
    raise OSError(
        f"the retina recording {FILE_NAME} could not be downloaded; nothing was kept. Tried:\n"
        f"{''.join(failures)}Fetch it by hand (doi:10.15479/AT:ISTA:61) into a folder retina/ and "
        "set MFVAE_DATA to the folder above, or set MFVAE_RETINA_URL to another address."
    )


def _fetch(address: str, file: Path, deadline: float, follow: bool = True) -> None:
    """Write to ``file`` what ``address`` delivers, out of a zip or behind a page if need be."""
    # In a thread of its own: a server may send the head of its answer a byte a minute.
    done = Future()
    threading.Thread(target=_receive, args=(address, file, deadline, done), daemon=True).start()
    done.result(timeout=max(0.0, deadline - time.monotonic()))
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if name.endswith(FILE_NAME)]
            with archive.open((names or [FILE_NAME])[0]) as member:
                content = member.read(FILE_BYTES + 1)  # whatever it would unpack to
        file.write_bytes(content)
    elif follow and file.stat().st_size < 5_000_000:
        pattern = rb"""href=["']([^"']*%b[^"']*)""" % re.escape(FILE_NAME.encode())
        if link := re.search(pattern, file.read_bytes()):
            linked = urllib.parse.urljoin(address, link[1].decode().replace("&amp;", "&"))
            _fetch(linked, file, deadline, follow=False)


def _receive(address: str, file: Path, deadline: float, done: Future) -> None:
    # As it is sent: who unpacks it does not know how much that is.
    asked = {"User-Agent": "mfvae", "Accept-Encoding": "identity"}
    try:
        with requests.get(address, stream=True, timeout=60, headers=asked) as answer:
            answer.raise_for_status()
            with open(file, "wb") as out:
                for block in answer.raw.stream(2**16, decode_content=False):
                    if out.tell() + len(block) > MOST_BYTES or time.monotonic() > deadline:
                        raise ValueError(f"more than {MOST_BYTES} bytes, or too slow")
                    out.write(block)
        done.set_result(None)
    except Exception as error:
        done.set_exception(error)


if __name__ == "__main__":
    try:
        print(f"{download_retina()} is in place, its checksum is right")
    except OSError as error:
        raise SystemExit(f"error: {error}") from None

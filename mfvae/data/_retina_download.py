"""Fetch the retina recording from its public archives: verified, and atomic."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import urllib.parse
import zipfile
from collections.abc import Iterable
from pathlib import Path

__all__ = ["DownloadError", "download_retina", "file_sha256", "retina_cache"]

FILE_NAME = "bint_fishmovie32_100.mat"
FILE_SHA256 = "50fa85a05950b76033809c8468f70c91fcd0c76d04587a685c1b76085f7f4dae"
FILE_BYTES = 1_336_936

#: Tried in turn: an archive file, a zip that holds it, or a page that links to it. The record
#: of the publisher (by its DOI, since file addresses move) and the copy on figshare. Whatever
#: an address delivers, only the file with the right checksum is kept.
URLS = (
    "https://doi.org/10.15479/AT:ISTA:61",
    "https://figshare.com/ndownloader/articles/5009840/versions/1",
)


class DownloadError(OSError):
    """No address delivered the recording; the message says what each one did."""


def retina_cache() -> Path:
    """Return the folder of the user's cache in which the recording is kept."""
    import pooch

    return Path(pooch.os_cache("mfvae")) / "retina"


def file_sha256(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def download_retina(
    url: str | Iterable[str] | None = None,
    folder: str | os.PathLike | None = None,
    *,
    timeout: float = 60.0,
) -> Path:
    """Fetch the retina recording, verify its checksum and keep it in the user's cache.

    Args:
        url (str, list of str or None): Addresses tried in turn; by default ``MFVAE_RETINA_URL`` if
            that environment variable is set (several separated by blanks), else the two public
            archives. An address may deliver the MATLAB file, a zip archive that holds it, or a web
            page that links to it.
        folder (path or None): Where the file is kept; by default the user's cache.
        timeout (float): Seconds to wait for a server.

    Returns:
        path : pathlib.Path: The verified file. It appears under its name only once it is complete
            and its checksum is right; a file already there and right is not fetched again.

    Raises:
        DownloadError: (an ``OSError``) if no address delivered the file; it lists every address
            with what went wrong: unreachable, cut short, or a wrong checksum (both are named).
    """
    if url is None:
        url = os.environ.get("MFVAE_RETINA_URL", "").split() or URLS
    urls = [url] if isinstance(url, str) else list(url)
    folder = retina_cache() if folder is None else Path(folder)
    target = folder / FILE_NAME
    if target.exists() and file_sha256(target) == FILE_SHA256:
        return target
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for address in urls:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as workspace:
            try:
                found = _fetch(address, Path(workspace), timeout)
                _verify(found)
                os.replace(found, target)
                return target
            except Exception as error:
                failures.append(f"  {address}: {_reason(error)}")
    raise DownloadError(
        f"the retina recording {FILE_NAME} could not be downloaded; nothing was kept. Tried:\n"
        + "\n".join(failures)
        + "\nFetch it by hand (doi:10.15479/AT:ISTA:61) into a folder retina/ and set MFVAE_DATA "
        "to the folder above, or set MFVAE_RETINA_URL to another address."
    )


def _fetch(address: str, workspace: Path, timeout: float, follow: bool = True) -> Path:
    """Download ``address``; return the MATLAB file itself, out of a zip or a page if need be."""
    import pooch

    received = workspace / ("received" if follow else "linked")
    downloader = pooch.HTTPDownloader(timeout=timeout, headers={"User-Agent": "mfvae"})
    downloader(address, str(received), None)
    if zipfile.is_zipfile(received):
        with zipfile.ZipFile(received) as archive:
            for member in archive.namelist():
                if member.endswith(FILE_NAME):
                    (workspace / "member").write_bytes(archive.read(member))
                    return workspace / "member"
        raise ValueError(f"the zip archive holds no {FILE_NAME}")
    if follow and received.stat().st_size < 5_000_000:
        page = received.read_bytes()
        link = re.search(
            rb"""href=["']([^"']*""" + re.escape(FILE_NAME.encode()) + rb"""[^"']*)""", page
        )
        if link:
            linked = urllib.parse.urljoin(address, link[1].decode().replace("&amp;", "&"))
            return _fetch(linked, workspace, timeout, follow=False)
    return received


def _verify(path: Path) -> None:
    checksum = file_sha256(path)
    if checksum != FILE_SHA256:
        size = path.stat().st_size
        raise ValueError(
            f"wrong checksum: sha256 {checksum} ({size} bytes), "
            f"expected {FILE_SHA256} ({FILE_BYTES} bytes)"
        )


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"

"""Build the book strictly: execute every chapter, fail on any warning, check what came out.

``jupyter-cache`` knows the code cells of a chapter but neither the package they call nor the
data they read.  So the cache is kept only while a key of our own stays the same: the package,
the exact set of dependencies, the data file and the size.  A changed chapter then re-executes
alone, a changed package re-executes everything, and an unchanged tree executes nothing.

A finished build is checked against the sources (``check_output.py``).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pooch
from check_output import check_book, pages_of
from execute_chapters import execute_chapters
from make_notebooks import for_jupyter, write_published_notebooks
from make_slides import write_slides

__all__ = ["build", "environment_key", "tree_key"]

DATA_FILE = "retina/bint_fishmovie32_100.mat"
CELL_SECONDS = 900
# Its input ends when this process does, even if that is killed; its kernels notice by themselves.
CHILD = """
import os, sys, threading
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
from jupyter_book.cli.main import main
main()
"""
KERNEL_CONFIGURATION = 'c.InlineBackend.figure_formats = ["retina"]\n'
"""Figures of the pages have twice the pixels; `page_steps.sized_pictures` gives them their size."""
SOURCE_SUFFIXES = {".py", ".npz", ".json", ".csv", ".toml", ".typed", ".mplstyle", ".html"}


def hash_files(paths: list[Path], root: Path) -> str:
    """Return one sha256 over names and contents."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def data_places() -> list[Path]:
    """Return where the package looks for the recording, in turn: see `mfvae.data.retina`."""
    given = os.environ.get("MFVAE_DATA")
    places = [Path(given) / DATA_FILE] if given else []
    return [*places, Path(pooch.os_cache("mfvae")) / DATA_FILE]


def data_hash() -> str:
    """Return the sha256 of the recording that the chapters will find, or "none"."""
    found = next(filter(Path.is_file, data_places()), None)
    return "none" if found is None else hashlib.sha256(found.read_bytes()).hexdigest()


def environment_key(root: Path) -> dict[str, str]:
    """Return what the outputs of every chapter depend on, besides the chapter itself."""
    package = [p for p in (root / "mfvae").rglob("*") if p.suffix in SOURCE_SUFFIXES]
    constraints = root / "constraints.txt"
    return {
        "package": hash_files(package, root),
        "constraints": hash_files([constraints] if constraints.exists() else [], root),
        "data": data_hash(),
        "kernel": KERNEL_CONFIGURATION,
        "scale": os.environ.get("MFVAE_SCALE", "course"),
        "python": sys.version,
    }


def tree_key(root: Path) -> str:
    """Return one hash of everything a build reads: chapters, configuration, build scripts."""
    paths = [p for p in (root / "book").rglob("*") if p.is_file()]
    paths = [
        p for p in paths if "__pycache__" not in p.parts and ".ipynb_checkpoints" not in p.parts
    ]
    paths += [root / "_config.yml", root / "_toc.yml"]
    paths += list(Path(__file__).parent.glob("*.py"))
    return hash_files(paths, Path(os.path.commonpath([root, Path(__file__).parent])))


def read_stamp(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}


def set_environment(root: Path) -> None:
    """Set the environment of the kernels; one thread, so that no number of cores shows in them."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("MFVAE_CACHE", str(root / ".cache" / "mfvae"))
    os.environ.pop("MPLBACKEND", None)  # figures must be drawn into the page
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    profile = root / "_build" / ".ipython" / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "ipython_kernel_config.py").write_text(KERNEL_CONFIGURATION)
    os.environ["IPYTHONDIR"] = str(profile.parent)


def run_jupyter_book(root: Path) -> int:
    """Run Jupyter Book on the whole book with a fresh environment; only executions are cached."""
    command = [sys.executable, "-c", CHILD, "build", str(root), "-n", "-W", "--keep-going", "--all"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        return child.wait()


def restore_outputs(root: Path) -> None:
    """Put the cached outputs into the notebooks that can be downloaded.

    When it takes a chapter from the cache, MyST-NB 1.4 shows its outputs in the page but writes
    the notebook without them.
    """
    from jupyter_cache import get_cache

    cache = get_cache(root / "_build" / ".jupyter_cache")
    for page in pages_of(root):
        executed = root / "_build" / "jupyter_execute" / f"{page}.ipynb"
        if not executed.exists():
            continue
        notebook = nbformat.read(executed, as_version=4)
        with contextlib.suppress(KeyError):  # an executed notebook that is not in the cache
            _, notebook = cache.merge_match_into_notebook(notebook)
        nbformat.write(notebook, executed)
        download = root / "_build" / "html" / "_sources" / f"{page}.ipynb"
        nbformat.write(for_jupyter(notebook), download)  # Jupyter shows Markdown, not MyST


def build(root: Path) -> list[str]:
    """Build the book under ``root``; return what is wrong with it, nothing if all is well."""
    build_folder = root / "_build"
    stamp = build_folder / "mfvae-build.json"
    previous = read_stamp(stamp)
    environment, tree = environment_key(root), tree_key(root)

    if previous.get("environment") != environment:
        changed = [k for k, v in environment.items() if previous.get("environment", {}).get(k) != v]
        if (build_folder / ".jupyter_cache").exists():
            print(f"changed since the last build: {', '.join(changed)}; every chapter re-executes")
            shutil.rmtree(build_folder / ".jupyter_cache")
    elif previous.get("tree") == tree and not check_book(root):
        print("nothing has changed since the last build, and all its outputs are present")
        return []

    # From here on the stamp says what the cache holds, but not that a finished build exists.
    stamp.write_text(json.dumps({"environment": environment}))
    shutil.rmtree(build_folder / "html", ignore_errors=True)
    shutil.rmtree(build_folder / "jupyter_execute", ignore_errors=True)
    set_environment(root)
    if problems := execute_chapters(root, pages_of(root), limit=CELL_SECONDS):
        return problems
    if run_jupyter_book(root) != 0:
        return ["jupyter-book failed or warned; the reasons are above"]
    restore_outputs(root)
    write_published_notebooks(root, pages_of(root), build_folder / "html" / "notebooks")
    problems = check_book(root)
    if problems:
        # A cached execution without its outputs would fail again; execute afresh next time.
        shutil.rmtree(build_folder / ".jupyter_cache", ignore_errors=True)
        return problems
    write_slides(root)
    stamp.write_text(json.dumps({"environment": environment, "tree": tree}, indent=1))
    return []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root.resolve()
    start = time.monotonic()
    (root / "_build").mkdir(exist_ok=True)
    with open(root / "_build" / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two builds at once would spoil each other's pages
        problems = build(root)
    seconds = time.monotonic() - start
    for problem in problems:
        print(f"PROBLEM: {problem}", file=sys.stderr)
    if problems:
        print(f"the book was not built ({seconds:.0f} s)", file=sys.stderr)
        return 1
    print(f"the book is built ({seconds:.0f} s): {root / '_build' / 'html' / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

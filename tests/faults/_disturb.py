"""Kills, several at once, full and read-only folders: what is left must be whole and resumable."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _children import at_once, forked
from _works import PATIENT, WORKS, X, fingerprint, fit, saved, small_vae, store, sweep

import mfvae
from mfvae import MeanFieldVAE
from mfvae.systems import CurieWeiss

__all__ = ["full_and_read_only", "kills", "together"]


@contextlib.contextmanager
def scratch(parent: str | None = None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mfvae-faults-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def undisturbed(name: str) -> tuple[Any, int, float]:
    """Return result, number of file events and seconds of a work that nobody disturbs."""
    import time

    with scratch() as folder:
        WORKS[name].prepare(folder)
        started = time.perf_counter()
        outcome = forked(partial(WORKS[name].run, folder), folder=folder)
        assert outcome.end == "ok", outcome
        return *outcome.value[:2], time.perf_counter() - started


def kills(name: str, n_kills: int, seed: int) -> dict[str, Any]:
    """Kill a work at random moments and at file events, up to six times; then let it end.

    The last, undisturbed run must return what it returns on its own: else the trial is wrong.
    """
    expected, n_events, seconds = undisturbed(name)
    rng, work = np.random.default_rng(seed), WORKS[name]
    figures = {"trials": 0, "kills": 0, "at file events": 0, "wrong": 0, "left over": 0}
    wrong = []
    while figures["kills"] < n_kills:
        figures["trials"] += 1
        with scratch() as folder:
            work.prepare(folder)
            for _ in range(int(rng.integers(1, 7))):
                how = {"seconds": float(rng.uniform(0, seconds))}
                if by_event := rng.random() < 0.5:
                    how = {"event": int(rng.integers(1, n_events + 1))}
                outcome = forked(partial(work.run, folder), folder=folder, **how)
                figures["kills"] += outcome.end == "killed"
                figures["at file events"] += by_event and outcome.end == "killed"
                if outcome.end != "killed":
                    if outcome.end != "ok" or outcome.value[0] != expected:
                        wrong.append(outcome)
                    break
            outcome = forked(partial(work.run, folder))
            if outcome.end != "ok" or outcome.value[0] != expected:
                wrong.append(outcome)
            if name.startswith(("store", "fit")):
                left = [f for f in folder.rglob("*") if ".part" in f.name]
                figures["left over"] += len(left)
    figures["wrong"] = len(wrong)
    return figures | {"examples": [str(outcome)[:600] for outcome in wrong[:3]]}


def save_as(folder: Path, seed: int) -> str:
    saved(seed).save(folder / "model.pt")
    return fingerprint(MeanFieldVAE.load(folder / "model.pt"))


def together(n_workers: int, rounds: int, seed: int) -> dict[str, Any]:
    """Let several children do the same at once: one wins; the rest wait, agree or are refused."""
    rng = np.random.default_rng(seed)
    expected = {name: undisturbed(name)[0] for name in ("store", "fit", "fit with patience")}
    expected |= {name: undisturbed(name)[0] for name in ("caches", "sweep")}
    models = {fingerprint(saved(n)) for n in range(n_workers)}
    figures = dict.fromkeys(("rounds", "won", "refused", "wrong"), 0)
    examples = []
    names = [*expected, "save"]
    for number in range(rounds):
        name = names[number % len(names)]
        with scratch() as folder:
            works: list[Callable[[], Any]] = []
            for worker in range(n_workers):
                run = WORKS[name].run
                if name == "save":
                    run = partial(save_as, seed=worker)
                elif name == "sweep" and rng.random() < 0.5:
                    run = partial(sweep, own=lambda key, own=worker: key[1] % n_workers == own)
                works.append(partial(run, folder))
            outcomes = at_once(works)
            n_won = 0
            for outcome in outcomes:
                told = str(outcome.value)
                if outcome.end == "ok" and name == "save":
                    good = outcome.value[0] in models
                elif outcome.end == "ok" and name == "sweep":
                    good = set(outcome.value[0]) <= set(expected[name])
                else:
                    good = outcome.end == "ok" and outcome.value[0] == expected[name]
                n_won += good
                refused = outcome.end == "error" and any(r in told for r in WORKS[name].refusals)
                figures["refused"] += refused
                if not good and not refused:
                    figures["wrong"] += 1
                    examples.append(f"{name}: {told[:800]}")
            if name == "save":
                good = fingerprint(MeanFieldVAE.load(folder / "model.pt")) in models
            else:
                again = forked(partial(WORKS[name].run, folder))
                good = again.end == "ok" and again.value[0] == expected[name]
            if not good or n_won == 0:
                figures["wrong"] += 1
                examples.append(f"{name}: after all {n_won}")
            figures["rounds"] += 1
            figures["won"] += n_won
    return figures | {"examples": examples[:3]}


def _limit(n_bytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def _nobody() -> None:
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


@contextlib.contextmanager
def small_disk() -> Iterator[Path | None]:
    """Give a file system of 40 kB, or None where none can be mounted."""
    with scratch() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        try:
            yield folder if mounted else None
        finally:
            if mounted:
                subprocess.run(["umount", "-l", str(folder)], check=False)


def full_and_read_only(trials: int, seed: int) -> dict[str, Any]:
    """Write where it cannot be: an OSError, or the result with a warning; what was there stays."""
    rng = np.random.default_rng(seed)
    figures = dict.fromkeys(("trials", "refused", "warned", "fitted in", "wrong"), 0)
    examples = []
    sample = CurieWeiss(9).sample([0.9, 1.1], 40, seed=0)

    def cached(folder: Path) -> str:
        os.environ["MFVAE_CACHE"] = str(folder / "cache")
        x = mfvae.sample_cached(CurieWeiss(9), [0.9, 1.1], 40, seed=0)
        mfvae.fit_cached(small_vae(n_epochs=1), X[:20])
        return "same" if np.array_equal(x, sample) else "other"

    works = {
        "save": partial(save_as, seed=1),
        "fit": fit,
        "fit with patience": partial(fit, **PATIENT),
        "store": store,
        "caches": cached,
        "sweep": sweep,
    }
    expected = {n: forked_in_scratch(work) for n, work in works.items()}
    for number in range(trials):
        name = list(works)[number % len(works)]
        kind = ("limit", "read only", "small disk")[number // len(works) % 3]
        disk = small_disk() if kind == "small disk" else scratch()
        with disk as folder:
            if folder is None:
                continue
            if name == "save":
                with contextlib.suppress(OSError):
                    saved(0).save(folder / "model.pt")
            before = {f.name: f.read_bytes() for f in folder.glob("model.pt")}
            limit = int(rng.integers(0, 20_000))
            if kind == "read only":
                folder.chmod(0o555)
            how = {"limit": partial(_limit, limit), "read only": _nobody}.get(kind)
            if kind == "small disk":
                (folder / "filler").write_bytes(bytes(int(rng.integers(0, 32_000))))
            outcome = forked(partial(works[name], folder), before=how)
            folder.chmod(0o755)
            figures["trials"] += 1
            good = outcome.end == "ok" and outcome.value[0] == expected[name]
            warned = good and any("cannot be kept" in text for text in outcome.value[2])
            refused = outcome.end == "error" and outcome.value[0] in _OS_ERRORS
            figures["warned"] += warned
            figures["refused"] += refused
            figures["fitted in"] += good and not warned
            after = {f.name: f.read_bytes() for f in folder.glob("model.pt")}
            if not (good or refused) or (refused and after != before):
                figures["wrong"] += 1
                examples.append(f"{kind}, {name}: {str(outcome)[:800]}")
    return figures | {"examples": examples[:3]}


_OS_ERRORS = ("OSError", "PermissionError", "FileNotFoundError", "FileExistsError")


def forked_in_scratch(work: Callable[[Path], Any]) -> Any:
    with scratch() as folder:
        return forked(partial(work, folder)).value[0]

"""Work in forked children that are killed, limited or started at the same moment.

The parent has imported everything, so that a child costs milliseconds; it uses one thread of torch.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from joblib.externals.loky import get_reusable_executor

__all__ = ["Outcome", "at_once", "forked"]

PATIENCE = 120.0
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "os.utime")


class Outcome(NamedTuple):
    """How a child ended: "ok", "error", "killed" or "hung", and what it returned or raised."""

    end: str
    value: Any = None


def _count_events(folder: Path, kill_at: int | None) -> list[int]:
    """Count the file events below a folder; at one of them the process kills itself."""
    seen, prefix = [0], os.fspath(folder)

    def hook(event: str, arguments: tuple) -> None:
        if event in EVENTS and arguments and isinstance(arguments[0], (str, os.PathLike)):
            if not os.fspath(arguments[0]).startswith(prefix):
                return
            seen[0] += 1
            if seen[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return seen


def _child(
    work: Callable[[], Any],
    out: int,
    start: int | None,
    folder: Path | None,
    event: int | None,
    seconds: float | None,
    before: Callable[[], None] | None,
) -> None:
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        if before is not None:
            before()
        if start is not None:
            os.read(start, 1)  # until the parent closes its end
        seen = _count_events(folder, event) if folder is not None else [0]
        if seconds is not None:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-4))
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                value = work()
            told = [str(w.message) for w in caught]
            answer = Outcome("ok", (value, seen[0], told))
        except BaseException as error:
            trace = traceback.format_exc()
            answer = Outcome("error", (type(error).__name__, str(error), trace))
        signal.setitimer(signal.ITIMER_REAL, 0)
        with os.fdopen(out, "wb") as stream:
            pickle.dump(answer, stream)
        code = 0
    finally:
        os._exit(code)


def fork() -> int:
    """Fork, and return the child's number, 0 in the child.

    Workers that joblib keeps are let go first: the threads that lead them do not come along, and a
    child that hands them work would wait for ever. So do torch's threads: the child works on one.
    """
    get_reusable_executor().shutdown(wait=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 and later warn of threads
        pid = os.fork()
    if pid == 0:
        torch.set_num_threads(1)
    return pid


def _start(work: Callable[[], Any], start: tuple[int, int] | None, **how: Any) -> tuple[int, int]:
    back, out = os.pipe()
    pid = fork()
    if pid == 0:
        os.close(back)
        if start is not None:
            os.close(start[1])
        how = {"folder": None, "event": None, "seconds": None, "before": None} | how
        _child(work, out, start and start[0], **how)
    os.close(out)
    return pid, back


def _collect(pid: int, back: int) -> Outcome:
    deadline, content = time.monotonic() + PATIENCE, b""
    while True:
        ready, _, _ = select.select([back], [], [], max(0.0, deadline - time.monotonic()))
        block = os.read(back, 2**16) if ready else b""
        if not block:
            break
        content += block
    os.close(back)
    with contextlib.suppress(OSError):  # and what it may have started
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if not ready:
        return Outcome("hung")
    try:
        return pickle.loads(content)
    except (EOFError, pickle.UnpicklingError):
        return Outcome("killed")


def forked(work: Callable[[], Any], **how: Any) -> Outcome:
    """Run ``work`` in a child.

    Args:
        work: Takes nothing; its value, the number of file events and the warnings come back.
        how: ``folder`` whose file events count, ``event`` at which the child kills itself,
            ``seconds`` after which a timer does, ``before``: what the child does first.
    """
    return _collect(*_start(work, None, **how))


def at_once(works: list[Callable[[], Any]]) -> list[Outcome]:
    """Run several children that begin at the same moment."""
    start = os.pipe()
    children = [_start(work, start) for work in works]
    os.close(start[0])
    os.close(start[1])
    return [_collect(*child) for child in children]

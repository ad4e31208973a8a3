"""Every public callable with hostile arguments: refused by name, or answered; never anything else.

The callables are found through the packages' ``__all__``. Not called: what takes tensors inside the
model (`Prior`, `Likelihood`), drawings, and what is inherited from other libraries.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import importlib
import inspect
import json
import os
import pkgutil
import re
import resource
import select
import shutil
import signal
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _children import fork
from _values import HOSTILE, arguments_for, instance_of
from sklearn.base import BaseEstimator

import mfvae

__all__ = ["fuzz", "targets"]

HANG = 20.0  # seconds of a processor's time for one call, or six times that by the clock
LEFT_OUT = ("Prior", "Likelihood", "Report", "report")
REFUSALS = (TypeError, ValueError, OSError)


class Target(NamedTuple):
    """One callable: whose it is, what it is called, and whether it keeps what it is given as it is:
    a plain record, or an estimator, which as scikit-learn asks looks at nothing before ``fit``.
    """

    owner: str
    name: str
    call: Callable[..., Any]
    record: bool = False


def targets() -> list[Target]:
    """Return all public functions, constructors and methods of the package."""
    names = [info.name for info in pkgutil.iter_modules(mfvae.__path__) if info.ispkg]
    found: dict[int, Target] = {}
    for room in ["mfvae", *(f"mfvae.{name}" for name in sorted(names))]:
        package = importlib.import_module(room)
        for name in package.__all__:
            thing = getattr(package, name)
            if inspect.ismodule(thing) or not callable(thing) or name in LEFT_OUT:
                continue
            if not inspect.isclass(thing):
                found[id(thing)] = Target(room, name, thing)
            elif not issubclass(thing, Warning):
                for target in _methods(thing):
                    found.setdefault(hash((target.owner, target.name)), target)
    return list(found.values())


def _methods(kind: type) -> Iterator[Target]:
    record = dataclasses.is_dataclass(kind) or issubclass(kind, (float, tuple, BaseEstimator))
    if not inspect.isabstract(kind):
        yield Target(kind.__name__, "__init__", kind, record)
    made = instance_of(kind)
    for name in dir(kind):
        static = inspect.getattr_static(kind, name)
        bound = isinstance(static, (classmethod, staticmethod)) or made is not None
        if name.startswith("_") or not bound or isinstance(static, property):
            continue
        method = getattr(kind if made is None else made, name, None)
        if callable(method) and (getattr(method, "__module__", "") or "").startswith("mfvae"):
            yield Target(kind.__name__, name, method)


def _hash(value: Any) -> Any:
    """Return what must not change; a model may be fitted, so only its parameters count."""
    if isinstance(value, np.ndarray):
        return (
            str(value.dtype),
            value.shape,
            np.asarray(value).tobytes() if value.dtype != object else None,
        )
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, dict):
        return [(k, _hash(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return [_hash(v) for v in value]
    return None


def _has_nan(value: Any, depth: int = 0) -> bool:
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fc" and bool(np.isnan(value).any())
    if isinstance(value, torch.Tensor):
        return bool(torch.isnan(value).any())
    if isinstance(value, torch.nn.Module):
        return any(_has_nan(v) for v in value.state_dict().values())
    if depth > 4 or value is None or isinstance(value, (str, bytes, int, type)):
        return False
    if isinstance(value, dict):
        return any(_has_nan(v, depth + 1) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_nan(v, depth + 1) for v in value)
    if type(value).__module__.startswith("mfvae"):
        return _has_nan(getattr(value, "__dict__", None), depth + 1)
    return False


@functools.cache
def _parameters(target: Target) -> dict[str, inspect.Parameter]:
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    signature = inspect.signature(target.call).parameters
    return {n: p for n, p in signature.items() if p.kind in kinds}


@functools.cache
def _plausible(target: Target) -> dict[str, Any]:
    return arguments_for(target.owner, target.name)


def _documented(target: Target) -> str:
    about = inspect.getdoc(target.call) or ""
    return about + (inspect.getmodule(target.call).__doc__ or "")


def chosen(target: Target, seed: tuple[int, int]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the arguments of a call, and which are replaced: one or two, in the first call none.

    What is replaced is given by the name of what replaces it.
    """
    rng = np.random.default_rng(seed)
    plausible, parameters = _plausible(target), _parameters(target)
    required = [n for n, p in parameters.items() if p.default is p.empty]
    given = {n: plausible[n] for n in parameters if n in plausible}
    if target.name == "create":
        given["path"] = Path(f"new-{seed[1]}").absolute()
    plain = {n: v for n, v in given.items() if isinstance(v, (np.ndarray, list, tuple, dict))}
    given |= copy.deepcopy({n: v for n, v in plain.items() if n != "models"})
    changed: dict[str, str] = {}
    if seed[1] and parameters:
        some = rng.permutation(list(parameters))[: 1 + (rng.random() < 0.25)]
        for name in some:
            changed[str(name)] = str(rng.choice(list(HOSTILE)))
            given[str(name)] = HOSTILE[changed[str(name)]]()
    missing = [n for n in required if n not in given]
    for name in missing:
        changed[name] = "None"
        given[name] = None
    return given, changed


def call_once(target: Target, seed: tuple[int, int]) -> dict[str, Any]:
    """Call with the chosen arguments; return what happened."""
    given, changed = chosen(target, seed)
    parameters, before = _parameters(target), _hash(given)
    result = {"changed": changed}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = target.call(**given)
            if inspect.isgenerator(value):
                value = list(value)
    except REFUSALS as error:
        text = str(error)
        named = any(re.search(rf"\b{re.escape(n)}s?\b", text) for n in parameters)
        files = [v for v in given.values() if isinstance(v, (str, Path)) and len(str(v)) > 2]
        named |= any(str(file) in text for file in files)  # of a file its name is what tells
        result |= {"end": "refused", "named": named}
        if not named:
            result["text"] = f"{type(error).__name__}: {text[:200]}"
    except BaseException as error:
        # A quantity that is not known of a system: the base class documents it.
        known = isinstance(error, NotImplementedError)
        known |= type(error).__name__ in _documented(target)
        # Whether something counts as true is its own business.
        known |= "ambiguous" in str(error) and isinstance(error, RuntimeError)
        result |= {"end": "refused" if known else "undocumented", "named": known}
        if not known:
            result["text"] = f"{type(error).__name__}: {str(error)[:200]}"
    else:
        silent = _has_nan(value) and not target.record and "NaN" not in _documented(target)
        if silent and target.name == "at_scale":
            silent = False  # it returns what it is given
        result |= {"end": "NaN" if silent else "answered"}
    if _hash(given) != before:
        result["end"] = "mutated"
    return result


def _batch(
    target: Target, number: int, first: int, n: int, seconds: float, out: int, folder: Path
) -> None:
    """Call up to ``n`` times within the seconds; a line before and one after each call."""
    limit = 6 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    os.dup2(1, 2)
    os.chdir(folder)  # a path may be "abc"
    started = time.process_time()
    with os.fdopen(out, "w", buffering=1) as stream:
        for index in range(first, n):
            if time.process_time() - started > seconds:
                break
            stream.write(f"{index}\n")
            stream.write(json.dumps(call_once(target, (number, index))) + "\n")
            started = time.process_time() if index == 0 else started  # that one does its work
    os._exit(0)


def fuzz(
    n_calls: int, seconds: float, seed: int, only: str = "", share: tuple[int, int] = (0, 1)
) -> dict[str, Any]:
    """Call every target up to ``n_calls`` times, for ``seconds`` at most; return the figures.

    Of all targets those whose name holds ``only``, and of these every n-th from the first, as
    ``share`` says.
    """
    found = [t for t in targets() if only in f"{t.owner}.{t.name}"][share[0] :: share[1]]
    names = ("callables", "reached", "calls", "answered", "refused", "named", "undocumented")
    figures = dict.fromkeys((*names, "NaN", "mutated", "hung", "crashed"), 0)
    examples: dict[str, list] = {}
    for target in found:
        number = seed + zlib.crc32(f"{target.owner}.{target.name}".encode())
        figures["callables"] += 1
        index, answered = 0, False
        folder = Path(tempfile.mkdtemp(prefix="mfvae-faults-"))
        while index < n_calls:
            results, index, end = _run(target, number, index, n_calls, seconds, folder)
            for result in results:
                figures["calls"] += 1
                figures[result["end"]] += 1
                answered |= result["end"] == "answered"
                figures["named"] += bool(result.get("named"))
                if result["end"] in ("refused", "answered") and "text" not in result:
                    continue
                kind = "unnamed" if result["end"] == "refused" else result["end"]
                line = f"{target.owner}.{target.name}: {result['changed']} {result.get('text', '')}"
                examples.setdefault(kind, []).append(line)
            if end == "done":
                break
            figures["calls"] += 1
            end, *status = end.split()
            figures[end] += 1
            changed = f"call {index - 1}, {chosen(target, (number, index - 1))[1]} {status}"
            examples.setdefault(end, []).append(f"{target.owner}.{target.name}: {changed}")
        shutil.rmtree(folder)
        figures["reached"] += answered
        if not answered:
            examples.setdefault("never answered", []).append(f"{target.owner}.{target.name}")
    return figures | {"examples": examples}


def _seconds(pid: int) -> float:
    """Return the processor's time that a child has had."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _run(
    target: Target, number: int, first: int, n: int, seconds: float, folder: Path
) -> tuple[list[dict], int, str]:
    back, out = os.pipe()
    pid = fork()
    if pid == 0:
        try:
            os.close(back)
            _batch(target, number, first, n, seconds, out, folder)
        finally:
            os._exit(1)
    os.close(out)
    content, hung, heard, busy = b"", False, time.monotonic(), 0.0
    while not hung:
        ready, _, _ = select.select([back], [], [], HANG / 4)
        if not ready:
            hung = _seconds(pid) - busy > HANG or time.monotonic() - heard > 6 * HANG
            continue
        block = os.read(back, 2**16)
        if not block:
            break
        content, heard, busy = content + block, time.monotonic(), _seconds(pid)
    os.close(back)
    if hung:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    lines = content.decode().splitlines()
    results = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    begun = [int(line) for line in lines if line.isdigit()]
    if len(begun) == len(results) and not hung and status == 0:
        return results, n, "done"
    return results, (begun[-1] if begun else first) + 1, "hung" if hung else f"crashed {status}"

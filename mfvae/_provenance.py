"""What a kept result says of its origin: the code's version and the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import mfvae

__all__ = ["code_version", "machine"]


def code_version() -> str:
    """Return the package's version with the commit, and whether the package differs from it."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short", "HEAD")
        changed = ", changed" if git("status", "--porcelain", "--", ".") else ""
    except (OSError, subprocess.CalledProcessError):
        return mfvae.__version__
    return f"{mfvae.__version__} ({commit}{changed})"


def machine() -> str:
    """Return processor and number of cores that this process may use."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0].split(":", 1)[1].strip() if models else name
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {n_cores} core(s)"

"""One statement of what is needed, in four places: they must agree.  And: the import is light."""

from __future__ import annotations

import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
CONDA_NAMES = {"pytorch": "torch"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pyproject_ranges() -> dict[str, SpecifierSet]:
    lists = [project()["dependencies"], *project()["optional-dependencies"].values()]
    requirements = [Requirement(line) for lines in lists for line in lines]
    return {canonicalize_name(r.name): r.specifier for r in requirements}


def conda_ranges() -> dict[str, SpecifierSet]:
    lines: list[str] = []
    for entry in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]:
        lines += entry["pip"] if isinstance(entry, dict) else [entry]
    requirements = [Requirement(line) for line in lines]
    return {CONDA_NAMES.get(r.name, canonicalize_name(r.name)): r.specifier for r in requirements}


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_environment_yml_has_the_ranges_of_pyproject():
    conda = conda_ranges()
    assert conda.pop("python") == SpecifierSet(project()["requires-python"])
    conda.pop("pip")
    assert conda == pyproject_ranges()


def test_constraints_pin_every_dependency_within_its_range():
    pins = pinned()
    for name, specifier in pyproject_ranges().items():
        assert name in pins, f"{name} is missing from constraints.txt"
        assert specifier.contains(pins[name]), f"{name} {pins[name]} is outside {specifier}"


def test_constraints_are_exact_and_carry_no_local_version():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line]
    for line in lines:
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line)
    names = [line.split("==")[0] for line in lines if not line.startswith("#")]
    assert names == sorted(set(names))


def test_address_of_the_repository_stands_in_one_file():
    url = yaml.safe_load((ROOT / "_config.yml").read_text())["repository"]["url"]
    assert re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url)
    address = url.removeprefix("https://github.com/")
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    kinds = (".md", ".py", ".toml", ".yml", ".cff")
    files = [ROOT / name for name in listed.stdout.split() if name.endswith(kinds)]
    naming = [path.name for path in files if path.exists() and address in path.read_text()]
    assert naming == ["_config.yml"]


def test_citation_has_the_version_of_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project()["version"]


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout


HEAVY = ["torch", "numba", "lightning", "scipy", "sklearn", "matplotlib", "zarr", "ipywidgets"]


@pytest.mark.parametrize("module", ["mfvae", "mfvae.systems", "mfvae.vae", "mfvae.data"])
def test_import_loads_nothing_heavy(module):
    code = f"import {module}, sys; print([m for m in {HEAVY} if m in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_import_takes_less_than_300_ms():
    code = "import time; t = time.perf_counter(); import mfvae; print(time.perf_counter() - t)"
    start = time.monotonic()
    fastest = min(float(run_python(code)) for _ in range(5))
    assert fastest < 0.3, f"{fastest:.2f} s at best ({time.monotonic() - start:.1f} s in all)"


def test_public_names_resolve():
    code = "import mfvae; print([n for n in mfvae.__all__ if getattr(mfvae, n, None) is None])"
    assert run_python(code).strip() == "[]"

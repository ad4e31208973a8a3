"""The workflow of the public service: well formed, and what it runs exists here.

The service ignores what it does not know and skips what it cannot read, so a misspelt key is
silent there.  The checks are those of its schema that matter for this file.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOW = ROOT / ".github" / "workflows" / "book.yml"
KEYS = {
    "top": {"name", "on", "permissions", "concurrency", "jobs", "env", "defaults"},
    "on": {"push", "pull_request", "schedule", "workflow_dispatch"},
    "job": {"name", "if", "needs", "runs-on", "timeout-minutes", "permissions", "env", "steps"},
    "step": {"name", "id", "if", "uses", "with", "run", "env"},
}
FIELDS = (range(60), range(24), range(1, 32), range(1, 13), range(7))


def problems(text: str) -> list[str]:
    """Return what is wrong with a workflow, nothing if all is well."""
    content = yaml.load(text, Loader=yaml.BaseLoader)  # YAML 1.1 would read "on" as true
    wrong = [f"unknown key {key}" for key in set(content) - KEYS["top"]]
    wrong += [f"unknown event {key}" for key in set(content["on"]) - KEYS["on"]]
    for entry in content["on"]["schedule"]:
        fields = entry["cron"].split()
        named = all(f == "*" or f in map(str, r) for f, r in zip(fields, FIELDS, strict=False))
        if len(fields) != 5 or not named:
            wrong.append(f"cron {entry['cron']!r}")
    makefile = (ROOT / "Makefile").read_text()
    for name, job in content["jobs"].items():
        wrong += [f"{name}: unknown key {key}" for key in set(job) - KEYS["job"]]
        wrong += [f"{name}: needs {n}" for n in job.get("needs", []) if n not in content["jobs"]]
        if not {"runs-on", "timeout-minutes", "steps"} <= set(job):
            wrong.append(f"{name}: no machine, no limit or no steps")
        for step in job.get("steps", []):
            wrong += [f"{name}: unknown key {key}" for key in set(step) - KEYS["step"]]
            if ("uses" in step) == ("run" in step):
                wrong.append(f"{name}: a step either uses or runs")
            if not re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step.get("uses", "a/b@v1")):
                wrong.append(f"{name}: {step['uses']} has no version")
            for target in re.findall(r"\bmake ([\w-]+)", step.get("run", "")):
                if not re.search(rf"^{target}:", makefile, re.MULTILINE):
                    wrong.append(f"{name}: make {target}")
            for pattern in re.findall(r"'([^']+)'", str(step.get("with", {}).get("key", ""))):
                if not list(ROOT.glob(pattern)):
                    wrong.append(f"{name}: nothing matches {pattern}")
    return wrong


def test_workflow_is_well_formed() -> None:
    assert problems(WORKFLOW.read_text()) == []


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("workflow_dispatch:", "workflow_dipatch:"),
        ("runs-on: ubuntu-latest", "run-on: ubuntu-latest"),
        ("17 4 * * 1", "17 24 * * 1"),
        ("actions/cache@v4", "actions/cache"),
        ("run: make book", "run: make boook"),
        ("'mfvae/**'", "'mfave/**'"),
    ],
)
def test_planted_faults_are_found(right, wrong) -> None:
    text = WORKFLOW.read_text()
    assert right in text
    assert problems(text.replace(right, wrong))


def test_it_does_what_the_readme_says_and_publishes_from_main_alone() -> None:
    jobs = yaml.load(WORKFLOW.read_text(), Loader=yaml.BaseLoader)["jobs"]
    for job in jobs.values():
        runs = [step.get("run") for step in job["steps"]]
        assert {"make test", "make book"} <= set(runs)
    publishing = [s for j in jobs.values() for s in j["steps"] if "gh-pages" in s.get("run", "")]
    assert [step["if"] for step in publishing] == ["github.event_name == 'push'"]

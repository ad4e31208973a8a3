"""How often is `mfvae.report` right? Verdicts and numbers of latents on planted laws.

    kept=benchmarks/results/report.json
    python benchmarks/bench_report.py --laws all --n 20000 --fresh 20000 --output $kept
    python benchmarks/bench_report.py --laws none --output $kept     # a summary of the kept rows

A row is written as it ends; rows that the file has are not run again. "held-out" laws are for the
last run only. Wall-clock seconds are those of a machine that had other work too; CPU seconds and
peak memory are those of the report alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from planted import LAWS, PARTS, Planted, draw
from sklearn.linear_model import LogisticRegression

import mfvae
from mfvae.compare import IndependentModel
from mfvae.vae.storage import replace_file

KEY = ("law", "n", "part", "number", "quick")
CODES = ("no-structure", "mean-field", "not-mean-field", "discrete-states", "beyond-models")


def slope(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the slope of couplings against those of the law."""
    return float((ours * theirs).sum() / (theirs**2).sum())


def slope_if_told(planted: Planted) -> float:
    """Return the slope of couplings found by one who is told the latents behind the words.

    Logistic regressions of the cells on them, and their own covariance: what is off here is the
    accident of these words, which no report can know.
    """
    z, x = planted.latents, planted.words == 1
    regressions = (LogisticRegression(C=1e4, max_iter=500).fit(z, column) for column in x.T)
    weights = np.array([found.coef_[0] for found in regressions]) / 2
    return slope(weights @ np.atleast_2d(np.cov(z, rowvar=False)) @ weights.T, planted.couplings)


def judge(name: str, n: int, part: str, number: int, quick: bool, n_fresh: int) -> dict[str, Any]:
    """Return one row: what the report said, and what is right."""
    planted = draw(name, n, part=part, number=number)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the peak so far is forgotten
    started, cpu = time.perf_counter(), time.process_time()
    options = {"ordered": planted.ordered, "quick": quick, "n_jobs": 1, "progress": False}
    found = mfvae.report(planted.words, **options)  # one process: its CPU seconds are all
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])  # KiB
    low, high = found.n_latents_interval
    row = dict(zip(KEY, (name, n, part, number, quick), strict=True))
    row |= {"code": found.code, "d": found.n_latents, "interval": [low, high]}
    row |= {"right_codes": sorted(planted.codes), "right_d": sorted(planted.n_latents or ())}
    row |= {"seconds": seconds, "cpu_seconds": cpu, "n_cells": planted.words.shape[1]}
    row["peak_gib"] = peak / 2**20
    row |= {"gain": list(found.gain), "missing": found.missing, "margin": found.facts["margin"]}
    row["gains"] = {r["model"]: r["gain"] for r in found.models}
    row |= {k: found.facts["screening"][k] for k in ("n_above", "n_triples_seen", "detectable")}
    row["warned"] = not planted.warns or any(planted.warns in w for w in found.warnings)
    if planted.couplings is not None and found.patterns is not None:
        ours = found.patterns @ found.patterns.T
        theirs = planted.couplings[: len(ours), : len(ours)]
        row["coupling_slope"] = slope(ours, theirs)
        row["coupling_if_told"] = slope_if_told(planted)
        row["coupling_error"] = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    if n_fresh and planted.log_prob is not None:
        fresh = draw(name, n_fresh, part=part, number=number, fresh=True)
        x = (fresh.words == 1).astype(np.uint8)
        gain = planted.log_prob(x) - IndependentModel().fit(x).score_samples(x)
        row |= {"true_gain": gain.mean(), "true_gain_stderr": gain.std() / len(gain) ** 0.5}
    wrong = found.code not in planted.codes | {"undecided"}
    row["outcome"] = "wrong" if wrong else "right" if found.code in planted.codes else "undecided"
    row["d_right"] = row["d_wrong"] = None
    if planted.n_latents is not None and found.code in ("mean-field", "no-structure"):
        row["d_right"] = found.n_latents in planted.n_latents
        covered = any(low <= d and (high is None or d <= high) for d in planted.n_latents)
        row["d_wrong"] = not covered
    return json.loads(json.dumps(row, default=float), parse_float=lambda x: round(float(x), 4))


def summary(rows: list[dict[str, Any]]) -> str:
    """Return the rows, the confusion matrix and the shares that count, for each number of words."""
    lines = []
    for part, n, quick in sorted({(r["part"], r["n"], r["quick"]) for r in rows}):
        some = [r for r in rows if (r["part"], r["n"], r["quick"]) == (part, n, quick)]
        counts = Counter(row["outcome"] for row in some)
        d = [row["d_right"] for row in some if row["d_right"] is not None]
        bad = [row for row in some if row["outcome"] == "wrong" or row["d_wrong"]]
        known = [r for r in some if "true_gain" in r and r["outcome"] == "right"]
        known = [r for r in known if r["code"] in ("mean-field", "discrete-states")]
        inside = [r["gain"][1] <= r["true_gain"] <= r["gain"][2] for r in known]
        slopes = [r["coupling_slope"] for r in some if r["d_right"] and "coupling_slope" in r]
        close = sum(abs(found - 1) <= 0.1 for found in slopes)
        told = [r["coupling_if_told"] for r in some if r["d_right"] and "coupling_if_told" in r]
        best = sum(abs(found - 1) <= 0.1 for found in told)
        cpu = [row["cpu_seconds"] for row in some]
        lines += [
            f"{part}, n = {n}, {'quick' if quick else 'full'}: {len(some)} reports, right "
            f"{counts['right']}, undecided {counts['undecided']}, wrong {counts['wrong']}; d right "
            f"{sum(d)} of {len(d)}; wrong with confidence {len(bad)}; couplings within 10 % "
            f"{close} of {len(slopes)}, by one told the latents {best} of {len(told)}; true nats "
            f"inside the interval {sum(inside)} of {len(inside)}; warned "
            f"{sum(r['warned'] for r in some)} of {len(some)}; CPU seconds {np.median(cpu):.0f} "
            f"(median), {max(cpu):.0f} (most); peak "
            f"{max(row.get('peak_gib', 0) for row in some):.2f} GiB",
            f"  {'law':<13} {'right':<16} " + " ".join(f"{c:>15}" for c in (*CODES, "undecided")),
        ]
        for law in dict.fromkeys(row["law"] for row in some):
            mine = [row for row in some if row["law"] == law]
            said = Counter(row["code"] for row in mine)
            cells = " ".join(f"{said[code] or '.':>15}" for code in (*CODES, "undecided"))
            lines.append(f"  {law:<13} {mine[0]['right_codes'][0]:<16} {cells}")
        lines += [line(row) for row in some]
    return "\n".join(lines)


def line(row: dict[str, Any]) -> str:
    """Return a row as a line: X is wrong, ? undecided, x a wrong d, ~ another d in the interval."""
    mark = {"right": " ", "undecided": "?", "wrong": "X"}[row["outcome"]]
    mark += " " if row["d_right"] in (None, True) else "x" if row["d_wrong"] else "~"
    left = row["missing"]
    truth = f" true {row['true_gain']:.2f}" if "true_gain" in row else ""
    found = f" couplings {row['coupling_slope']:.2f}" if "coupling_slope" in row else ""
    return (
        f"  {mark} {row['law']:<13} {row['code']:<16} d {row['d']} {row['interval']} of "
        f"{row['right_d']} gain {row['gain'][0]:.2f} [{row['gain'][1]:.2f}, {row['gain'][2]:.2f}]"
        f"{truth} margin {row['margin']:.2f} ahead {left['ahead']:.2f} pairs "
        f"{left['left_pairs_nats']:.2f} triples {left['left_triples_nats']:.2f}{found} "
        f"{row['cpu_seconds']:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", nargs="*", default=["independent", "d2", "mixture", "triples"])
    parser.add_argument("--n", nargs="*", type=int, default=[1000])
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--part", default="tuning", choices=list(PARTS))
    parser.add_argument("--quick", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--fresh", type=int, default=0, help="words to estimate true nats on")
    parser.add_argument("--output", type=Path, help="JSON file of rows; a rerun goes on there")
    options = parser.parse_args()
    laws = {"all": list(LAWS), "none": []}.get(options.laws[0], options.laws)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    kept = options.output is not None and options.output.exists()
    rows = json.loads(options.output.read_text()) if kept else []
    there = {tuple(row[name] for name in KEY) for row in rows}
    for number in range(options.draws):
        for n in options.n:
            for law in laws:
                key = (law, n, options.part, number, options.quick)
                if key in there:
                    continue
                rows.append(judge(*key, options.fresh))
                print(line(rows[-1]), flush=True)
                if options.output is not None:
                    content = ",\n".join(json.dumps(row) for row in rows)
                    content = f"[\n{content}\n]\n".encode()
                    options.output.parent.mkdir(exist_ok=True)
                    replace_file(options.output, lambda file, c=content: file.write(c))
    print(summary(rows))


if __name__ == "__main__":
    main()

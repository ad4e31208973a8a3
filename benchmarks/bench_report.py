"""How often is `mfvae.report` right? Verdicts and numbers of latents on planted laws.

    python benchmarks/bench_report.py --laws all --n 1000 5000 --draws 3 --output rows.json

A row is written as it ends; rows that the file has are not run again. "held-out" laws are for the
last run only.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from planted import LAWS, draw

import mfvae
from mfvae.compare import IndependentModel


def judge(name: str, n: int, part: str, number: int, quick: bool, n_fresh: int) -> dict[str, Any]:
    """Return one row: what the report said, and what is right."""
    planted = draw(name, n, part=part, number=number)
    started, cpu = time.perf_counter(), time.process_time()
    found = mfvae.report(planted.words, ordered=planted.ordered, quick=quick, progress=False)
    low, high = found.n_latents_interval
    row = {"law": name, "n": n, "part": part, "number": number, "quick": quick}
    row |= {
        "code": found.code,
        "d": found.n_latents,
        "interval": [low, high],
        "text": found.verdict,
    }
    row |= {"right_codes": sorted(planted.codes), "right_d": sorted(planted.n_latents or ())}
    row |= {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
    row |= {"gain": found.gain, "missing": found.missing, "models": found.models}
    row |= {"warnings": found.warnings, "margin": found.facts["margin"]}
    row |= {k: found.facts["screening"][k] for k in ("n_above", "n_triples_seen", "detectable")}
    row["warned"] = not planted.warns or any(planted.warns in w for w in found.warnings)
    if planted.couplings is not None and found.patterns is not None:
        ours = found.patterns @ found.patterns.T
        theirs = planted.couplings[: len(ours), : len(ours)]
        row["coupling_slope"] = float((ours * theirs).sum() / (theirs**2).sum())
        row["coupling_error"] = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    if n_fresh and planted.log_prob is not None:
        fresh = draw(name, n_fresh, part=part, number=number, fresh=True)
        x = (fresh.words == 1).astype(np.uint8)
        gain = planted.log_prob(x) - IndependentModel().fit(x).score_samples(x)
        row["true_gain"] = float(gain.mean())
    wrong = found.code not in planted.codes | {"undecided"}
    row["outcome"] = "wrong" if wrong else "right" if found.code in planted.codes else "undecided"
    row["d_right"] = row["d_wrong"] = None
    if planted.n_latents is not None and found.code in ("mean-field", "no-structure"):
        row["d_right"] = found.n_latents in planted.n_latents
        covered = any(low <= d and (high is None or d <= high) for d in planted.n_latents)
        row["d_wrong"] = not covered
    return row


def summary(rows: list[dict[str, Any]]) -> str:
    """Return the confusion matrix and the shares that count."""
    lines = []
    for n in sorted({row["n"] for row in rows}):
        some = [row for row in rows if row["n"] == n]
        counts = Counter(row["outcome"] for row in some)
        d = [row["d_right"] for row in some if row["d_right"] is not None]
        bad = [row for row in some if row["outcome"] == "wrong" or row["d_wrong"]]
        inside = [r["gain"][1] <= r["true_gain"] <= r["gain"][2] for r in some if "true_gain" in r]
        lines.append(
            f"n = {n}: {len(some)} reports, right {counts['right']}, undecided "
            f"{counts['undecided']}, wrong {counts['wrong']}; d right {sum(d)} of {len(d)}; wrong "
            f"with confidence {len(bad)}; true nats "
            f"inside the interval {sum(inside)} of {len(inside)}"
        )
        for row in some:
            mark = {"right": " ", "undecided": "?", "wrong": "X"}[row["outcome"]]
            mark += " " if row["d_right"] in (None, True) else "x" if row["d_wrong"] else "~"
            left = row["missing"]
            slope = f"  couplings {row['coupling_slope']:.2f}" if "coupling_slope" in row else ""
            lines.append(
                f"  {mark} {row['law']:<13} {row['code']:<16} d {row['d']} {row['interval']} of "
                f"{row['right_d']}  gain {row['gain'][0]:.2f} margin {row['margin']:.2f} "
                f"ahead {left['ahead']:.2f} pairs {left['left_pairs_nats']:.2f} triples "
                f"{left['left_triples_nats']:.2f}{slope}  {row['cpu_seconds']:.0f} s"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", nargs="*", default=["independent", "d2", "mixture", "triples"])
    parser.add_argument("--n", nargs="*", type=int, default=[1000])
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--part", default="tuning", choices=["tuning", "held-out"])
    parser.add_argument("--quick", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--fresh", type=int, default=0, help="words to estimate true nats on")
    parser.add_argument("--output", type=Path, help="JSON file of rows; a rerun goes on there")
    options = parser.parse_args()
    laws = list(LAWS) if options.laws == ["all"] else options.laws
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    kept = options.output is not None and options.output.exists()
    rows = json.loads(options.output.read_text()) if kept else []
    there = {(r["law"], r["n"], r["part"], r["number"], r["quick"]) for r in rows}
    for number in range(options.draws):
        for n in options.n:
            for law in laws:
                if (law, n, options.part, number, options.quick) in there:
                    continue
                rows.append(judge(law, n, options.part, number, options.quick, options.fresh))
                if options.output is not None:
                    options.output.write_text(json.dumps(rows))
                print(summary(rows[-1:]).splitlines()[1], flush=True)
    print(summary(rows))


if __name__ == "__main__":
    main()

"""Do the defaults of `MeanFieldVAE` win? On planted laws, against settings tuned for them.

    python benchmarks/bench_defaults.py --laws all --output benchmarks/results/defaults.json

For every law with latents: nats a word, gained over independent cells on fresh words, by the
defaults, by the defaults of the first round, and by the best of some tuned settings, chosen on the
very words that they are scored on, which flatters them. Where ln p of the law is known, the gain
that is there. A row is written as it ends; rows that the file has are not run again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from planted import draw

from mfvae import MeanFieldVAE
from mfvae.compare import IndependentModel
from mfvae.vae.storage import replace_file

LAWS = ("d1", "d2", "d3", "d5", "d1-sparse", "d3-sparse", "bimodal", "curved", "heavy")
N_FRESH = 5000
FIRST_ROUND = {"decoder": "linear", "prior": "spline", "n_epochs": 20, "learning_rate": 3e-3}
LADDER = {"encoder": "mlp", "encoder_options": {"widths": (128,)}, "prior": "mixture"}
LADDER |= {"prior_options": {"n_components": 16}, "learning_rate": 2e-2, "n_steps": 600}
TUNED: dict[str, dict[str, Any]] = {
    "slower, longer": {"learning_rate": 3e-3, "n_steps": 6000},
    "faster": {"learning_rate": 2e-2},
    "other prior": {},  # a spline for many latents, a mixture for one
    "as in report": LADDER,
}


def row(law: str, n: int, number: int) -> dict[str, Any]:
    """Return the nats gained on fresh words by every setting."""
    planted, fresh = draw(law, n, number=number), draw(law, N_FRESH, number=number, fresh=True)
    (d,) = planted.n_latents
    base = IndependentModel().fit(planted.words).score_samples(fresh.words)
    settings = {"defaults": {}, "first round": FIRST_ROUND | {"polish_steps": 0}} | TUNED
    settings["other prior"] = {"prior": "spline" if d > 1 else "mixture"}
    gain, stderr, seconds = {}, {}, {}
    for name, options in settings.items():
        started = time.process_time()
        vae = MeanFieldVAE(d, progress=False, random_state=number, **options)
        with warnings.catch_warnings():  # of a loser: no better than independent cells
            warnings.simplefilter("ignore", UserWarning)
            vae.fit(planted.words)
        seconds[name] = time.process_time() - started
        gains = vae.score_samples(fresh.words, n_importance=256) - base
        gain[name], stderr[name] = gains.mean(), gains.std() / len(gains) ** 0.5
    best = max(TUNED, key=lambda name: gain[name])
    out = {"law": law, "n": n, "number": number, "n_cells": planted.words.shape[1], "d": d}
    out |= {"gain": gain, "stderr": stderr, "cpu_seconds": seconds, "best_tuned": best}
    out["behind"] = gain[best] - gain["defaults"]
    if planted.log_prob is not None:
        there = planted.log_prob(fresh.words) - base
        out |= {"true_gain": there.mean(), "true_gain_stderr": there.std() / len(there) ** 0.5}
    return json.loads(json.dumps(out, default=float), parse_float=lambda x: round(float(x), 4))


def line(row: dict[str, Any]) -> str:
    gain, seconds = row["gain"], row["cpu_seconds"]
    truth = f"{row['true_gain']:6.3f}" if "true_gain" in row else "     –"
    return (
        f"{row['law']:<10} n {row['n']:>6} d {row['d']} there {truth}  first round "
        f"{gain['first round']:6.3f} ({seconds['first round']:3.0f} s)  defaults "
        f"{gain['defaults']:6.3f} ({seconds['defaults']:3.0f} s)  best tuned "
        f"{gain[row['best_tuned']]:6.3f} ({row['best_tuned']})  behind {row['behind']:6.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laws", nargs="*", default=["d2"], help="or all")
    parser.add_argument("--n", nargs="*", type=int, default=[3000])
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--output", type=Path, help="JSON file of rows; a rerun goes on there")
    options = parser.parse_args()
    laws = list(LAWS) if options.laws == ["all"] else options.laws
    torch.set_num_threads(1)
    kept = options.output is not None and options.output.exists()
    rows = json.loads(options.output.read_text()) if kept else []
    there = {(r["law"], r["n"], r["number"]) for r in rows}
    for number in range(options.draws):
        for n in options.n:
            for law in laws:
                if (law, n, number) in there:
                    continue
                rows.append(row(law, n, number))
                print(line(rows[-1]), flush=True)
                if options.output is not None:
                    content = ",\n".join(json.dumps(r) for r in rows)
                    content = f"[\n{content}\n]\n".encode()
                    replace_file(options.output, lambda file, c=content: file.write(c))
    print("\n".join(line(r) for r in rows))
    print(
        f"defaults behind the best tuned settings by at most {max(r['behind'] for r in rows):.3f}"
    )


if __name__ == "__main__":
    main()

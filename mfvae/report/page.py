"""One page of HTML with its figures inside: no scripts, nothing from the network."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from mfvae.report.figures import figures

if TYPE_CHECKING:
    from mfvae.report.pipeline import Report

__all__ = ["body", "page"]

STYLE = """
.mfvae{--paper:#fff;--ink:#1a1a1a;--soft:#555;--line:#ccc;--mark:#0060a0;
font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
max-width:60rem;margin:0 auto;padding:1rem}
.mfvae h1{font-size:1.5rem;margin:.2em 0}.mfvae h2{font-size:1.15rem;margin:1.6em 0 .3em}
.mfvae .verdict{border-left:.3rem solid var(--mark);padding:.2rem 1rem;font-size:1.1rem}
.mfvae .scroll{overflow-x:auto}.mfvae table{border-collapse:collapse;font-size:.9rem}
.mfvae th,.mfvae td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid var(--line);
color:var(--ink);background:var(--paper)}
.mfvae th:first-child,.mfvae td:first-child{text-align:left}
.mfvae figure{margin:1rem 0}.mfvae img{max-width:100%;height:auto}
.mfvae figcaption,.mfvae .note{color:var(--soft);font-size:.9rem}
.mfvae pre{overflow-x:auto;border:1px solid var(--line);padding:.6rem}
@media (prefers-color-scheme:dark){.mfvae{--paper:#161616;--ink:#e8e8e8;--soft:#b0b0b0;
--line:#444;--mark:#6db9f2}}
"""

MEANING = {
    "no-structure": "Nothing collective: cells fire on their own, as far as these words can tell.",
    "mean-field": "A few collective variables explain the correlations.",
    "not-mean-field": "Correlations are there, but no few collective variables explain them.",
    "discrete-states": "The population jumps between a few states; cells are independent in each.",
    "beyond-models": "There is structure that no model of the ladder has.",
    "undecided": "These words do not decide it.",
}

CODE = """import mfvae
report = mfvae.report(X)
z = report.vae.transform(words)         # words: X without the cells left out
more = report.vae.sample(1000, seed=0)  # words drawn from the model"""

HEAD = ("model", "nats a word", "gain", "behind the best", "parameters", "seconds")


def page(report: Report) -> str:
    """Return the whole page."""
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>mfvae report: {report.code}</title>
<style>body{{margin:0;background:#fff}}
@media (prefers-color-scheme:dark){{body{{background:#161616}}}}</style></head>
<body><main>{body(report)}</main></body></html>
"""


def body(report: Report) -> str:
    """Return the report as a block of HTML, as a notebook shows it."""
    escape, facts, gain = html.escape, report.facts, report.gain
    warned = "".join(f"<li>{escape(text)}</li>" for text in report.warnings)
    warned = warned and f"<h2>Warnings</h2><ul>{warned}</ul>"
    figured = "\n".join(
        f"<h2>{title}</h2><figure><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(alt)}"></picture>'
        f"<figcaption>Figure {number}. {escape(alt)}</figcaption></figure>"
        for number, (title, alt, light, dark) in enumerate(figures(report), start=1)
    )
    rows = "".join(
        f"<tr><td>{escape(r['model'])}{'' if r['trained'] else ' (not trained)'}</td>"
        f"<td>{r['nats']:.3f}</td><td>{r['gain']:.3f}</td>"
        f"<td>{r['behind']:.3f} [{r['behind_low']:.3f}, {r['behind_high']:.3f}]</td>"
        f"<td>{r['n_parameters']}</td><td>{r['seconds']:.1f}</td></tr>"
        for r in report.models
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in HEAD)
    named = [f"{name} {v}" for name, v in facts["versions"].items()]
    settings = [f"{name} = {v}" for name, v in facts["settings"].items()]
    m = {
        k: f"{v:.2f}" if isinstance(v, float) else escape(str(v)) for k, v in report.missing.items()
    }
    return f"""<style>{STYLE}</style><div class="mfvae"><h1>{report.code}</h1>
<p class="verdict">{MEANING[report.code]} {escape(report.verdict)}</p>
<p>Collective variables: <strong>{report.n_latents}</strong> ({report.interval}). Gain over
independent cells: {gain[0]:.2f} nats a word [{gain[1]:.2f}, {gain[2]:.2f}]. Words:
{facts["n_words"]}, worth {facts["n_effective"]:.0f} independent ones; cells: {len(report.names)} of
{facts["n_cells"]} (dead and doubled ones are left out).</p>
{warned}{figured}
<h2>What is missing</h2><p>The best rival, {m["rival"]}, is ahead of the VAE by {m["ahead"]} nats
a word [{m["ahead_low"]}, {m["ahead_high"]}] (below zero: behind). What pairs of cells lack against
samples of the VAE is worth {m["left_pairs_nats"]} nats; {m["left_n_triples"]} triples are off,
worth {m["left_triples_nats"]}. Lower limit of what is missed: {m["lower_limit"]} nats.</p>
<h2>Models</h2><div class="scroll" tabindex="0" role="region" aria-label="Models"><table>
<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>
<p class="note">Held-out nats; errors from whole blocks, 99 % for what is behind.</p>
<h2>Go on from here</h2><pre tabindex="0">{CODE}</pre>
<p class="note">{", ".join(settings)}; margin {facts["margin"]:.3f} nats. {", ".join(named)}.</p>
</div>"""

"""One page of HTML with its figures inside: no scripts, nothing from the network."""

from __future__ import annotations

import html
import string
from pathlib import Path
from typing import TYPE_CHECKING

from mfvae.report.figures import figures

if TYPE_CHECKING:
    from mfvae.report.pipeline import Report

__all__ = ["body", "page"]

MEANING = {
    "no-structure": "Nothing collective: cells fire on their own, as far as these words can tell.",
    "mean-field": "A few collective variables explain the correlations.",
    "not-mean-field": "Correlations are there, but no few collective variables explain them.",
    "discrete-states": "The population jumps between a few states; cells are independent in each.",
    "beyond-models": "There is structure that no model of the ladder has.",
    "undecided": "These words do not decide it.",
}


def body(report: Report) -> str:
    """Return the report as a block of HTML, as a notebook shows it."""
    return page(report).partition("<main>")[2].partition("</main>")[0]


def page(report: Report) -> str:
    """Return the whole page: ``page.html`` filled in."""
    escape, facts = html.escape, report.facts
    numbers = facts | vars(report) | report.missing | report.gain._asdict()
    text = {
        name: f"{value:.2f}" if isinstance(value, float) else escape(str(value))
        for name, value in numbers.items()
    }
    warned = "".join(f"<li>{escape(warning)}</li>" for warning in report.warnings)
    text["warnings"] = warned and f"<h2>Warnings</h2><ul>{warned}</ul>"
    text["figures"] = "\n".join(
        f"<h2>{title}</h2><figure><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{escape(alt)}"></picture>'
        f"<figcaption>Figure {number}. {escape(alt)}</figcaption></figure>"
        for number, (title, alt, light, dark) in enumerate(figures(report), start=1)
    )
    text["models"] = "\n".join(
        f"<tr><td>{escape(r['model'])}{'' if r['trained'] else ' (not trained)'}</td>"
        f"<td>{r['nats']:.3f}</td><td>{r['gain']:.3f}</td>"
        f"<td>{r['behind']:.3f} [{r['behind_low']:.3f}, {r['behind_high']:.3f}]</td>"
        f"<td>{r['n_parameters']}</td><td>{r['seconds']:.1f}</td></tr>"
        for r in report.models
    )
    text["settings"] = ", ".join(f"{name} = {v}" for name, v in facts["settings"].items())
    text["versions"] = ", ".join(f"{name} {v}" for name, v in facts["versions"].items())
    text |= {"meaning": MEANING[report.code], "margin": f"{facts['margin']:.3f}"}
    text |= {"interval": report.interval, "n_words": facts["shape"][0], "n_kept": len(report.names)}
    text |= {"n_cells": facts["shape"][1], "n_effective": f"{facts['n_effective']:.0f}"}
    template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    return string.Template(template).substitute(text)

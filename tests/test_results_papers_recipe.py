"""The papers' recipe beside the book's, `book/results/papers_recipe.py`, at small sizes."""

from __future__ import annotations

import papers_recipe
import pytest

SYSTEMS = [system for system in papers_recipe.SIZES if system != "retina"]


def test_every_system_has_both_settings_and_five_seeds() -> None:
    for system, sizes in papers_recipe.SIZES.items():
        for settings in ("book", "recipe"):
            found = {
                row[3] for row in papers_recipe.ROWS if row[:3] == (system, sizes[0], settings)
            }
            assert found == set(range(5))


@pytest.mark.parametrize("system", SYSTEMS)
def test_recipe_is_the_papers(system: str) -> None:
    options = papers_recipe.options_of(system, "recipe")
    assert (options["encoder"], options["decoder"], options["prior"]) == ("cnn", "cnn", "spline")
    assert options["schedule"] == "exponential"
    assert "schedule" not in papers_recipe.options_of(system, "book")


@pytest.mark.slow
@pytest.mark.parametrize("settings", ["book", "recipe"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_small_row_is_repeatable(system: str, settings: str) -> None:
    first, second = (
        papers_recipe.compute_row(system, 64, settings, 0, share=0.02) for _ in range(2)
    )
    for row in (first, second):
        del row["training_seconds"], row["processor_seconds"]
    assert first == second
    assert len(first["gaps"]) == len(papers_recipe.RATIOS)
    assert min(gap for gap, _ in first["gaps"]) > 0

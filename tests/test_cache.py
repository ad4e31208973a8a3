"""Nothing is drawn or trained twice, and nothing stale is taken for new."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from mfvae import MeanFieldVAE, _cache, fit_cached, sample_cached
from mfvae.systems import CurieWeiss, Hopfield


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MFVAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def spins() -> np.ndarray:
    return CurieWeiss(9).sample(1.0, 60, seed=0)


def vae(**options) -> MeanFieldVAE:
    given = {"encoder": "mlp", "decoder": "linear", "n_epochs": 1, "progress": False, **options}
    return MeanFieldVAE(1, **given)


@pytest.fixture
def n_fits(monkeypatch) -> list:
    fits, fit = [], MeanFieldVAE.fit

    def counted(self, *args, **kwargs):
        fits.append(self)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(MeanFieldVAE, "fit", counted)
    return fits


def test_a_model_is_trained_once_and_both_ways_are_equal(spins, n_fits, folder) -> None:
    first, again = vae(), vae(progress=False)
    assert fit_cached(first, spins) is first
    assert fit_cached(again, spins) is again
    assert len(n_fits) == 1
    np.testing.assert_array_equal(first.score_samples(spins), again.score_samples(spins))
    np.testing.assert_array_equal(first.sample(5, seed=1), again.sample(5, seed=1))
    assert first.history_ == again.history_
    assert first.training_seconds_ == again.training_seconds_
    assert len(list(folder.glob("vae-*.pt"))) == 1


def test_whatever_the_result_follows_from_is_in_the_key(spins, n_fits, monkeypatch) -> None:
    temperature = np.full(len(spins), 1.0)
    flipped = spins.copy()
    flipped[0, 0] *= -1
    cases = [
        (vae(), spins, {}),
        (vae(random_state=1), spins, {}),
        (vae(n_epochs=2), spins, {}),
        (vae(), flipped, {}),
        (vae(), spins.astype(np.int64), {}),
        (vae(), spins, {"conditions": temperature}),
        (vae(), spins, {"validation": 0.2}),
        (vae(), spins, {"validation": (spins[:10], None)}),
        (vae(), spins, {"validation": (spins[10:20], None)}),
    ]
    for number, (model, x, options) in enumerate(cases, start=1):
        fit_cached(model, x, **options)
        assert len(n_fits) == number
    monkeypatch.setattr(_cache, "_code_hash", lambda rooms: f"another version of {rooms}")
    fit_cached(vae(), spins)
    assert len(n_fits) == len(cases) + 1


def test_what_is_kept_follows_from_the_rooms_named_in_its_key() -> None:
    """Else a change elsewhere would go unnoticed: systems and vae import from no later room."""
    package = Path(_cache.__file__).parent
    for room, allowed in (("systems", {"systems"}), ("vae", {"systems", "vae"})):
        for source in (package / room).rglob("*.py"):
            for node in ast.walk(ast.parse(source.read_text())):
                names = []
                if isinstance(node, ast.ImportFrom):
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                elif isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                for name in names:
                    if name.startswith("mfvae.") and not name.startswith("mfvae._"):
                        assert name.split(".")[1] in allowed, f"{source}: {name}"
    hashes = {_cache._code_hash(rooms) for rooms in (("systems",), ("systems", "vae"))}
    assert len(hashes) == 2


def test_a_damaged_model_is_trained_again(spins, n_fits, folder) -> None:
    fit_cached(vae(), spins)
    (path,) = folder.glob("vae-*.pt")
    path.write_bytes(path.read_bytes()[:1000])
    fit_cached(vae(), spins)
    assert len(n_fits) == 2
    fit_cached(vae(), spins)
    assert len(n_fits) == 2


@pytest.fixture
def n_draws(monkeypatch) -> list:
    draws, sample = [], CurieWeiss.sample

    def counted(self, *args, **kwargs):
        draws.append(args)
        return sample(self, *args, **kwargs)

    monkeypatch.setattr(CurieWeiss, "sample", counted)
    return draws


def test_samples_are_drawn_once(n_draws) -> None:
    first, again = (sample_cached(CurieWeiss(8), [0.5, 1.0], 6, seed=1) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(n_draws) == 1
    np.testing.assert_array_equal(first, CurieWeiss(8).sample([0.5, 1.0], 6, seed=1))
    for system, temperature, n_samples, seed in [
        (CurieWeiss(9), [0.5, 1.0], 6, 1),
        (CurieWeiss(8), [0.5, 1.1], 6, 1),
        (CurieWeiss(8), [0.5, 1.0], 7, 1),
        (CurieWeiss(8), [0.5, 1.0], 6, 2),
        (CurieWeiss(8), 0.5, 6, 1),
        (CurieWeiss(8), [0.5], 6, 1),
    ]:
        expected = system.sample(temperature, n_samples, seed=seed)
        n_before = len(n_draws)
        found = sample_cached(system, temperature, n_samples, seed=seed)
        np.testing.assert_array_equal(found, expected)
        assert len(n_draws) == n_before + 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "text"])
def test_damaged_samples_are_drawn_again(folder, n_draws, damage: str) -> None:
    first = sample_cached(CurieWeiss(50), 1.0, 100, seed=0)
    (path,) = folder.glob("CurieWeiss-*.npz")
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "truncated": content[:middle],
            "empty": b"",
            "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
            "text": b"not an archive",
        }[damage]
    )
    for _ in range(2):
        np.testing.assert_array_equal(sample_cached(CurieWeiss(50), 1.0, 100, seed=0), first)
    assert len(n_draws) == 2


def test_long_arrays_in_a_configuration_are_told_apart() -> None:
    patterns = np.ones((1500, 1), dtype=np.int8)
    other = patterns.copy()
    other[750] = -1
    one, two = (sample_cached(Hopfield(p), 0.4, 3, seed=0) for p in (patterns, other))
    np.testing.assert_array_equal(two, Hopfield(other).sample(0.4, 3, seed=0))
    assert not np.array_equal(one, two)


def test_a_failed_draw_leaves_nothing(folder) -> None:
    with pytest.raises(ValueError, match="temperature"):
        sample_cached(CurieWeiss(8), -1.0, 3, seed=0)
    assert list(folder.glob("*")) == []

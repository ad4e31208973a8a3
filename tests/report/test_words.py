"""Every trap in a reader's words: a warning or an error that names it, and silence without it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from mfvae.report.words import clean, read_words


def fair(n: int = 2000, n_cells: int = 20, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((n, n_cells)) < 0.3).astype(np.uint8)


def slow(n: int = 4000, n_cells: int = 20, memory: float = 0.95) -> np.ndarray:
    """Words whose rates follow a common AR(1) field."""
    rng = np.random.default_rng(1)
    z = rng.standard_normal(n)
    for t in range(1, n):
        z[t] = memory * z[t - 1] + np.sqrt(1 - memory**2) * z[t]
    return (rng.random((n, n_cells)) < 1 / (1 + np.exp(-1.5 * z[:, None]))).astype(np.uint8)


def test_clean_words_bring_no_warning() -> None:
    found = clean(fair())
    assert found.warnings == []
    assert found.words.dtype == np.uint8
    assert found.time == 0.5
    assert found.n_effective == 2000


def test_dead_cells_are_named_and_left_out() -> None:
    x = fair()
    x[:, 3], x[:, 7] = 0, 1
    found = clean(x)
    assert any("2 dead columns" in w and "3, 7" in w for w in found.warnings)
    assert found.words.shape == (2000, 18)
    assert 3 not in found.kept
    assert 7 not in found.kept


@pytest.mark.parametrize("flip", [False, True])
def test_duplicated_cells_are_named_and_left_out(flip: bool) -> None:
    x = fair()
    x[:, 9] = 1 - x[:, 2] if flip else x[:, 2]
    found = clean(x)
    assert any("duplicated" in w and "9 of 2" in w for w in found.warnings)
    assert found.words.shape[1] == 19


def test_near_dead_cells_are_named() -> None:
    x = fair()
    x[:, 5] = 0
    x[:4, 5] = 1
    assert any("near-dead" in w and ": 5" in w for w in clean(x).warnings)


def test_transposed_raster_is_suspected() -> None:
    assert any("transposed" in w for w in clean(fair(30, 60)).warnings)


def test_correlated_rows_are_counted() -> None:
    found = clean(slow())
    assert any("correlated rows" in w for w in found.warnings)
    # The field's own time is 0.5 (1 + 0.95) / (1 - 0.95) = 19.5; single words see it with noise.
    assert 8 < found.time < 40
    assert clean(slow(), ordered=False).time == 0.5


def test_drift_is_named_and_a_slow_field_is_not_drift() -> None:
    n = 3000
    rng = np.random.default_rng(2)
    rate = np.linspace(0.2, 0.5, n)[:, None]
    x = fair(n)
    x[:, :4] = rng.random((n, 4)) < rate
    assert any("drift" in w for w in clean(x).warnings)
    assert not any("drift" in w for w in clean(fair(n)).warnings)


def test_thin_data_are_named() -> None:
    assert any("too few" in w for w in clean(fair(100)).warnings)


def test_masked_arrays_and_other_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="masked"):
        clean(np.ma.masked_array(fair(), fair()))
    with pytest.raises(TypeError, match="numbers"):
        clean(np.array([["a", "b"]]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda x: x * 3, "two letters"),
        (lambda x: np.where(x > 0, np.nan, 0.0), "finite"),
        (lambda x: x[:5], "at least 20 words"),
        (lambda x: x[:, :2], "at least 20 words of 3 cells"),
        (lambda x: np.zeros_like(x), "cells that change"),
        (lambda x: x[0], "must be"),
    ],
)
def test_what_holds_no_words_is_refused(spoil, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clean(spoil(fair()))


def test_letters_frames_and_sparse_matrices() -> None:
    x = fair()
    spins = clean(2 * x.astype(np.int8) - 1)
    assert spins.letters == (-1, 1)
    assert np.array_equal(spins.words, clean(x).words)
    assert np.array_equal(clean(sparse.csr_matrix(x)).words, x)
    huge = sparse.csr_matrix((2**20, 2**20), dtype=np.uint8)
    with pytest.raises(ValueError, match="sparse"):
        clean(huge)


def test_trials_become_blocks() -> None:
    found = clean(fair(2000).reshape(40, 50, 20))
    assert len(np.unique(found.blocks)) == 40
    rows = found.split(np.random.SeedSequence(0))
    parts = [set(found.blocks[index]) for index in rows.values()]
    assert sum(map(len, rows.values())) == 2000
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    with pytest.raises(ValueError, match="groups"):
        clean(fair(), np.zeros(5))


def test_files_of_every_kind(tmp_path) -> None:
    x = fair(50, 6)
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "a.npz", words=x, other=np.zeros(3))
    np.savetxt(tmp_path / "a.csv", x, fmt="%d", delimiter=",", header="a,b,c,d,e,f", comments="")
    np.savetxt(tmp_path / "a.txt", x, fmt="%d")
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"words": x})
    for name in ("a.npy", "a.npz", "a.csv", "a.txt", "a.mat"):
        assert np.array_equal(read_words(tmp_path / name), x), name
    with pytest.raises(ValueError, match="no array nothing"):
        read_words(tmp_path / "a.npz", key="nothing")
    (tmp_path / "a.doc").write_text("")
    with pytest.raises(ValueError, match="cannot read"):
        read_words(tmp_path / "a.doc")
    with pytest.raises(FileNotFoundError):
        read_words(tmp_path / "b.npy")


class Frame:
    """What frames of pandas and of polars have in common."""

    def __init__(self, x: np.ndarray) -> None:
        self.x, self.columns = x, [f"cell {i}" for i in range(x.shape[1])]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.x.astype(dtype or self.x.dtype)


@pytest.mark.parametrize("kind", ["fake", "pandas", "polars"])
def test_frames_keep_the_names_of_their_columns(kind: str) -> None:
    x = fair()
    x[:, 4] = 0
    frame = Frame(x)
    if kind != "fake":
        columns = dict(zip(frame.columns, x.T, strict=True))
        frame = pytest.importorskip(kind).DataFrame(columns)
    found = clean(frame)
    assert np.array_equal(found.words, np.delete(x, 4, axis=1))
    assert found.names == [f"cell {i}" for i in range(20) if i != 4]
    assert found.warnings == ["1 dead columns never change: cell 4"]


def test_parquet_is_read_by_pandas(tmp_path, monkeypatch) -> None:
    x = fair(50, 6)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    reader = SimpleNamespace(read_parquet=lambda path: Frame(x) if path.is_file() else None)
    monkeypatch.setitem(sys.modules, "pandas", reader)
    found = clean(read_words(tmp_path / "a.parquet"), ordered=False)
    assert np.array_equal(found.words, x)
    assert found.names[0] == "cell 0"


def test_parquet_file(tmp_path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    x = fair(50, 6)
    pandas.DataFrame(x, columns=list("abcdef")).to_parquet(tmp_path / "a.parquet")
    found = clean(read_words(tmp_path / "a.parquet"), ordered=False)
    assert np.array_equal(found.words, x)
    assert found.names == list("abcdef")


class Units(dict):
    def __len__(self) -> int:
        return len(self["spike_times"])


class NWBHDF5IO:
    def __init__(self, path: str, mode: str) -> None:
        assert mode == "r"

    def __enter__(self) -> NWBHDF5IO:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def read(self) -> SimpleNamespace:
        return SimpleNamespace(units=Units(spike_times=[[0.005, 0.035, 0.036], [0.015], []]))


def test_nwb_units_are_binned(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.nwb"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="--bin"):
        read_words(path)
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(ValueError, match="needs the package pynwb"):
        read_words(path, bin_width=0.01)
    monkeypatch.setitem(sys.modules, "pynwb", SimpleNamespace(NWBHDF5IO=NWBHDF5IO))
    words = read_words(path, bin_width=0.01)
    assert words[:4].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_spike_times_want_two_columns(tmp_path) -> None:
    np.save(tmp_path / "a.npy", fair(50, 6))
    with pytest.raises(ValueError, match="two columns"):
        read_words(tmp_path / "a.npy", bin_width=0.01)


def test_pickles_are_refused(tmp_path) -> None:
    np.save(tmp_path / "p.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="pickle"):
        read_words(tmp_path / "p.npy")


def test_spike_times_are_binned(tmp_path) -> None:
    times = np.array([[0.005, 0], [0.015, 1], [0.035, 0], [0.036, 0]])
    np.save(tmp_path / "spikes.npy", times)
    words = read_words(tmp_path / "spikes.npy", bin_width=0.01)
    assert words[:4].tolist() == [[1, 0], [0, 1], [0, 0], [1, 0]]

"""The sweep of rivals on the retina: its rows are labelled, resumable, and computed again."""

import importlib
import json

import jupytext
import numpy as np
import pytest
from scipy.special import logsumexp

import mfvae
import mfvae.compare.table as table_module
from mfvae import measure
from mfvae.compare import compare_models
from mfvae.data import RetinaWords, load_retina


@pytest.fixture(scope="module")
def rivals():
    return importlib.import_module("retina_rivals")


@pytest.fixture(scope="module")
def kept(rivals):
    return json.loads(rivals.OUTPUT.read_text())


@pytest.fixture(scope="module")
def small():
    """A toy recording: 20 trials of 30 bins, 8 cells driven together."""
    rng = np.random.default_rng(0)
    rate = np.where(rng.random((20, 30, 1)) < 0.3, 0.6, 0.1)
    words = (rng.random((20, 30, 8)) < rate).astype(np.uint8)
    return RetinaWords(words, "toy", "0" * 64)


def test_rows_are_labelled_and_belong_to_the_table(rivals, kept):
    keys = [(row["split"], row["model"]) for row in kept["rows"]]
    assert len(set(keys)) == len(keys)
    assert set(keys) <= set(rivals.ROWS)
    counts = kept["configuration"]["trial_counts"]
    for row in kept["rows"]:
        assert all(row[label] for label in ("code", "machine", "method", "seconds"))
        n = sum(counts[row["split"]])
        assert -sum(row["trial_sums"]) / n == pytest.approx(row["nats"], abs=1e-4)
        if "elbo_nats" in row:  # a bound cannot beat what it bounds, on average
            assert row["elbo_nats"] > row["nats"]


def test_a_lead_is_the_paired_difference_of_the_words(rivals, small, monkeypatch):
    monkeypatch.setattr(table_module, "_N_BOOTSTRAP", 4000)
    split, rows = "bins", []
    for name in ("independent", "mixture of 2"):
        rows.append(rivals.compute_row(small, split, name))
    counts = rivals.trial_counts(small, split)
    value, low, high = rivals.lead(rows[1], rows[0], counts)
    train, test = small.split(split)
    groups = small.split_rows(split)[1] // small.n_bins
    models = {name: rivals.build(name) for name in ("independent", "mixture of 2")}
    table = compare_models(models, train, test, groups=groups)
    found = table.difference("mixture of 2", "independent")
    assert value == pytest.approx(found.value, abs=1e-3)
    assert low == pytest.approx(found.low, abs=0.1 * (found.high - found.low))
    assert high == pytest.approx(found.high, abs=0.1 * (found.high - found.low))


def test_rows_are_of_the_present_settings(rivals):
    for row in mfvae.load_results("retina_rivals")["rows"]:  # those of further seeds, too
        settings = json.loads(json.dumps(rivals.MODELS[row["model"]][1]))
        assert row["settings"] == settings, f"{row['split']}, {row['model']}: compute it --again"


@pytest.mark.parametrize("page", ["first-recording", "retina"])
def test_the_chapters_train_the_two_latents_of_the_table(rivals, page, monkeypatch):
    monkeypatch.setenv("MFVAE_SCALE", "course")
    chapter = jupytext.read(rivals.RESULTS.parents[2] / "book" / f"{page}.md")
    (cell,) = (cell.source for cell in chapter.cells if "linear_vae = {" in cell.source)
    scope = {"mfvae": mfvae}
    exec(cell, scope)
    assert scope["linear_vae"] == rivals.LINEAR


@pytest.mark.parametrize("split", ["bins", "trials"])
def test_the_best_latent_model_leads_the_mixture_on_known_scenes(rivals, kept, split):
    rows = {row["model"]: row for row in kept["rows"] if row["split"] == split}
    counts = kept["configuration"]["trial_counts"][split]
    best = min((row for name, row in rows.items() if "VAE" in name), key=lambda row: row["nats"])
    value, low, _ = rivals.lead(best, rows["mixture of 200"], counts)
    assert value > low > 0.05
    _, _, high = rivals.lead(rows["linear VAE, 16 latents"], rows["mixture of 200"], counts)
    assert high < 0  # negative control: not any latent model does


def test_annealing_from_both_ends_brackets_the_normaliser(rivals, small, monkeypatch):
    hasty = {"n_steps": 20, "n_annealing_chains": 2, "n_annealing_steps": 1}
    monkeypatch.setitem(rivals.MODELS, "pairwise", ("pairwise", hasty, True))
    model = rivals.build("pairwise").fit(small.flat())
    model.couplings_ = 0.5 * (1 - np.eye(8))  # far from independent cells
    x = measure.all_configurations(8) > 0
    exact = logsumexp(model.score_samples(x)) + float(model.log_normalizer_)
    monkeypatch.setattr(rivals, "N_ANNEALINGS", 40)
    model.n_sweeps = 30
    for sign, found in zip((-1, 1), rivals.both_directions(model, 0).values(), strict=True):
        excess = sign * (np.array(found) - exact)
        assert len(set(found)) > 30
        assert excess.mean() > 5.5 * excess.std() / np.sqrt(40)


def test_annealings_of_the_kept_rows_agree(rivals, kept):
    annealed = [row for row in kept["rows"] if "log_normalizer" in row]
    assert {row["model"] for row in annealed} == {
        name for name, (kind, *_) in rivals.MODELS.items() if kind in ("pairwise", "rbm")
    }
    for row in annealed:
        low, high = (np.mean(row["log_normalizer"][name]) for name in ("forward", "reverse"))
        assert low - 0.02 < high < low + 0.1, (row["split"], row["model"])


def test_a_row_is_written_kept_and_shown(rivals, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(rivals, "load_retina", lambda: small)
    path = tmp_path / "toy.json"
    chosen = ["--split", "trials", "--model", "mixture of 2", "--output", str(path)]
    rivals.main(chosen)
    (row,) = json.loads(path.read_text())["rows"]
    assert (row["split"], row["model"], row["method"]) == ("trials", "mixture of 2", "exact")
    assert row["seconds"] > 0
    assert row["code"]
    rivals.main(chosen)
    assert "there already" in capsys.readouterr().out
    rivals.main(["--show", "--output", str(path)])
    assert "mixture of 2" in capsys.readouterr().out


def test_the_surrogate_is_refused(rivals, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MFVAE_DATA", raising=False)
    toy = RetinaWords(np.eye(8, dtype=np.uint8)[None], "toy", "0" * 64, is_surrogate=True)
    monkeypatch.setattr(rivals, "load_retina", lambda: toy)
    rivals.main(["--output", str(tmp_path / "none.json")])
    assert "nothing is computed" in capsys.readouterr().out
    assert not (tmp_path / "none.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["independent", "mixture of 2"])
def test_one_row_computed_again(rivals, kept, model):
    retina = load_retina()
    if retina.is_surrogate:
        pytest.skip("the recording is not here")
    stored = {(row["split"], row["model"]): row for row in kept["rows"]}
    again = rivals.compute_row(retina, "bins", model)
    assert again["nats"] == pytest.approx(stored["bins", model]["nats"], abs=0.02)
    other = "independent" if model != "independent" else "mixture of 2"
    assert abs(again["nats"] - stored["bins", other]["nats"]) > 0.5  # negative control

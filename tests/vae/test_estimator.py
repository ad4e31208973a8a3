"""The estimator: scikit-learn's conventions, every kind of data, and clear refusals."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from mfvae import MeanFieldVAE
from mfvae.systems import CurieWeiss, MaierSaupe


def vae(**options) -> MeanFieldVAE:
    given = {"encoder": "mlp", "decoder": "linear", "n_epochs": 1, "progress": False, **options}
    given.setdefault("n_latents", 1)
    return MeanFieldVAE(**given)


def spins(n_samples: int = 40, n_sites: int = 9, seed: int = 0) -> np.ndarray:
    return CurieWeiss(n_sites).sample(1.0, n_samples, seed=seed)


@pytest.fixture(scope="module")
def fitted() -> MeanFieldVAE:
    return vae(n_latents=2).fit(spins(), conditions=np.linspace(0.5, 1.5, 40))


# ------------------------------------------------------------------------- scikit-learn

#: The importance-weighted bound is a Monte-Carlo estimate: each row's noise comes from one
#: stream in the order of the rows, so that the errors of different rows are independent.
MONTE_CARLO = "score_samples estimates by Monte Carlo: a row's noise depends on its place"
EXPECTED_FAILURES = {
    "check_methods_subset_invariance": MONTE_CARLO,
    "check_methods_sample_order_invariance": MONTE_CARLO,
    "check_transformer_preserve_dtypes": "the network computes in float32, and says so",
}


@pytest.fixture
def global_generator_restored():
    """scikit-learn's checks use NumPy's global generator."""
    state = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.mark.usefixtures("global_generator_restored")
def test_scikit_learns_checks() -> None:
    assert len(EXPECTED_FAILURES) <= 5
    model = vae(likelihood="gaussian", n_epochs=2, encoder_options={"widths": (8,)})
    with warnings.catch_warnings():
        # scikit-learn announces each expected failure.
        warnings.filterwarnings("ignore", category=Warning, module="sklearn")
        results = check_estimator(
            model, expected_failed_checks=EXPECTED_FAILURES, on_fail=None, on_skip=None
        )
    failed = {r["check_name"]: r["exception"] for r in results if r["status"] == "failed"}
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) > 30


def test_parameters_and_clone() -> None:
    model = vae(lattice_shape=(3, 3), prior_options={"n_bins": 4}, beta=0.5)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    copy.set_params(beta=2.0, n_latents=3)
    assert (copy.beta, copy.n_latents, model.beta) == (2.0, 3, 0.5)


def test_in_a_pipeline() -> None:
    x = np.random.default_rng(0).normal(5, 3, (60, 4))
    pipeline = make_pipeline(StandardScaler(), vae(likelihood="gaussian", n_latents=2))
    assert pipeline.fit_transform(x).shape == (60, 2)
    assert pipeline.transform(x[:3]).shape == (3, 2)
    assert np.isfinite(pipeline.score(x))


def test_fit_transform_hands_conditions_to_both() -> None:
    c = np.linspace(0.5, 1.5, 40)
    z = vae().fit_transform(spins(), conditions=c)
    np.testing.assert_array_equal(z, vae().fit(spins(), conditions=c).transform(spins(), c))


def test_pickling(fitted: MeanFieldVAE) -> None:
    c = np.ones(40)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(spins(), c), fitted.transform(spins(), c))


def test_unfitted_models_say_so() -> None:
    for ask in (
        lambda m: m.sample(1, seed=0),
        lambda m: m.sample_prior(1, seed=0),
        lambda m: m.log_prior(np.zeros((1, 1))),
        lambda m: m.decode(np.zeros((1, 1))),
        lambda m: m.reconstruct_mean(np.zeros((1, 1))),
        lambda m: m.transform(spins()),
        lambda m: m.encode(spins()),
        lambda m: m.score_samples(spins()),
        lambda m: m.score(spins()),
    ):
        with pytest.raises(ValueError, match="not fitted"):
            ask(vae())


# ------------------------------------------------------------------------- kinds of data


@pytest.mark.parametrize("dtype", ["int8", "int64", "float32", "bool"])
def test_two_letter_data_are_given_back(dtype: str) -> None:
    letters = (0, 1) if dtype == "bool" else (-1, 1)
    x = (spins() > 0).astype(dtype) if dtype == "bool" else spins().astype(dtype)
    drawn = vae().fit(x).sample(200, seed=1)
    assert drawn.dtype == np.dtype(dtype)
    assert set(np.unique(drawn).astype(int)) == set(letters)


def test_spins_and_words_are_the_same_model() -> None:
    s = spins()
    words = ((s + 1) // 2).astype(np.uint8)
    one, other = vae().fit(s), vae().fit(words)
    np.testing.assert_array_equal(one.score_samples(s), other.score_samples(words))
    np.testing.assert_array_equal((one.sample(9, seed=0) + 1) // 2, other.sample(9, seed=0))
    z = one.transform(s)
    np.testing.assert_allclose(
        one.reconstruct_mean(z), 2 * other.reconstruct_mean(z) - 1, atol=1e-6
    )
    np.testing.assert_allclose(
        one.reconstruct_mean(z), np.tanh(one.decode(z)[..., 0] / 2), atol=1e-6
    )


def test_categories_and_real_values_and_directors() -> None:
    codes = np.random.default_rng(0).integers(0, 4, (30, 5))
    drawn = vae(likelihood="categorical").fit(codes).sample(50, seed=0)
    assert drawn.dtype == codes.dtype
    assert set(np.unique(drawn)) <= set(range(4))
    reals = np.random.default_rng(0).normal(100, 7, (200, 5))
    drawn = vae(likelihood="gaussian").fit(reals).sample(2000, seed=0)
    np.testing.assert_allclose(drawn.mean(axis=0), reals.mean(axis=0), atol=3)
    directors = MaierSaupe(7).sample(0.25, 30, seed=0)
    model = MeanFieldVAE(5, likelihood="bingham", n_epochs=1, progress=False).fit(directors)
    assert model.configuration_["encoder"] == "set"
    assert model.configuration_["decoder"] == "linear"
    drawn = model.sample(4, seed=0)
    assert drawn.shape == (4, 7, 3)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=-1), 1, atol=1e-5)
    assert model.reconstruct_mean(np.zeros((2, 5))).shape == (2, 7, 3, 3)


def test_constant_columns() -> None:
    s = spins()
    s[:, 2] = -1
    with pytest.warns(UserWarning, match="1 dead columns never change: 2"):
        model = vae(n_epochs=3).fit(s)
    assert (model.sample(500, seed=0)[:, 2] == -1).mean() > 0.9
    assert np.isfinite(model.score_samples(s)).all()
    x = np.random.default_rng(0).normal(size=(60, 4))
    x[:, 1] = 4.0
    model = vae(likelihood="gaussian", n_epochs=3).fit(x)
    assert np.isfinite(model.score_samples(x)).all()
    assert abs(model.sample(200, seed=0)[:, 1].mean() - 4) < 0.5


@pytest.mark.filterwarnings("ignore:too few rows")
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "categorical"])
def test_one_sample(likelihood: str) -> None:
    x = np.array([[0, 1, 1, 0, 1]])
    model = vae(likelihood=likelihood).fit(x)
    assert np.isfinite(model.score_samples(x)).all()
    assert model.sample(3, seed=0).shape == (3, 5)
    with pytest.raises(ValueError, match="at least two samples"):
        vae(likelihood=likelihood).fit(x, validation=0.5)


@pytest.mark.parametrize("n_sites", [1, 2, 7, 10, 25])
def test_any_number_of_sites(n_sites: int) -> None:
    x = spins(20, n_sites) if n_sites > 1 else np.array([[-1], [1]] * 10)
    model = MeanFieldVAE(1, n_epochs=1, progress=False).fit(x)
    assert model.sample(3, seed=0).shape == (3, n_sites)


@pytest.mark.parametrize(
    ("n_latents", "options", "names"),
    [
        (1, {}, ("mlp", "linear", "spline")),
        (2, {}, ("mlp", "linear", "mixture")),  # 16 sites are no lattice unless one says so
        (1, {"lattice_shape": (4, 4)}, ("cnn", "cnn", "spline")),
        (1, {"decoder": "cnn"}, ("cnn", "cnn", "spline")),
        (1, {"likelihood": "gaussian"}, ("mlp", "mlp", "spline")),
    ],
)
def test_what_auto_means(n_latents: int, options: dict, names: tuple[str, str, str]) -> None:
    model = MeanFieldVAE(n_latents, n_epochs=1, progress=False, **options).fit(spins(40, 16))
    assert tuple(model.configuration_[kind] for kind in ("encoder", "decoder", "prior")) == names


def test_epochs_are_enough_for_the_steps() -> None:
    x = spins(90, 9)  # no validation below 100 rows
    given = {"batch_size": 32, "progress": False, "encoder_options": {"widths": (4,)}}
    given["polish_steps"] = 0
    assert len(MeanFieldVAE(1, n_steps=75, **given).fit(x).history_["loss"]) == 25
    assert len(MeanFieldVAE(1, n_steps=30, **given).fit(x).history_["loss"]) == 20
    assert len(MeanFieldVAE(1, n_epochs=2, **given).fit(x).history_["loss"]) == 2
    for bad, error in ((0, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="n_steps"):
            MeanFieldVAE(1, n_steps=bad, progress=False).fit(x)


@pytest.mark.slow
def test_defaults_find_what_a_few_words_share() -> None:
    """A fair coin that flips all cells together: nothing but the words' entropies is needed."""
    rng = np.random.default_rng(0)
    p = np.where(rng.random((1300, 1)) < 0.5, 0.9, 0.1)
    x = (rng.random((1300, 20)) < p).astype(np.uint8)
    log_odds = np.log(9.0)
    up = x.sum(axis=1)
    exact = -np.log(2) + np.logaddexp(up * log_odds, (20 - up) * log_odds) + 20 * np.log(0.1)
    model = MeanFieldVAE(1, progress=False).fit(x[:300])
    gain = model.score_samples(x[300:], method="quadrature").mean() + 20 * np.log(2)
    assert gain == pytest.approx(exact[300:].mean() + 20 * np.log(2), abs=0.6)
    # Negative control: what twenty epochs of 300 words, 40 steps, were worth.
    short = MeanFieldVAE(1, n_epochs=20, learning_rate=3e-3, progress=False).fit(x[:300])
    gained = short.score_samples(x[300:], method="quadrature").mean() + 20 * np.log(2)
    assert gained < gain - 1


def test_lattice_shapes() -> None:
    x = spins(20, 15)
    model = MeanFieldVAE(1, lattice_shape=(3, 5), n_epochs=1, progress=False).fit(x)
    assert model.configuration_["encoder"] == model.configuration_["decoder"] == "cnn"
    for shape, error in (((4, 4), ValueError), ((15,), ValueError), (15, TypeError)):
        with pytest.raises(error, match="lattice_shape"):
            MeanFieldVAE(1, lattice_shape=shape, progress=False).fit(x)
    with pytest.raises(ValueError, match="no square"):
        MeanFieldVAE(1, encoder="cnn", progress=False).fit(x)


# --------------------------------------------------------------------------- conditions


def test_shapes_of_conditions() -> None:
    x, c = spins(), np.linspace(0.5, 1.5, 40)
    flat, column = vae().fit(x, conditions=c), vae().fit(x, conditions=c[:, None])
    np.testing.assert_array_equal(flat.score_samples(x, c), column.score_samples(x, c[:, None]))
    two = vae().fit(x, conditions=np.stack([c, c**2], axis=1))
    assert two.sample(3, [0.7, 0.49], seed=0).shape == (3, 9)
    np.testing.assert_array_equal(
        two.sample(3, [0.7, 0.49], seed=0), two.sample(3, [[0.7, 0.49]] * 3, seed=0)
    )
    for bad in (c[:-1], c[None], np.ones((40, 2, 1)), np.full(40, np.nan), "T"):
        with pytest.raises((ValueError, TypeError), match="condition"):
            vae().fit(x, conditions=bad)
    for bad in (None, c[:3], np.ones((40, 2))):
        with pytest.raises(ValueError, match="condition"):
            flat.score_samples(x, bad)
    with pytest.raises(ValueError, match="condition"):
        flat.sample(3, seed=0)
    with pytest.raises(ValueError, match="condition"):
        vae().fit(x).sample(3, 1.0, seed=0)


def test_a_constant_condition_is_not_divided_by_rounding_errors() -> None:
    x = spins()
    model = vae().fit(x, conditions=np.full(40, 0.1))
    assert model.configuration_["condition_scale"] == [1.0]
    near, far = (model.sample_prior(5, value, seed=0) for value in (0.1, 0.100001))
    np.testing.assert_allclose(near, far, atol=1e-3)


# ------------------------------------------------------------------- what the model says


def test_scores_and_samples_repeat(fitted: MeanFieldVAE) -> None:
    x, c = spins(), np.ones(40)
    for method in ("elbo", "iwae"):
        first, again = (fitted.score_samples(x, c, method=method) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert first.dtype == np.float64
        assert first.shape == (40,)
    one, other = (fitted.score_samples(x, c, seed=seed) for seed in (1, 2))
    assert not np.array_equal(one, other)
    sequence = np.random.SeedSequence(5)
    first, again = (fitted.sample(4, 1.0, seed=sequence) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_samples_come_from_the_latents_of_sample_prior(fitted: MeanFieldVAE) -> None:
    z = fitted.sample_prior(20_000, 1.0, seed=4)
    x = fitted.sample(20_000, 1.0, seed=4)
    residual = x - fitted.reconstruct_mean(z)
    stderr = residual.std(axis=0) / 20_000**0.5
    assert np.abs(residual.mean(axis=0) / stderr).max() < 5.5


def test_samples_agree_with_the_quadrature(fitted: MeanFieldVAE) -> None:
    """Two independent roads to the same law: moments of samples, probabilities of words."""
    model = vae().fit(spins(n_sites=4))
    words = 2 * (np.arange(16)[:, None] >> np.arange(4) & 1) - 1
    probability = np.exp(model.score_samples(words, method="quadrature"))
    assert probability.sum() == pytest.approx(1, abs=1e-4)
    x = model.sample(50_000, seed=0)
    code = ((x + 1) // 2) @ (1 << np.arange(4))
    counts = np.bincount(code, minlength=16)

    def chi_squared(p: np.ndarray) -> float:
        p = p / p.sum()
        return ((counts - 50_000 * p) ** 2 / (50_000 * p)).sum()

    limit = 61.2  # chi-squared with 15 degrees of freedom: 1.6e-7
    assert chi_squared(probability) < limit
    assert chi_squared(probability ** np.linspace(0.93, 1.07, 16)) > limit


def test_log_prior_is_a_density(fitted: MeanFieldVAE) -> None:
    model = vae().fit(spins())
    z = np.linspace(-9, 9, 2001)[:, None]
    assert np.exp(model.log_prior(z)).sum() * 18 / 2000 == pytest.approx(1, abs=1e-3)


# ------------------------------------------------------------------------------ refusals

anything = st.one_of(
    st.none(),
    st.text(max_size=3),
    st.integers(-3, 3),
    st.floats(allow_nan=True),
    st.lists(st.floats(), max_size=3),
    st.just(np.zeros((0, 9))),
    st.just(np.zeros((3, 8))),
    st.just(np.full((3, 9), np.nan)),
    st.just(np.full((3, 9), 0.5)),
    st.just(np.full((3, 9), np.inf)),
    st.just(np.array([["a"] * 9])),
    st.just(np.ones((3, 9), dtype=complex)),
    st.just(np.ones((2, 3, 9))),
    st.just([[1, 2], [3]]),
)


@given(anything)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_bad_data_are_refused_by_every_method(fitted: MeanFieldVAE, x) -> None:
    c = np.ones(3)
    is_a_good_training_set = isinstance(x, np.ndarray) and x.shape == (3, 8)
    fits = (lambda: vae().fit(x), lambda: vae().fit(x, conditions=c))
    for ask in (
        *(() if is_a_good_training_set else fits),
        lambda: vae().fit(spins(), validation=(x, None)),
        lambda: fitted.transform(x, c),
        lambda: fitted.encode(x, c),
        lambda: fitted.score_samples(x, c),
        lambda: fitted.score(x, conditions=c),
    ):
        with pytest.raises((ValueError, TypeError)):
            ask()


@given(anything)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_bad_latents_are_refused(fitted: MeanFieldVAE, z) -> None:
    for ask in (fitted.decode, fitted.reconstruct_mean, lambda z: fitted.log_prior(z, 1.0)):
        with pytest.raises((ValueError, TypeError)):
            ask(z)


def test_bad_requests_are_refused(fitted: MeanFieldVAE) -> None:
    x, c = spins(), np.ones(40)
    for ask in (
        lambda: fitted.sample(0, 1.0, seed=0),
        lambda: fitted.sample(2.5, 1.0, seed=0),
        lambda: fitted.sample(2, 1.0, seed=-1),
        lambda: fitted.sample(2, 1.0, seed=None),
        lambda: fitted.sample(2, "cold", seed=0),
        lambda: fitted.sample(2, [np.nan], seed=0),
        lambda: fitted.sample(2, [1.0, 2.0], seed=0),
        lambda: fitted.score_samples(x, c, method="exact"),
        lambda: fitted.score_samples(x, c, n_importance=0),
        lambda: fitted.score_samples(x, c, tolerance=0.0, method="quadrature"),
        lambda: fitted.score_samples(x, c, seed="1"),
        lambda: vae(n_latents=3).fit(x).score_samples(x, method="quadrature"),
    ):
        with pytest.raises((ValueError, TypeError)):
            ask()


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_latents": 0},
        {"n_latents": 1.5},
        {"encoder": "transformer"},
        {"decoder": "set"},
        {"prior": "flow"},
        {"prior": "coupling"},
        {"likelihood": "poisson"},
        {"schedule": "cosine"},
        {"beta": -1.0},
        {"beta": np.nan},
        {"n_epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"patience": 0},
        {"random_state": -1},
        {"random_state": None},
        {"encoder_options": [("widths", 3)]},
        {"encoder_options": {"depth": 3}},
        {"encoder_options": {"widths": (0,)}},
        {"decoder_options": {"widths": (3,)}},
        {"prior_options": {"n_bins": 1}},
        {"likelihood_options": {"letters": (0, 2)}},
        {"likelihood_options": {"variance": "unit"}},
    ],
)
def test_bad_parameters_are_refused(parameters: dict) -> None:
    with pytest.raises((ValueError, TypeError), match=r"must|option|coupling") as caught:
        vae(**parameters).fit(spins())
    assert "unexpected keyword" not in str(caught.value)


def test_data_of_another_kind_are_refused() -> None:
    codes = np.random.default_rng(0).integers(0, 4, (30, 9))
    reals = np.random.default_rng(0).normal(size=(30, 9))
    for likelihood, x in [
        ("bernoulli", codes),
        ("bernoulli", reals),
        ("categorical", reals),
        ("categorical", spins()),
        ("bingham", reals),
        ("bingham", np.ones((30, 9, 3))),
    ]:
        with pytest.raises(ValueError, match=r"need|hold|axes|unit"):
            vae(likelihood=likelihood).fit(x)
    with pytest.raises(ValueError, match="letters"):
        vae().fit(spins()).score_samples((spins() + 1) // 2)
    with pytest.raises(ValueError, match="cannot be told"):
        vae().fit(np.ones((30, 9)))


def test_validation_must_be_a_fraction_or_a_pair() -> None:
    for bad in (0.0, 1.0, -0.5, "0.1", (spins(),), (spins(), None, None), (spins(), np.ones(40))):
        with pytest.raises((ValueError, TypeError)):
            vae().fit(spins(), validation=bad)

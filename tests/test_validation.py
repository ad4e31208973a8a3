"""Every check returns the canonical form or says what was wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfvae import _validation as v

no_numbers = st.sampled_from([None, "1", b"1", True, np.True_, [1], {}, object(), 1j])
quick = settings(deadline=None, max_examples=40, derandomize=True)


@quick
@given(st.integers(1, 10**6))
def test_counts_pass(value: int) -> None:
    for given_as in (value, np.int64(value)):
        result = v.check_count(given_as, "n")
        assert result == value
        assert type(result) is int


@quick
@given(st.one_of(no_numbers, st.floats()))
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="n must be an integer"):
        v.check_count(value, "n")


@quick
@given(st.integers(max_value=0))
def test_small_and_large_counts_are_refused(value: int) -> None:
    with pytest.raises(ValueError, match="n must be at least 1"):
        v.check_count(value, "n")
    with pytest.raises(ValueError, match="n must be at most 3"):
        v.check_count(4 - value, "n", maximum=3)


@quick
@given(st.floats(min_value=1e-100, max_value=1e100))
def test_temperatures_pass(value: float) -> None:
    for given_as in (value, np.float64(value), np.array(value)):
        assert v.check_temperature(given_as) == value
        array, single = v.check_temperatures(given_as)
        assert single
        np.testing.assert_array_equal(array, [value])
    array, single = v.check_temperatures([value, 1])
    assert not single
    np.testing.assert_array_equal(array, [value, 1.0])


@quick
@given(
    st.one_of(no_numbers, st.floats(max_value=0), st.sampled_from([np.nan, np.inf, 1e-101, 1e101]))
)
def test_bad_temperatures_are_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError), match="temperature"):
        v.check_temperature(value)
    if value != [1]:
        with pytest.raises((TypeError, ValueError), match="temperature"):
            v.check_temperatures(value)
    if not isinstance(value, (bool, np.bool_)):  # NumPy counts True among the numbers as 1
        with pytest.raises((TypeError, ValueError), match="temperature"):
            v.check_temperatures([1.0, value])


def test_numbers_have_bounds() -> None:
    assert v.check_number(2, "a") == 2.0
    assert type(v.check_number(np.float32(2), "a")) is float
    with pytest.raises(ValueError, match=r"a must lie in \[0, 1\]"):
        v.check_number(1.5, "a", minimum=0, maximum=1)
    with pytest.raises(ValueError, match="a must be positive"):
        v.check_number(0.0, "a", positive=True)
    with pytest.raises(ValueError, match="a must be finite"):
        v.check_number(np.nan, "a")
    assert v.check_fraction(0.5, "a") == 0.5
    for value in (0, 1, -0.5):
        with pytest.raises(ValueError, match="strictly between"):
            v.check_fraction(value, "a")


def test_choices() -> None:
    assert v.check_choice("b", "letter", ("a", "b")) == "b"
    with pytest.raises(ValueError, match="letter"):
        v.check_choice("c", "letter", ("a", "b"))
    with pytest.raises(TypeError, match="letter"):
        v.check_choice(None, "letter", ("a", "b"))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, TypeError, "array of numbers"),
        ("12", TypeError, "array of numbers"),
        ({}, TypeError, "array of numbers"),
        ([["a"]], TypeError, "real numbers"),
        ([[1j]], TypeError, "real numbers"),
        ([[1], [1, 2]], ValueError, "rectangular"),
        ([1.0], ValueError, "2 axes"),
        ([[]], ValueError, "empty"),
        ([[np.nan]], ValueError, "finite"),
        ([[np.inf]], ValueError, "finite"),
    ],
)
def test_bad_arrays_are_refused(value: object, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        v.check_finite_array(value, "a", ndim=2)


@quick
@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([np.int8, int, np.float32, float]))
def test_spins_and_words_pass(n_samples: int, n_sites: int, dtype: type) -> None:
    x = np.where(np.arange(n_samples * n_sites).reshape(n_samples, n_sites) % 3 == 0, 1, -1)
    spins = v.check_spins(x.astype(dtype), n_sites)
    assert spins.dtype == np.int8
    np.testing.assert_array_equal(spins, x)
    up = v.check_two_letters((x > 0).astype(dtype), n_sites=n_sites)
    assert up.dtype == bool
    np.testing.assert_array_equal(up, x > 0)


@pytest.mark.parametrize("check", [v.check_spins, lambda x, n=None: v.check_two_letters(x, "x", n)])
@pytest.mark.parametrize("x", [[[2, 1]], [[0.5, 1]], [1, 1], [[-1, 0]], [[]], None])
def test_bad_spins_and_words_are_refused(check: object, x: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        check(x)
    with pytest.raises(ValueError, match="shape"):
        check([[1, 1]], 3)


def test_letters_of_the_other_alphabet_are_refused() -> None:
    with pytest.raises(ValueError, match="spins -1 and"):
        v.check_spins([[0, 1]])
    with pytest.raises(ValueError, match="or words"):
        v.check_two_letters([[-1, 0, 1]])


@quick
@given(st.integers(0, 2**70))
def test_seeds_are_fresh_whatever_was_spawned_before(seed: int) -> None:
    first = v.check_seed(seed)
    first.spawn(3)
    np.testing.assert_array_equal(
        v.check_seed(first).spawn(1)[0].generate_state(4),
        v.check_seed(seed).spawn(1)[0].generate_state(4),
    )
    assert first.n_children_spawned == 3


@pytest.mark.parametrize("seed", [None, 1.0, "1", True, [1], np.random.default_rng(0)])
def test_seeds_of_another_kind_are_refused(seed: object) -> None:
    with pytest.raises(TypeError, match="seed"):
        v.check_seed(seed)


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="seed"):
        v.check_seed(-1)

"""A number that remembers its error, and the protocol of a system."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from mfvae.systems import CurieWeiss, Estimate, System


def test_estimate_is_a_float() -> None:
    estimate = Estimate(2.5, stderr=0.1)
    assert isinstance(estimate, float)
    assert estimate.value == 2.5
    assert type(estimate.value) is float
    assert type(estimate + 1) is float
    assert np.mean([estimate, 3.5]) == 3.0
    assert round(estimate, 0) == 2
    assert np.asarray([estimate]).dtype == np.float64


@pytest.mark.parametrize(
    ("stderr", "exact", "expected"),
    [(0.0, None, True), (0.1, None, False), (0.0, False, False), (0.1, True, True)],
)
def test_exactness(stderr: float, exact: bool | None, expected: bool) -> None:
    assert Estimate(1.0, stderr, exact).exact is expected


def test_estimate_prints_its_error() -> None:
    assert str(Estimate(1.25)) == "1.25"
    assert str(Estimate(1.25, stderr=0.125)) == "1.25 ± 0.12"
    assert repr(Estimate(1.25, stderr=0.125)) == "Estimate(1.25, stderr=0.125, exact=False)"
    assert Estimate(1.0, stderr=np.inf).stderr == np.inf


@pytest.mark.parametrize("through", [copy.copy, copy.deepcopy, "pickle"])
def test_estimate_survives_copying(through: object) -> None:
    estimate = Estimate(1.0, stderr=0.5)
    other = pickle.loads(pickle.dumps(estimate)) if through == "pickle" else through(estimate)
    assert (other.value, other.stderr, other.exact) == (1.0, 0.5, False)


@pytest.mark.parametrize("stderr", [-0.1, np.nan, -np.inf])
def test_impossible_errors_are_refused(stderr: float) -> None:
    with pytest.raises(ValueError, match="stderr"):
        Estimate(1.0, stderr=stderr)


@pytest.mark.parametrize("stderr", ["0.1", None, True, [0.1]])
def test_errors_that_are_no_numbers_are_refused(stderr: object) -> None:
    with pytest.raises(TypeError, match="stderr"):
        Estimate(1.0, stderr=stderr)


def test_protocol_tells_systems_from_other_things() -> None:
    assert isinstance(CurieWeiss(4), System)
    assert not isinstance(object(), System)

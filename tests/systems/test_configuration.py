"""A system comes back from its description, through JSON."""

import json

import numpy as np
import pytest

from mfvae.systems import CurieWeiss, Hopfield, Ising2D, MaierSaupe, from_configuration


@pytest.mark.parametrize(
    "system",
    [CurieWeiss(12), Ising2D(4, coupling=-1), Hopfield.random(20, 3, seed=2), MaierSaupe(8)],
    ids=lambda system: type(system).__name__,
)
def test_round_trip(system):
    again = from_configuration(json.loads(json.dumps(system.configuration())))
    assert type(again) is type(system)
    assert again.configuration() == system.configuration()
    x, y = (s.sample(0.9, 3, seed=0) for s in (system, again))
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize(
    ("configuration", "error"),
    [
        ({"class": "Nothing"}, ValueError),
        ({"class": "Estimate", "value": 1.0}, ValueError),
        ({"class": "from_configuration"}, ValueError),
        ({"n_sites": 3}, ValueError),
        ({"class": "CurieWeiss", "sites": 3}, ValueError),
        ({"class": "CurieWeiss", "n_sites": 0}, ValueError),
        ("CurieWeiss", TypeError),
        (None, TypeError),
    ],
)
def test_bad_configurations(configuration, error):
    with pytest.raises(error):
        from_configuration(configuration)

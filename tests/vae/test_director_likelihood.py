"""The Bingham normaliser in torch against that of the systems, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mfvae.systems import Bingham
from mfvae.vae.director_likelihood import from_components, log_normalizer, moment, to_components

DEGENERATE = [
    np.zeros((3, 3)),
    np.diag([-1.0, -1.0, 2.0]),
    np.diag([1.0, -2.0, 1.0]),
    np.array([[1.2, 0.5, -0.3], [0.5, -1.8, 0.8], [-0.3, 0.8, 0.6]]),
]


def test_agrees_with_numpy_and_passes_gradcheck() -> None:
    A = torch.tensor(np.stack(DEGENERATE + [50 * a for a in DEGENERATE]))
    components, law = to_components(A), Bingham(A.numpy())
    torch.testing.assert_close(from_components(components), A)
    np.testing.assert_allclose(log_normalizer(components), law.log_normalizer(), atol=1e-11)
    np.testing.assert_allclose(moment(components), law.moment(), atol=1e-11)
    few = components[:4].clone().requires_grad_()
    assert torch.autograd.gradcheck(log_normalizer, few, atol=1e-7)
    others = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(log_normalizer, others.requires_grad_(), atol=1e-7)


def test_single_precision() -> None:
    generator = torch.Generator().manual_seed(3)
    components = 3 * torch.randn(2000, 5, generator=generator)
    components[:300, 1:] *= 1e-4
    components.requires_grad_()
    value = log_normalizer(components)
    (gradient,) = torch.autograd.grad(value.sum(), components)
    law = Bingham(from_components(components.detach().double()).numpy())
    np.testing.assert_allclose(value.detach(), law.log_normalizer(), rtol=0, atol=4e-6)
    expected = to_components(torch.tensor(law.moment()))
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=2e-6)
    half = log_normalizer(components.detach().bfloat16())
    assert half.dtype == torch.bfloat16


def test_batches_larger_than_a_block_empty_ones_and_nan() -> None:
    generator = torch.Generator().manual_seed(4)
    components = torch.randn(3, 7000, 5, generator=generator, dtype=torch.float64)
    law = Bingham(from_components(components).numpy())
    np.testing.assert_allclose(log_normalizer(components), law.log_normalizer(), atol=1e-11)
    np.testing.assert_allclose(moment(components), law.moment(), atol=1e-11)
    assert torch.isnan(log_normalizer(torch.full((2, 5), torch.nan))).all()
    assert log_normalizer(torch.zeros(0, 5)).shape == (0,)
    with pytest.raises(RuntimeError):
        log_normalizer(torch.zeros(4, 4))

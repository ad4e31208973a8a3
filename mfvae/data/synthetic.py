"""Data whose phases are known: a ferromagnet, an antiferromagnet and a paramagnet."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfvae._validation import check_count, check_seed

__all__ = ["LabelledSamples", "three_phase_ising"]

#: Temperatures of the ordered and of the disordered phases, units of |J|/k_B; T_c = 2.269.
ORDERED_TEMPERATURES = np.linspace(1.5, 2.1, 7)
DISORDERED_TEMPERATURES = np.linspace(3.0, 6.0, 7)


class LabelledSamples(NamedTuple):
    """Configurations, the class of each as an index into ``names``, and their temperatures."""

    x: np.ndarray
    label: np.ndarray
    names: tuple[str, ...]
    temperature: np.ndarray


def three_phase_ising(
    length: int, n_samples: int, *, seed: int | np.random.SeedSequence
) -> LabelledSamples:
    """Draw a ferromagnet, an antiferromagnet and a paramagnet in equal parts, in random order.

    The ordered phases have J = +1 and J = -1 at the temperatures 1.5, 1.6, … 2.1, with either sign
    of their order parameter, the paramagnet (half of it of either coupling) at 3, 3.5, … 6: so
    the law of the data does not change if every second spin is flipped, as on a chessboard, and
    the two order parameters have equal rights. Every configuration is the end of a Wolff chain
    of its own (Huang, Hu & Yang 2022, section III, do not state their temperatures).
    Spins are int8, names "FM", "AFM", "PM".

    Args:
        length: L, even and at least 4; the system has L^2 sites.
        n_samples: Configurations in all, at least 3.

    >>> data = three_phase_ising(8, 30, seed=0)
    >>> data.x.shape, np.bincount(data.label), data.names
    ((30, 64), array([10, 10, 10]), ('FM', 'AFM', 'PM'))
    """
    from mfvae.systems import Ising2D

    length = check_count(length, "length", minimum=4)
    if length % 2:
        raise ValueError(f"length must be even for an antiferromagnet: {length}")
    n_samples = check_count(n_samples, "n_samples", minimum=3)
    *children, order_seed = check_seed(seed).spawn(5)
    sizes = [len(part) for part in np.array_split(np.arange(n_samples), 3)]
    parts = [
        (0, 1, ORDERED_TEMPERATURES, sizes[0]),
        (1, -1, ORDERED_TEMPERATURES, sizes[1]),
        (2, 1, DISORDERED_TEMPERATURES, sizes[2] - sizes[2] // 2),
        (2, -1, DISORDERED_TEMPERATURES, sizes[2] // 2),
    ]
    drawn = []
    for (label, coupling, temperatures, size), child in zip(parts, children, strict=True):
        if size == 0:
            continue
        each = -(-size // len(temperatures))
        # A seed of its own: with the same one, AFM would be the chessboard image of FM.
        x = Ising2D(length, coupling).sample(temperatures, each, seed=child, n_chains=each)
        x = x.swapaxes(0, 1).reshape(-1, length**2)[:size]
        drawn.append((x, np.full(size, label), np.tile(temperatures, each)[:size]))
    x, label, temperature = (np.concatenate(column) for column in zip(*drawn, strict=True))
    order = np.random.default_rng(order_seed).permutation(n_samples)
    return LabelledSamples(x[order], label[order], ("FM", "AFM", "PM"), temperature[order])

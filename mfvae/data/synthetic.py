"""Data whose phases are known: three phases of Ising, Z3 phases, handwritten digits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mfvae._validation import check_choice, check_count, check_seed

__all__ = ["LabelledSamples", "handwritten_digits", "three_phase_ising", "z3_phases"]

#: Temperatures of the ordered and of the disordered phases, units of |J|/k_B; T_c = 2.269.
ORDERED_TEMPERATURES = np.linspace(1.5, 2.1, 7)
DISORDERED_TEMPERATURES = np.linspace(3.0, 6.0, 7)

#: Probabilities of the three letters in each phase (Huang, Hu & Yang 2022, section V A).
Z3_PROBABILITIES = np.array(
    [[1 / 3, 1 / 3, 1 / 3], [0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]
)


class LabelledSamples(NamedTuple):
    """Configurations ``(n_samples, n_sites)`` with the class of each, an index into ``names``.

    ``label`` is int64 ``(n_samples,)``; ``temperature``, where the data have one, float64
    ``(n_samples,)`` in units of |J|/k_B.
    """

    x: np.ndarray
    label: np.ndarray
    names: tuple[str, ...]
    temperature: np.ndarray | None = None


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


def z3_phases(
    n_sites: int, n_samples: int, *, seed: int | np.random.SeedSequence
) -> LabelledSamples:
    """Draw independent three-letter sites from a disordered and three polarised phases.

    Site probabilities (1/3, 1/3, 1/3) and the permutations of (0.9, 0.05, 0.05) that Z3 makes of
    one another (Huang, Hu & Yang 2022, section V A); equal parts, random order. Codes uint8 of
    the letters 0, 1, 2; label 0 is disordered.

    >>> data = z3_phases(16, 8, seed=0)
    >>> data.x.shape, data.names
    ((8, 16), ('disordered', 'letter 0', 'letter 1', 'letter 2'))
    """
    check_count(n_sites, "n_sites")
    check_count(n_samples, "n_samples")
    generator = np.random.default_rng(check_seed(seed))
    label = generator.permutation(np.arange(n_samples) % len(Z3_PROBABILITIES))
    thresholds = np.cumsum(Z3_PROBABILITIES, axis=1)[label, :2]
    uniform = generator.random((n_samples, n_sites))
    x = (uniform[..., None] > thresholds[:, None, :]).sum(axis=2).astype(np.uint8)
    return LabelledSamples(x, label, ("disordered", "letter 0", "letter 1", "letter 2"))


def handwritten_digits(source: str = "scikit-learn") -> LabelledSamples:
    """Return images of the ten digits, float32 in [0, 1], row by row, names "0" … "9".

    ``"scikit-learn"`` has 1,797 images of 8 × 8 pixels (Alpaydin & Kaynak 1998), ``"mnist"``
    70,000 (LeCun et al. 1998) with a margin that makes them 32 × 32, which
    ``sklearn.datasets.fetch_openml`` downloads at the first call.

    >>> digits = handwritten_digits()
    >>> digits.x.shape, float(digits.x.max())
    ((1797, 64), 1.0)
    """
    from sklearn import datasets

    names = tuple("0123456789")
    if check_choice(source, "source", ("scikit-learn", "mnist")) == "scikit-learn":
        x, label = datasets.load_digits(return_X_y=True)
        return LabelledSamples((x / 16).astype(np.float32), label.astype(np.int64), names)
    x, label = datasets.fetch_openml("mnist_784", return_X_y=True, as_frame=False)
    x = np.pad(x.reshape(-1, 28, 28).astype(np.float32) / 255, ((0, 0), (2, 2), (2, 2)))
    return LabelledSamples(x.reshape(len(x), -1), label.astype(np.int64), names)

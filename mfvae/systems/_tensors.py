"""An orthonormal basis of the symmetric traceless 3 x 3 matrices: five real components."""

import numpy as np

from mfvae._validation import check_finite_array

_R2, _R6 = np.sqrt(0.5), np.sqrt(1.0 / 6.0)

#: ``(5, 3, 3)``, with ``tr(BASIS[j] BASIS[k]) = delta_jk``.
BASIS = np.array(
    [
        [[-_R6, 0, 0], [0, -_R6, 0], [0, 0, 2 * _R6]],
        [[_R2, 0, 0], [0, -_R2, 0], [0, 0, 0]],
        [[0, _R2, 0], [_R2, 0, 0], [0, 0, 0]],
        [[0, 0, _R2], [0, 0, 0], [_R2, 0, 0]],
        [[0, 0, 0], [0, 0, _R2], [0, _R2, 0]],
    ]
)
BASIS.flags.writeable = False


def to_components(tensor: np.ndarray) -> np.ndarray:
    """Return the five components ``(..., 5)`` of symmetric tensors ``(..., 3, 3)``.

    A trace is projected out; their squares add up to the squared norm of the traceless part.

    >>> to_components(np.diag([-1.0, -1.0, 2.0])).round(4).tolist()
    [2.4495, 0.0, 0.0, 0.0, 0.0]
    """
    array = check_finite_array(tensor, "tensor")
    if array.shape[-2:] != (3, 3):
        raise ValueError(f"tensor must have shape (..., 3, 3), got {array.shape}")
    return array.reshape(*array.shape[:-2], 9) @ BASIS.reshape(5, 9).T


def from_components(components: np.ndarray) -> np.ndarray:
    """Return the symmetric traceless tensors ``(..., 3, 3)`` with components ``(..., 5)``.

    >>> a = np.arange(5.0)
    >>> np.allclose(to_components(from_components(a)), a)
    True
    """
    array = check_finite_array(components, "components")
    if array.shape[-1:] != (5,):
        raise ValueError(f"components must have shape (..., 5), got {array.shape}")
    flat = array @ BASIS.reshape(5, 9)
    return flat.reshape(*flat.shape[:-1], 3, 3)

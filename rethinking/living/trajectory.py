"""A living figure: one trajectory of Hamiltonian Monte Carlo, to scrub through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from rethinking.living import _show_living


def trajectory_scrubber(
    trajectories: Mapping[float, tuple[ArrayLike, ArrayLike]],
    contours: Sequence[ArrayLike],
    *,
    names: tuple[str, str],
    limits: tuple[float, float, float, float],
    diverged: float = 1000.0,
) -> None:
    """Show a living figure: sliders over the step of a trajectory, and over the size of a step.

    It needs no kernel, only a page that runs scripts; the still figure that a cell shows before
    it stands for it elsewhere.

    Parameters
    ----------
    trajectories : mapping of float to tuple
        For each step size the positions, shape (steps, 2), and the energy at each, shape
        (steps,). A trajectory may end early, where numbers are no longer finite.
    contours : sequence of array_like, shapes (n, 2)
        Lines of equal density to draw below.
    names : tuple of str
        Names of the two coordinates.
    limits : tuple of float
        The chart's left, right, lower and upper end.
    diverged : float
        A trajectory has diverged where its energy has risen by more than this.

    Raises
    ------
    ValueError
        There are no trajectories, or positions and energies differ in length.

    Examples
    --------
    >>> path = np.array([[0.0, 1.0], [0.1, 0.9], [0.3, 0.7]])
    >>> trajectory_scrubber(
    ...     {0.1: (path, [2.0, 2.1, 2.0])}, [path], names=("x", "v"), limits=(-1, 1, -1, 1)
    ... )
    Sliders over a trajectory, where scripts run.
    """
    if not trajectories:
        raise ValueError("The argument trajectories is empty. Give one for each step size.")
    paths = []
    for size, (position, energy) in trajectories.items():
        position, energy = np.asarray(position, float), np.asarray(energy, float)
        if position.shape != (len(energy), 2) or not len(energy):
            raise ValueError(
                f"The trajectory with step size {size:g} has positions of the shape"
                f" {position.shape} and {len(energy)} energies. Give two coordinates and one"
                " energy a step."
            )
        finite = np.isfinite(position).all(axis=1) & np.isfinite(energy)
        end = len(energy) if finite.all() else int(np.argmin(finite))
        error = np.clip(energy[:end] - energy[0], -1e6, 1e6)
        left, right, low, high = limits
        span = 20 * np.array([right - left, high - low])
        shown = np.clip(position[:end], [left, low] - span, [right, high] + span)
        paths.append(
            {
                "size": float(size),
                "path": (np.round(shown, 3) + 0.0).tolist(),
                "error": (np.round(error, 3) + 0.0).tolist(),
            }
        )
    data = {
        "paths": paths,
        "contours": [(np.round(np.asarray(line, float), 2) + 0.0).tolist() for line in contours],
        "names": list(names),
        "limits": [float(value) for value in limits],
        "diverged": float(diverged),
    }
    _show_living("trajectory", data, "Sliders over a trajectory, where scripts run.")

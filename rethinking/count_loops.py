"""The loops of `ordered_logit` for tables that count ratings; it has their derivation."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit
def possible(counts, n):
    """Return the counts, with -1 in the first column of rows that cannot be."""
    out = counts.astype(np.int64)
    if len(n) != 1 and len(n) != len(counts):
        raise ValueError("n must be one number, or one for each row of counts")
    for i in range(len(counts)):
        total, possible = 0, True
        for k in range(counts.shape[1]):
            total += out[i, k]
            possible &= out[i, k] >= 0 and out[i, k] == counts[i, k]
        if counts.shape[1] and not (possible and total == n[i if len(n) > 1 else 0]):
            out[i, 0] = -1
    return out


@numba.njit
def values(counts, phi, kappa):
    """Return the log-probability of each row."""
    n, n_cutpoints = len(phi), len(kappa)
    if counts.shape[0] != n or counts.shape[1] != n_cutpoints + 1:
        raise ValueError("counts must have a row for each phi and one column more than cutpoints")
    factor, gap = np.exp(-kappa), np.zeros(n_cutpoints)
    for k in range(n_cutpoints - 1):
        gap[k] = np.log(-np.expm1(kappa[k] - kappa[k + 1]))
    out = np.empty(n)
    for i in range(n):
        if counts[i, 0] < 0:
            out[i] = -np.inf
            continue
        value, odds = 0.0, np.exp(phi[i])
        for k in range(n_cutpoints):
            here, both = counts[i, k + 1], counts[i, k] + counts[i, k + 1]
            if both != 0:
                x = odds * factor[k]
                value += here * (phi[i] - kappa[k] + gap[k])
                if x < np.inf:
                    value -= both * np.log1p(x)
                else:
                    value -= both * np.logaddexp(0.0, phi[i] - kappa[k])
        out[i] = value
    return out


@numba.njit
def gradients(counts, phi, kappa, weight):
    """Return the gradient of their weighted sum by phi and by the cutpoints."""
    n, n_cutpoints = len(phi), len(kappa)
    factor = np.exp(-kappa)
    by_phi, by_kappa = np.zeros(n), np.zeros(n_cutpoints)
    total = np.zeros(n_cutpoints)
    for i in range(n):
        if counts[i, 0] < 0:
            continue
        odds = np.exp(phi[i])
        for k in range(n_cutpoints):
            here, both = counts[i, k + 1], counts[i, k] + counts[i, k + 1]
            if both != 0:
                excess = here - both * (1 - 1 / (1 + odds * factor[k]))
                by_phi[i] += weight[i] * excess
                by_kappa[k] -= weight[i] * excess
                total[k] += weight[i] * here
    for k in range(n_cutpoints - 1):
        slope = total[k] / np.expm1(kappa[k + 1] - kappa[k])
        by_kappa[k + 1] += slope
        by_kappa[k] -= slope
    return by_phi, by_kappa

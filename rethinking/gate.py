"""The convergence gate: a verdict, and a check that raises."""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import FrameType

import arviz as az
import numpy as np
import xarray as xr

from rethinking import record
from rethinking.diagnostics import diagnostics

CHAINS = 4
MAX_RHAT = 1.01  # Vehtari et al. (2021), doi:10.1214/20-BA1221
MIN_ESS = 400  # the same source: 100 a chain
BLOCK = 64  # parameters that are judged at once
MIN_BFMI = 0.3  # Betancourt (2016), arXiv:1604.00695


class ConvergenceError(RuntimeError):
    """A fit did not pass the convergence gate, or passed where it was meant to fail."""


@dataclass(frozen=True, repr=False)
class Convergence:
    """The gate's verdict on one fit.

    Attributes
    ----------
    name : str
    chains, draws : int
    max_rhat, min_ess_bulk, min_ess_tail, min_bfmi : float
        Worst over all parameters (chains for `min_bfmi`); infinite and 0 where a chain is stuck.
    divergences : int
    problems : tuple of str
        One sentence a failed criterion, with the worst parameter; empty where all hold.
    judged : bool
        Whether R-hat and effective sample sizes could be computed: not where a chain is stuck or
        the run was interrupted.
    """

    name: str
    chains: int
    draws: int
    max_rhat: float
    min_ess_bulk: float
    min_ess_tail: float
    divergences: int
    min_bfmi: float
    problems: tuple[str, ...]
    judged: bool = True

    @property
    def passed(self) -> bool:
        """Whether all criteria hold."""
        return not self.problems

    @property
    def min_ess(self) -> float:
        """The lesser of the two least effective sample sizes."""
        return min(self.min_ess_bulk, self.min_ess_tail)

    def __repr__(self) -> str:
        """Say it in a line, as the last value of a cell is shown."""
        if not self.passed:
            return f"{self.name} fails: {'; '.join(self.problems)}"
        return (
            f"{self.name} converged: R-hat ≤ {self.max_rhat:.3f}, ESS ≥ {self.min_ess:,.0f}, "
            f"no divergences, E-BFMI ≥ {self.min_bfmi:.2f}"
        )

    def as_attrs(self) -> dict[str, str | float]:
        """Return the verdict as plain numbers and strings, which a file can hold.

        Returns
        -------
        dict
            ``max_rhat``, ``min_ess``, ``min_ess_bulk``, ``min_ess_tail``, ``divergences``,
            ``min_bfmi``, and ``problems``, in one string that is empty where the fit passed.
        """
        names = ("max_rhat", "min_ess", "min_ess_bulk", "min_ess_tail", "divergences", "min_bfmi")
        return {name: getattr(self, name) for name in names} | {
            "problems": "; ".join(self.problems)
        }


def judge(
    idata: xr.DataTree,
    *,
    name: str = "fit",
    var_names: Sequence[str] | None = None,
    constant: Collection[str] = (),
) -> Convergence:
    """Return the convergence gate's verdict on a fit; raise nothing because of it.

    R-hat <= 1.01, bulk and tail effective sample size >= 400, no divergences,
    E-BFMI >= 0.3, at least four chains.

    Parameters
    ----------
    idata : xarray.DataTree
        With groups `posterior` and `sample_stats`.
    name : str
        Name of the fit, for messages.
    var_names : sequence of str, optional
        Posterior variables to look at; all by default.
    constant : collection of str
        Variables that may hold entries which never vary (the diagonal of a correlation
        matrix); such entries are left out. Anywhere else a constant is a stuck sampler.

    Returns
    -------
    Convergence

    Raises
    ------
    ValueError
        There is nothing to judge: a group, a statistic or a variable is missing, or there are
        fewer than four draws a chain.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), Bayesian Analysis 16(2):667-718.

    Examples
    --------
    >>> from arviz import from_dict
    >>> rng = np.random.default_rng(1)
    >>> stats = {"diverging": np.zeros((4, 500), bool), "energy": rng.normal(size=(4, 500))}
    >>> idata = from_dict({"posterior": {"mu": rng.normal(size=(4, 500))}, "sample_stats": stats})
    >>> judge(idata, name="frogs").passed
    True
    """
    posterior = _looked_at(idata, name, var_names)
    if asked := cut_short(idata):
        problem = (
            f"it was interrupted after {posterior.sizes['draw']} of {asked} draws a chain; let it "
            "run to its end"
        )
        divergences = int(idata["sample_stats"]["diverging"].fillna(0).sum())
        shape = (posterior.sizes["chain"], posterior.sizes["draw"])
        return Convergence(
            name, *shape, np.inf, 0.0, 0.0, divergences, 0.0, (problem,), judged=False
        )
    if posterior.sizes["draw"] < 4:
        raise ValueError(
            f"The fit {name} has {posterior.sizes['draw']} draws a chain; the gate needs 4 or more."
        )
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    divergences = int(idata["sample_stats"]["diverging"].sum())
    parts = [(k, v.values.reshape(chains, draws, -1)) for k, v in posterior.data_vars.items()]
    stacked = np.concatenate([part for _, part in parts], axis=2)
    may_be_fixed = np.concatenate([np.full(part.shape[2], k in constant) for k, part in parts])
    fixed = (stacked == stacked[0, 0]).all(axis=(0, 1))
    stuck = np.flatnonzero((fixed & ~may_be_fixed) | ~np.isfinite(stacked).all(axis=(0, 1)))
    if stuck.size:
        more = f" and {stuck.size - 1} more" if stuck.size > 1 else ""
        problem = (
            f"{_entry(posterior, stuck[0])}{more} never varies or is not a finite number: "
            "a stuck chain, or an entry that is fixed by definition (name the latter in constant=)"
        )
        return Convergence(
            name, chains, draws, np.inf, 0.0, 0.0, divergences, 0.0, (problem,), judged=False
        )
    varying = np.flatnonzero(~fixed)
    if not varying.size:
        raise ValueError(f"The fit {name} has no entry that varies; judge a variable that does.")
    # In blocks, for a model of hundreds of parameters would need many copies of all its draws.
    blocks = np.array_split(varying, -(-varying.size // BLOCK))
    found = [diagnostics(np.moveaxis(stacked[:, :, block], 2, 0)) for block in blocks]
    rhat, bulk, tail = (np.concatenate(values) for values in zip(*found, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):  # constant energy: NaN, which fails
        min_bfmi = float(np.min(az.bfmi(idata)["energy"].values))
    worst = {"R-hat": rhat.argmax(), "bulk ESS": bulk.argmin(), "tail ESS": tail.argmin()}
    where = {what: _entry(posterior, varying[at]) for what, at in worst.items()}
    max_rhat, min_bulk, min_tail = float(rhat.max()), float(bulk.min()), float(tail.min())
    # "not (a <= b)" so that NaN fails
    criteria = (
        (chains >= CHAINS, f"{chains} chains (at least {CHAINS}: pass chains={CHAINS})"),
        (max_rhat <= MAX_RHAT, f"R-hat {max_rhat:.3f} for {where['R-hat']} (at most {MAX_RHAT})"),
        (
            min_bulk >= MIN_ESS,
            f"bulk ESS {min_bulk:.0f} for {where['bulk ESS']} (at least {MIN_ESS})",
        ),
        (
            min_tail >= MIN_ESS,
            f"tail ESS {min_tail:.0f} for {where['tail ESS']} (at least {MIN_ESS})",
        ),
        (not divergences, f"{divergences} divergences (none allowed)"),
        (min_bfmi >= MIN_BFMI, f"E-BFMI {min_bfmi:.2f} (at least {MIN_BFMI})"),
    )
    problems = tuple(problem for holds, problem in criteria if not holds)
    return Convergence(
        name, chains, draws, max_rhat, min_bulk, min_tail, divergences, min_bfmi, problems
    )


def check_convergence(
    idata: xr.DataTree,
    *,
    name: str | None = None,
    var_names: Sequence[str] | None = None,
    constant: Collection[str] = (),
    expect_failure: str | None = None,
) -> Convergence:
    """Let a fit pass only if it has converged.

    `pymc.sample` does not check the results of nutpie, its default sampler, so this gate stands
    behind every fit of the course. Its criteria are those of `judge`. Where a run record is kept,
    the fit gets its line there.

    Parameters
    ----------
    idata, var_names, constant
        See `judge`.
    name : str, optional
        Name of the fit; by default that of the variable which holds it.
    expect_failure : str, optional
        Why this fit is *meant* to fail. The gate then lets it through, and raises if it passes.

    Returns
    -------
    Convergence

    Raises
    ------
    ConvergenceError
        Names each failed criterion, its value, the bound and the worst parameter. A fit with a
        stuck chain raises it whatever `expect_failure` says.
    ValueError
        There is nothing to judge; see `judge`.

    Examples
    --------
    >>> from arviz import from_dict
    >>> rng = np.random.default_rng(1)
    >>> stats = {"diverging": np.zeros((4, 500), bool), "energy": rng.normal(size=(4, 500))}
    >>> apart = rng.normal(size=(4, 500)) + np.arange(4)[:, None]
    >>> idata = from_dict({"posterior": {"mu": apart}, "sample_stats": stats})
    >>> check_convergence(idata, name="frogs")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    rethinking.gate.ConvergenceError: frogs has not converged: R-hat 1.5...
    """
    variable = _variable(idata, inspect.currentframe().f_back)
    verdict = judge(idata, name=name or variable or "fit", var_names=var_names, constant=constant)
    require(verdict, expect_failure)
    if "max_rhat" not in idata.attrs:  # else `fit` has judged and recorded it
        record.fit(
            verdict.name,
            idata["posterior"].to_dataset(),
            variable=variable,
            seconds={"sample": idata["posterior"].attrs.get("sampling_time")},
            draws=verdict.draws,
            chains=verdict.chains,
            expected_failure=expect_failure,
            **verdict.as_attrs(),
        )
    return verdict


def _variable(value: object, frame: FrameType | None) -> str | None:
    """Return the name under which the caller holds a value; None where it has none."""
    held = {**frame.f_globals, **frame.f_locals} if frame else {}
    names = (k for k, v in held.items() if v is value and not k.startswith("_"))
    return next(names, None)


def cut_short(idata: xr.DataTree) -> int | None:
    """Return how many draws a chain were asked for, where nutpie was interrupted before.

    Interrupted, nutpie returns what it has, with NaN at the end of the shorter chains.

    Parameters
    ----------
    idata : xarray.DataTree

    Returns
    -------
    int or None
        None where all draws are there, where some were taken out afterwards (thinned), or where
        it is not known how many there should be.
    """
    stats = idata["sample_stats"].to_dataset()
    settings = json.loads(stats.attrs.get("inference_library_settings", "{}"))
    asked = settings.get("settings", {}).get("num_draws")
    draws = stats.sizes["draw"]
    first = "draw" not in stats.coords or (stats["draw"].values == np.arange(draws)).all()
    if asked is None or not first:
        return None
    short = draws < asked or bool(np.isnan(stats["energy"].isel(draw=-1)).any())
    return asked if short else None


def require(verdict: Convergence, expect_failure: str | None = None) -> None:
    """Raise unless the verdict is the one that was expected; see `check_convergence`.

    Parameters
    ----------
    verdict : Convergence
    expect_failure : str, optional

    Raises
    ------
    ConvergenceError
    """
    if not verdict.judged:
        raise ConvergenceError(f"{verdict.name} cannot be judged: {verdict.problems[0]}.")
    if verdict.problems and expect_failure is None:
        raise ConvergenceError(
            f"{verdict.name} has not converged: {'; '.join(verdict.problems)}. Reparameterize "
            "(centred or non-centred), or draw more; another seed is no remedy."
        )
    if verdict.passed and expect_failure is not None:
        raise ConvergenceError(
            f"{verdict.name} was meant to fail ({expect_failure}), but it passes the gate: drop "
            "expect_failure and change the text around it."
        )


def _looked_at(idata: xr.DataTree, name: str, var_names: Sequence[str] | None) -> xr.Dataset:
    """Return the posterior variables that the gate looks at, chain and draw first."""
    for group in ("posterior", "sample_stats"):
        if group not in idata.children:
            raise ValueError(
                f"The fit {name} has no group {group!r}; pass the result of a sampler."
            )
    for key in ("diverging", "energy"):
        if key not in idata["sample_stats"].data_vars:
            raise ValueError(f"The fit {name} holds no {key!r} in sample_stats; sample with NUTS.")
    posterior = idata["posterior"].to_dataset()
    for variable in var_names or ():
        if variable not in posterior.data_vars:
            there = ", ".join(map(str, posterior.data_vars))
            raise ValueError(
                f"The fit {name} has no {variable!r} in its posterior; it has {there}."
            )
    if var_names is not None:
        posterior = posterior[list(var_names)]
    if not posterior.data_vars:
        raise ValueError(f"The fit {name} has no variable to look at.")
    return posterior.transpose("chain", "draw", ...)


def _entry(posterior: xr.Dataset, position: int) -> str:
    """Name of an entry of the stacked posterior, with its coordinates."""
    for name, array in posterior.data_vars.items():
        shape = array.shape[2:]
        size = int(np.prod(shape))
        if position < size:
            index = np.unravel_index(position, shape) if shape else ()
            labels = ", ".join(
                str(array[dim].values[i] if dim in array.coords else i)
                for dim, i in zip(array.dims[2:], index, strict=True)
            )
            return f"{name}[{labels}]" if labels else str(name)
        position -= size
    raise IndexError(position)

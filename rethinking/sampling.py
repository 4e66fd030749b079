"""Compile a model once, fit it often; what NUTS cannot take, said in words."""

from __future__ import annotations

import difflib
import time
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import nutpie
import pymc as pm
import xarray as xr
from numpy.typing import ArrayLike
from pymc.backends.arviz import patch_nutpie_idata
from pymc.distributions.distribution import support_point
from pymc.distributions.transforms import Ordered
from pymc.model.transform.optimization import freeze_dims_and_data
from pytensor.graph.traversal import ancestors

from rethinking import compile_cache, record
from rethinking.gate import CHAINS, cut_short, judge, require
from rethinking.indices import check_indices

DRAWS = 2000  # a chain: with 100 parameters, R-hat <= 1.01 in every one needs room for chance
TUNE = 1000


class SamplingError(RuntimeError):
    """The sampler could not start."""


class ModelError(ValueError):
    """NUTS cannot fit a model of this kind."""


class CompiledModel:
    """A model compiled once, to be fitted as often as wanted.

    Compiling takes seconds, sampling a small model a fraction of one. The `pm.Data` that are to
    change between fits have to be named; all others are compiled in as constants, which halves
    the time (measured: half a second for each that stays open, unless `compile_cache` has the
    model on disk). Shapes may change only where no parameter's and no stored Deterministic's
    shape depends on them.

    Parameters
    ----------
    model : pymc.Model
    vary : sequence of str
        Names of the `pm.Data` that `fit` may give new values. Each has to be read by a prior or
        by the likelihood: with a number typed in its place, all fits would be the same.
    store : sequence of str, optional
        Deterministics and parameters to keep; all by default.

    Raises
    ------
    IndexError
        From `check_indices`.
    ModelError
        NUTS cannot fit this model: it has no free parameter, or one that is discrete, which a
        rating or a count that is missing or was not observed is, too.
    KeyError
        A name in `vary` that is no `pm.Data` of the model, or one in `store` that is no
        parameter or Deterministic.
    ValueError
        A name in `vary` that neither a prior nor the likelihood reads.

    Examples
    --------
    >>> with pm.Model() as model:
    ...     rate = pm.Data("rate", 1.0)
    ...     sigma = pm.Exponential("sigma", 3)
    >>> CompiledModel(model, vary=["rate"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: vary: neither a prior nor the likelihood reads 'rate', ...
    """

    def __init__(
        self,
        model: pm.Model,
        *,
        vary: Sequence[str] = (),
        store: Sequence[str] | None = None,
    ):
        known = [v.name for v in model.data_vars]
        for name in vary:
            if name not in known:
                raise KeyError(f"The model has no pm.Data {name!r} to vary; it has {known}.")
        drawn = [v.name for v in (*model.free_RVs, *model.deterministics)]
        for name in store or ():
            if name not in drawn:
                raise KeyError(f"The model draws no {name!r} to store; it draws {drawn}.")
        _check_model(model)
        check_indices(model)
        _check_read(model, vary, "vary")
        compile_cache.install()
        self.model = model
        self.vary = tuple(vary)
        self.store = None if store is None else tuple(store)
        start = time.perf_counter()
        frozen = freeze_dims_and_data(model, data=[name for name in known if name not in vary])
        self._compiled = nutpie.compile_pymc_model(
            frozen, var_names=store, initial_points=ordered_starts(frozen)
        )
        self._compile_seconds = time.perf_counter() - start

    def _set_data(self, data: Mapping[str, ArrayLike]) -> None:
        cast, resized = {}, False
        for name, value in data.items():
            if name not in self.vary:
                near = difflib.get_close_matches(name, self.vary, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise KeyError(
                    f"{name!r} was compiled in, or is no pm.Data: this compiled model may change "
                    f"{list(self.vary)}.{hint} Name it in vary= when the model is compiled."
                )
            old = self.model[name].get_value()
            new = np.asarray(value)
            try:
                with np.errstate(invalid="ignore"):  # NaN into an integer
                    cast[name] = new.astype(old.dtype)
                kept = np.array_equal(cast[name], new)
            except (TypeError, ValueError):
                kept = False
            if not kept:
                raise TypeError(
                    f"pm.Data {name!r} is compiled as {old.dtype} and would change {value!r}: "
                    "give it a value of the right type when the model is written (1.0, not 1), and "
                    "none that is missing."
                )
            resized |= new.shape != old.shape
        own = self._shapes() if resized else {}
        with self.model:
            pm.set_data(cast)
        if not resized:
            return
        try:
            shapes = self._shapes()
        except (AssertionError, ValueError) as error:
            raise ValueError(f"The new data do not fit each other: {error}") from error
        for name, shape in shapes.items():
            if shape != own[name]:
                raise ValueError(
                    f"The new data would change {name} from shape {own[name]} to {shape}, and the "
                    "former is compiled in: compile a model of its own for these data."
                )

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        kept = [v for v in self.model.deterministics if self.store is None or v.name in self.store]
        return {
            v.name: tuple(int(n) for n in v.shape.eval(mode="FAST_COMPILE"))
            for v in (*self.model.free_RVs, *kept)
        }

    def fit(
        self,
        *,
        name: str,
        random_seed: int,
        data: Mapping[str, ArrayLike] | None = None,
        draws: int = DRAWS,
        tune: int = TUNE,
        chains: int = CHAINS,
        target_accept: float | None = None,
        gate: Sequence[str] | None = None,
        constant: Collection[str] = (),
        expect_failure: str | None = None,
    ) -> xr.DataTree:
        """Sample with nutpie and pass the convergence gate.

        Parameters
        ----------
        name : str
            Name of the fit, for messages and the record.
        random_seed : int
        data : mapping, optional
            Values of `pm.Data` variables for this fit; afterwards the model holds its own again.
        draws, tune, chains : int
            `draws` and `tune` count a chain.
        target_accept : float, optional
        gate : sequence of str, optional
            Variables that the gate looks at; all that are stored by default. For repeated fits,
            where an auxiliary variable says the same as the one that is used.
        constant, expect_failure
            See `check_convergence`.

        Returns
        -------
        xarray.DataTree
            Posterior, sample statistics, observed and constant data. What the gate saw is in the
            `attrs` of the root, by the names of `Convergence.as_attrs`.

        Raises
        ------
        ConvergenceError, SamplingError, KeyError, TypeError, ValueError, IndexError
        KeyboardInterrupt
            It was interrupted, in warm-up or draws; the next fit starts anew.
        """
        seed = _as_seed(random_seed)
        own = {v.name: v.get_value() for v in self.model.data_vars}
        try:
            if data:
                self._set_data(data)
                check_indices(self.model)
            idata, seconds = self._sample(name, seed, draws, tune, chains, target_accept)
        finally:
            with self.model:
                pm.set_data({key: own[key] for key in data or () if key in own})
        start = time.perf_counter()
        verdict = judge(idata, name=name, var_names=gate, constant=constant)
        idata.attrs |= verdict.as_attrs()
        require(verdict, expect_failure)
        posterior = idata["posterior"].to_dataset()
        record.fit(
            name,
            posterior if gate is None else posterior[list(gate)],
            model=record.number_of(self.model),
            seconds={
                "compile": self._compile_seconds,
                "sample": seconds,
                "check": time.perf_counter() - start,
            },
            draws=draws,
            chains=chains,
            seed=seed,
            expected_failure=expect_failure,
            **verdict.as_attrs(),
        )
        self._compile_seconds = 0.0  # counted with the first fit only
        return idata

    def draw(
        self,
        data: Mapping[str, ArrayLike] | None = None,
        *,
        seed: int,
        draws: int,
        tune: int,
        chains: int = CHAINS,
        **options,
    ) -> xr.DataTree:
        """Sample with nutpie and nothing else: no check of the data, no gate, no record.

        For studies of many fits, which check their data once and judge each fit themselves.

        Parameters
        ----------
        data : mapping, optional
            Values of the `pm.Data` named in `vary`, of the types that they were compiled with.
        seed : int
            nutpie's own; `fit` makes it of its `random_seed` as `pymc.sample` does.
        draws, tune, chains : int
            `draws` and `tune` count a chain.
        **options
            Of `nutpie.sample`: ``cores``, ``target_accept``, ``adaptation``.

        Returns
        -------
        xarray.DataTree
            Posterior and sample statistics.

        Raises
        ------
        RuntimeError
            The sampler found no place to start.
        KeyboardInterrupt
            It was interrupted; nutpie itself would return the draws that there are.
        """
        compiled = self._compiled.with_data(**data) if data else self._compiled
        drawn = nutpie.sample(
            compiled,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            progress_bar=False,
            save_warmup=False,
            **options,
        )
        if asked := cut_short(drawn):
            found = drawn["posterior"].sizes["draw"]
            raise KeyboardInterrupt(f"interrupted after {found} of {asked} draws a chain")
        return drawn

    def _sample(
        self,
        name: str,
        seed: int,
        draws: int,
        tune: int,
        chains: int,
        target_accept: float | None,
    ) -> tuple[xr.DataTree, float]:
        options = {} if target_accept is None else {"target_accept": target_accept}
        # pm.Data that no density reads are not compiled in
        used = {v.name for v in self._compiled.shared_var_keys}
        values = {name: self.model[name].get_value() for name in self.vary if name in used}
        # as pymc.sample makes nutpie's seed of its own
        own_seed = int(np.random.default_rng(seed).spawn(chains)[0].integers(2**30))
        start = time.perf_counter()
        try:
            idata = self.draw(
                values, seed=own_seed, draws=draws, tune=tune, chains=chains, **options
            )
        except RuntimeError as error:
            raise SamplingError(_explain_start(self.model, name)) from error
        sampling_seconds = time.perf_counter() - start
        patch_nutpie_idata(idata, self.model, sampling_time=sampling_seconds)
        return idata, sampling_seconds


def fit(
    model: pm.Model,
    *,
    name: str,
    random_seed: int,
    store: Sequence[str] | None = None,
    **options,
) -> xr.DataTree:
    """Compile a model, sample it, pass the convergence gate; see `CompiledModel.fit`.

    Parameters
    ----------
    model : pymc.Model
    name : str
    random_seed : int
    store : sequence of str, optional
        See `CompiledModel`.
    **options
        Of `CompiledModel.fit`.

    Returns
    -------
    xarray.DataTree
    """
    return CompiledModel(model, store=store).fit(name=name, random_seed=random_seed, **options)


def ordered_starts(model: pm.Model) -> dict[str, np.ndarray]:
    """Where ordered variables start whose prior would start them all at one value.

    There the log-probability is minus infinity, and no sampler gets away.

    Parameters
    ----------
    model : pymc.Model

    Returns
    -------
    dict of str to ndarray
        By name of the variable, on its own scale; empty where none needs it.
    """
    starts = {}
    for variable, transform in model.rvs_to_transforms.items():
        if isinstance(transform, Ordered):
            centre = np.asarray(support_point(variable).eval(mode="FAST_COMPILE"))
            if not (np.diff(centre) > 0).all():
                starts[variable.name] = np.sort(centre) + np.linspace(-1, 1, centre.shape[-1])
    return starts


def _check_model(model: pm.Model) -> None:
    """Refuse in words what the compiler would refuse in its own."""
    if not model.free_RVs:
        seen = ", ".join(v.name for v in model.observed_RVs)
        raise ModelError(
            f"The model has no free parameter: all that it has is observed ({seen}). Give it a "
            "prior, as in pm.Normal('alpha', 0, 1)."
            if seen
            else "The model is empty: write its variables inside `with pm.Model() as model:`."
        )
    for variable in model.free_RVs:
        if variable.dtype.startswith("float"):
            continue
        name = variable.name
        whole = name.removesuffix("_unobserved")
        if whole != name and f"{whole}_observed" in model.named_vars:
            raise ModelError(
                f"The observed values of {whole} have missing ones among them, which NUTS cannot "
                "fill in, since they are whole numbers: leave these rows out of all columns "
                "(table.dropna()) before the model is written."
            )
        raise ModelError(
            f"{name} is discrete and not observed, and NUTS moves in continuous parameters only: "
            "if it is data, write observed=...; if it is a parameter, sum over its values, as "
            "pm.Mixture does."
        )


def _check_read(model: pm.Model, names: Collection[str], where: str) -> None:
    """Refuse data that nothing reads which a fit depends on: to change them does nothing."""
    if not names:
        return
    values = [model.rvs_to_values[v] for v in model.observed_RVs]
    read = set(ancestors([*model.basic_RVs, *model.potentials, *values]))
    for name in names:
        if model[name] not in read:
            raise ValueError(
                f"{where}: neither a prior nor the likelihood reads {name!r}, so that the "
                "parameters would be the same with another value: put it where a number was typed "
                f"in its place, or leave it out of {where}."
            )


def _as_seed(random_seed: int) -> int:
    if isinstance(random_seed, bool) or not isinstance(random_seed, (int, np.integer)):
        raise TypeError(
            f"The random_seed must be an integer, not {random_seed!r}: every fit has a seed, pass "
            "random_seed=RANDOM_SEED."
        )
    return int(random_seed)


def _explain_start(model: pm.Model, name: str) -> str:
    try:
        logps = model.point_logps()
    except (IndexError, TypeError, ValueError) as error:
        return (
            f"{name}: the sampler found no place to start, because the model cannot be evaluated: "
            f"{str(error).rstrip('.')}. Look for data of different lengths and for an index beyond "
            "the end."
        )
    bad = [key for key, value in logps.items() if not np.isfinite(value)]
    if bad:
        return (
            f"{name}: the sampler found no place to start, because the log-probability of "
            f"{', '.join(bad)} is not finite there. Look for data outside the support (more "
            "successes than trials, ratings counted from 1) and for equal cutpoints."
        )
    return (
        f"{name}: the sampler found no place to start, though every log-probability is finite at "
        "the model's initial point. Its own message stands above."
    )

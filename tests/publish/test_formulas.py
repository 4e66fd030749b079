"""A model without its formula is found in the code, however it is written."""

from __future__ import annotations

import pytest

from publish.formulas import models_without_formula


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("with pm.Model() as m:\n    pass\nshow_formula(m, '')", []),
        ("with pm.Model(coords=c) as m:\n    pass\nutils.show_formula(m, '')", []),
        ("with pm.Model() as m:\n    pass", ["m"]),
        ("show_formula(m, '')\nwith pm.Model() as m:\n    pass", ["m"]),
        ("with pm.Model() as m:\n    pass\nshow_formula(n, '')", ["m"]),
        ("with pm.Model() as m:\n    pass\n" * 2 + "show_formula(m, '')", ["m"]),
        ("with pm.Model() as m:\n    pass\nshow_formula(m, '')\n" * 2, []),
        ("with pm.Model():\n    pass", ["a model without a name"]),
        ("m = pm.Model()\nshow_formula(m, '')", []),
        ("m = pm.Model()", ["m"]),
        ("f(pm.Model())", ["a model without a name"]),
        ("def f():\n    with pm.Model() as m:\n        pass\n    return m", ["f()"]),
        ("def f():\n    return pm.Model()\nm = f()\nshow_formula(m, '')", []),
        ("def f():\n    return pm.Model()\nshow_formula(f(), '')", []),
        ("def f():\n    return pm.Model()\nm = f()", ["f()"]),
        (
            "def f():\n    return pm.Model()\nm, n = {}, {1: f(1)}\nshow_formula(f(1), '')",
            [],
        ),
        ("with pm.Model() as m:  # no formula: wrong\n    pass", []),
        (
            "def f(a):\n    return pm.Model() if a else n\nm = {1: f(1), 2: f(2)}\n"
            "show_formula(m[1], '')",
            ["f()"],
        ),
        (
            "def f():\n    return pm.Model()\nm = {1: f(1), 2: f(2)}\n"
            "show_formula(m[1], '')\nshow_formula(m[2], '')",
            [],
        ),
    ],
)
def test_models_without_formula_are_found(code, missing):
    assert models_without_formula(code) == missing

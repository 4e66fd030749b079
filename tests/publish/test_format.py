"""`make format` changes the code of the notebooks' sources, and nothing else."""

from __future__ import annotations

import pytest

from publish.files import ROOT, CourseError, sources, tidy
from publish.format import complaints, formatted
from tests.publish.planted import HEADER

PATH = ROOT / "notebooks" / "12-X.md"
SOURCE = f"""{HEADER}
# Title, with *text* that  stays

```{{{{code-cell}}}} ipython3
---
mystnb:
  figure:
    name: fig-12-a
    caption: What to see.
---
{{code}}
```
"""


def test_make_format_changes_code_and_nothing_else():
    code = "%matplotlib inline\nx=[1,2]\nax.plot( x );"
    after = formatted(SOURCE.format(code=code), PATH)
    assert after == tidy(SOURCE.format(code="%matplotlib inline\nx = [1, 2]\nax.plot(x);"), PATH)


def test_make_format_says_which_notebook_it_cannot_read():
    with pytest.raises(CourseError, match=r"12-X\.md cannot be formatted"):
        formatted(SOURCE.format(code="x = ("), PATH)


def test_ruff_s_complaints_about_a_source_come_before_a_run():
    source = sources()[0]
    text = source.read_text(encoding="utf-8")
    assert complaints(text, source) == ""
    cell = "```{code-cell} ipython3\nimport antigravity\nx='a'\n```\n"
    said = complaints(text + "\n" + cell, source)
    assert "`antigravity` imported but unused" in said
    assert f"{source.name} is not formatted; run `make format`." in said

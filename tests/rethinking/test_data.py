"""Each table and its sidecar belong together, and load_data refuses everything else."""

import hashlib

import pandas as pd
import pytest

from publish.tables import KEYS, table_problems
from rethinking import data
from rethinking.data import DataError, load_data

NAMES = sorted({path.stem for path in data.DATA_DIR.glob("*.*") if path.suffix != ".md"})


# --- table and sidecar


@pytest.mark.parametrize("name", NAMES)
def test_table_and_sidecar_go_together(name):
    assert table_problems(name) == []


def test_readme_lists_no_table():
    readme = (data.DATA_DIR / "README.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in readme for key in KEYS)
    assert not any(name in readme for name in NAMES)


# --- load_data

TABLE = "pool,size,kept\nno,big,9\nNA,small,10\n"
SIDECAR = """\
sha256: {}
rows: 2
columns:
  - {{name: pool, type: str}}
  - {{name: size, type: str}}
  - {{name: kept, type: int64}}
"""


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A folder of two tables, in a path with a space; a function writes the first one anew."""
    folder = tmp_path / "some data"
    folder.mkdir()
    monkeypatch.setattr(data, "DATA_DIR", folder)

    def write(table, sidecar=SIDECAR, name="frogs"):
        (folder / f"{name}.csv").write_text(table)
        checksum = hashlib.sha256(table.encode()).hexdigest()
        (folder / f"{name}.yml").write_text(sidecar.format(checksum))

    write(TABLE)
    write(TABLE, name="Toads")
    write.folder = folder
    return write


def test_text_columns_are_str_and_tables_are_the_callers_own(planted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = load_data("frogs")
    assert isinstance(first["pool"].dtype, pd.StringDtype)
    assert first["pool"].tolist() == ["no", "NA"], "what looks like a missing value stays text"
    first["kept"] = 0
    assert load_data("frogs")["kept"].tolist() == [9, 10]


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("toads", "Toads"),
        ("FROGS", "frogs"),
        ("frogs.csv", "frogs"),
        ("frog", "frogs"),
        ("../data/frogs", "frogs"),
    ],
)
def test_unknown_name_is_answered_with_the_nearest(planted, asked, nearest):
    with pytest.raises(DataError) as error:
        load_data(asked)
    assert repr(asked) in str(error.value)
    assert f"did you mean {nearest!r}?" in str(error.value)
    assert "There are: 'frogs', 'Toads'" in str(error.value)


@pytest.mark.parametrize("asked", ["", "zzz", None, 12])
def test_hopeless_name_gets_the_list(planted, asked):
    with pytest.raises(DataError) as error:
        load_data(asked)
    assert str(error.value) == f"No data set is called {asked!r}. There are: 'frogs', 'Toads'."


def test_changed_table(planted):
    was = hashlib.sha256(TABLE.encode()).hexdigest()
    changed = TABLE.replace("9", "8")
    (planted.folder / "frogs.csv").write_text(changed)
    with pytest.raises(DataError) as error:
        load_data("frogs")
    message = str(error.value)
    assert hashlib.sha256(changed.encode()).hexdigest()[:12] in message
    assert was[:12] in message
    assert "git checkout -- data/frogs.csv" in message
    assert "update sha256 in data/frogs.yml" in message


@pytest.mark.parametrize("ending", ["csv", "yml"])
def test_missing_file(planted, ending):
    (planted.folder / f"frogs.{ending}").unlink()
    with pytest.raises(DataError) as error:
        load_data("frogs")
    what = {
        "csv": "Put it there, or, if",
        "yml": "Write it in the form of data/reedfrogs.yml, or, if",
    }
    assert f"data/frogs.{ending} is missing. {what[ending]} it was there" in str(error.value)
    assert f"git checkout -- data/frogs.{ending}" in str(error.value)


@pytest.mark.parametrize("content", ["a: [1", "", "- 1", "columns: 3", "\x00"])
def test_unreadable_sidecar(planted, content):
    (planted.folder / "frogs.yml").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"data/frogs\.yml cannot be read") as error:
        load_data("frogs")
    assert "git checkout -- data/frogs.yml" in str(error.value)


@pytest.mark.parametrize(
    ("table", "sidecar", "says"),
    [
        (TABLE, SIDECAR.replace("sha256:", "sha:"), "does not say 'sha256'"),
        (TABLE.replace("9", "9.5"), SIDECAR, "does not have the types"),
        (TABLE.replace("9", ""), SIDECAR, "does not have the types"),
        (TABLE.replace("size", "length"), SIDECAR, "correct the sidecar"),
        (TABLE.replace("no,big,9\n", ""), SIDECAR, "has 1 rows"),
    ],
)
def test_sidecar_that_does_not_fit_a_table_changed_on_purpose(planted, table, sidecar, says):
    planted(table, sidecar)
    with pytest.raises(DataError, match=says):
        load_data("frogs")


def test_no_data_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(data, "DATA_DIR", tmp_path)
    with pytest.raises(DataError, match="no data sets found"):
        load_data("frogs")

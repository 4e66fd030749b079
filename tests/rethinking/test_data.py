"""Tables and sidecars belong together, and load_data refuses everything else."""

import csv
import datetime
import hashlib
import importlib.util
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import utils

NAMES = ["reedfrogs", "Trolley"]
ROOT = Path(utils.__file__).resolve().parent
PURPOSES = {"name", "title", "study", "published_with", "made", "licence", "sha256", "rows"}


def sidecar_of(name):
    return yaml.safe_load((utils.DATA_DIR / f"{name}.yml").read_text(encoding="utf-8"))


@pytest.fixture
def copied_data(tmp_path, monkeypatch):
    """A copy of data/ in a path with a space, which a test may break."""
    folder = tmp_path / "some data"
    shutil.copytree(utils.DATA_DIR, folder)
    monkeypatch.setattr(utils, "DATA_DIR", folder)
    return folder


# --- table and sidecar


def test_every_table_has_a_sidecar_and_the_other_way_round():
    assert sorted(path.stem for path in utils.DATA_DIR.glob("*.csv")) == sorted(NAMES)
    assert sorted(path.stem for path in utils.DATA_DIR.glob("*.yml")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_sidecar_says_everything(name):
    sidecar = sidecar_of(name)
    assert PURPOSES | {"missing", "description", "columns"} == set(sidecar)
    assert sidecar["name"] == name
    assert isinstance(sidecar["licence"]["checked"], datetime.date)
    assert "Cite the study" in sidecar["licence"]["note"]
    for column in sidecar["columns"]:
        assert {"name", "meaning", "unit", "type"} <= set(column), column
        assert len({"values", "range", "pattern"} & set(column)) == 1, column


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_plain_and_as_the_sidecar_says(name):
    content = (utils.DATA_DIR / f"{name}.csv").read_bytes()
    assert hashlib.sha256(content).hexdigest() == sidecar_of(name)["sha256"]
    assert content.isascii(), "a byte-order mark or another character outside ASCII"
    assert b"\r" not in content
    assert content.endswith(b"\n")
    assert not content.endswith(b"\n\n")


@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_the_sidecar(name):
    table, sidecar = utils.load_data(name), sidecar_of(name)
    assert len(table) == sidecar["rows"]
    assert list(table.columns) == [column["name"] for column in sidecar["columns"]]
    assert not table.isna().any(axis=None)
    assert sidecar["missing"] == "none"
    for column in sidecar["columns"]:
        values = table[column["name"]]
        assert str(values.dtype) == column["type"], column["name"]
        if "values" in column:
            assert set(values) == set(column["values"]), column["name"]
        elif "range" in column:
            low, high = column["range"]
            assert values.between(low, high).all(), column["name"]
        else:
            assert values.str.fullmatch(column["pattern"]).all(), column["name"]


@pytest.mark.parametrize("name", NAMES)
def test_readme_names_every_column(name):
    readme = (utils.DATA_DIR / "README.md").read_text(encoding="utf-8")
    section = readme.partition(f"## `{name}.csv`")[2].partition("\n## ")[0]
    sidecar = sidecar_of(name)
    found = re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
    assert found == [column["name"] for column in sidecar["columns"]]
    assert f"{sidecar['rows']:,} rows" in section
    assert str(sidecar["licence"]["checked"]) in readme


# --- the published sums


def test_frogs():
    frogs = utils.load_data("reedfrogs")
    assert list(frogs.columns) == ["density", "pred", "size", "surv"]
    assert len(frogs) == 48
    assert frogs["density"].sum() == 1120
    assert frogs["density"].tolist() == [10] * 16 + [25] * 16 + [35] * 16
    assert (frogs["surv"] <= frogs["density"]).all()
    cells = frogs.groupby(["density", "pred", "size"]).size()
    assert cells.tolist() == [4] * 12


def test_trolley_counts():
    trolley = utils.load_data("Trolley")
    assert list(trolley.columns) == (
        "case response order id age male edu action intention contact story action2".split()
    )
    assert len(trolley) == 9930
    ratings = trolley["response"].value_counts().sort_index()
    assert ratings.to_dict() == dict(
        zip(range(1, 8), [1274, 909, 1071, 2323, 1462, 1445, 1446], strict=True)
    )
    assert (trolley["id"].nunique(), trolley["story"].nunique(), trolley["case"].nunique()) == (
        331,
        12,
        30,
    )
    assert trolley["edu"].value_counts().to_dict() == {
        "Bachelor's Degree": 3540,
        "Some College": 2460,
        "Master's Degree": 1410,
        "Graduate Degree": 1050,
        "High School Graduate": 870,
        "Some High School": 420,
        "Middle School": 120,
        "Elementary School": 60,
    }


def test_trolley_is_ordered_by_person_and_case():
    trolley = utils.load_data("Trolley")
    by_person = trolley["id"].to_numpy().reshape(331, 30)
    assert (by_person == by_person[:, :1]).all()
    cases = trolley["case"].to_numpy().reshape(331, 30)
    assert (cases == sidecar_of("Trolley")["columns"][0]["values"]).all()
    constant = trolley.groupby("id")[["age", "male", "edu"]].nunique()
    assert (constant == 1).all(axis=None)


def test_trolley_columns_that_follow_from_others():
    trolley = utils.load_data("Trolley")
    assert (trolley["story"] == trolley["case"].str[-3:]).all()
    assert (trolley["action2"] == trolley[["action", "contact"]].max(axis=1)).all()
    assert not (trolley["action"] & trolley["contact"]).any()
    forms = np.unique(trolley["order"].to_numpy().reshape(331, 30), axis=0)
    assert len(forms) == 4
    assert all(len(set(form)) == 30 for form in forms)


# --- load_data


def test_text_columns_are_str_and_tables_are_the_callers_own():
    first = utils.load_data("reedfrogs")
    assert isinstance(first["pred"].dtype, pd.StringDtype)
    first["surv"] = 0
    assert utils.load_data("reedfrogs")["surv"].sum() > 0


def test_works_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(utils.load_data("reedfrogs")) == 48


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("trolley", "Trolley"),
        ("REEDFROGS", "reedfrogs"),
        ("reedfrogs.csv", "reedfrogs"),
        ("redfrog", "reedfrogs"),
        ("../data/reedfrogs", "reedfrogs"),
    ],
)
def test_unknown_name_is_answered_with_the_nearest(asked, nearest):
    with pytest.raises(utils.DataError) as error:
        utils.load_data(asked)
    assert repr(asked) in str(error.value)
    assert f"did you mean {nearest!r}?" in str(error.value)
    assert "There are: 'reedfrogs', 'Trolley'" in str(error.value)


@pytest.mark.parametrize("asked", ["", "zzz", None, 12])
def test_hopeless_name_gets_the_list(asked):
    with pytest.raises(utils.DataError, match="There are: 'reedfrogs', 'Trolley'") as error:
        utils.load_data(asked)
    assert "did you mean" not in str(error.value)


def test_changed_table(copied_data):
    table = copied_data / "reedfrogs.csv"
    table.write_bytes(table.read_bytes().replace(b"10,no,big,9", b"10,no,big,8", 1))
    with pytest.raises(utils.DataError) as error:
        utils.load_data("reedfrogs")
    message = str(error.value)
    assert hashlib.sha256(table.read_bytes()).hexdigest()[:12] in message
    assert sidecar_of("reedfrogs")["sha256"][:12] in message
    assert "git checkout -- data/reedfrogs.csv" in message
    assert "update sha256 in data/reedfrogs.yml" in message


@pytest.mark.parametrize("ending", ["csv", "yml"])
def test_missing_file(copied_data, ending):
    (copied_data / f"Trolley.{ending}").unlink()
    with pytest.raises(utils.DataError) as error:
        utils.load_data("Trolley")
    assert f"data/Trolley.{ending} is missing" in str(error.value)
    assert f"git checkout -- data/Trolley.{ending}" in str(error.value)


@pytest.mark.parametrize("content", ["a: [1", "", "- 1", "columns: 3", "\x00"])
def test_unreadable_sidecar(copied_data, content):
    (copied_data / "reedfrogs.yml").write_text(content, encoding="utf-8")
    with pytest.raises(utils.DataError, match=r"data/reedfrogs\.yml cannot be read") as error:
        utils.load_data("reedfrogs")
    assert "git checkout -- data/reedfrogs.yml" in str(error.value)


def test_sidecar_without_checksum(copied_data):
    path = copied_data / "reedfrogs.yml"
    path.write_text(path.read_text().replace("sha256:", "sha:"))
    with pytest.raises(utils.DataError, match="does not say 'sha256'"):
        utils.load_data("reedfrogs")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"10,no,big,9", b"10,no,big,9.5", "does not have the types"),
        (b"10,no,big,9", b"10,no,big,", "does not have the types"),
        (b"surv", b"alive", "correct the sidecar"),
        (b"10,no,big,9\n", b"", "has 47 rows"),
    ],
)
def test_sidecar_that_does_not_fit_a_table_changed_on_purpose(copied_data, old, new, says):
    table, sidecar = copied_data / "reedfrogs.csv", copied_data / "reedfrogs.yml"
    was = sidecar_of("reedfrogs")["sha256"]
    table.write_bytes(table.read_bytes().replace(old, new, 1))
    now = hashlib.sha256(table.read_bytes()).hexdigest()
    sidecar.write_text(sidecar.read_text().replace(was, now))
    with pytest.raises(utils.DataError, match=says):
        utils.load_data("reedfrogs")


def test_text_that_looks_like_a_missing_value_stays_text(copied_data):
    table, sidecar = copied_data / "reedfrogs.csv", copied_data / "reedfrogs.yml"
    was = sidecar_of("reedfrogs")["sha256"]
    table.write_bytes(table.read_bytes().replace(b"no", b"NA"))
    now = hashlib.sha256(table.read_bytes()).hexdigest()
    sidecar.write_text(sidecar.read_text().replace(was, now))
    assert set(utils.load_data("reedfrogs")["pred"]) == {"NA", "pred"}


def test_no_data_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(utils, "DATA_DIR", tmp_path)
    with pytest.raises(utils.DataError, match="no data sets found"):
        utils.load_data("reedfrogs")


# --- scripts/make_tables.py


@pytest.fixture(scope="module")
def make_tables():
    spec = importlib.util.spec_from_file_location("make_tables", ROOT / "scripts/make_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def facts(tmp_path):
    """The two facts files, written back from the tables."""
    folder = tmp_path / "the facts"
    folder.mkdir()
    shutil.copy(utils.DATA_DIR / "reedfrogs.csv", folder)
    trolley = utils.load_data("Trolley")
    codes = {
        "Elementary School": "ES",
        "Middle School": "MS",
        "Some High School": "SHS",
        "High School Graduate": "HSG",
        "Some College": "SC",
        "Bachelor's Degree": "BD",
        "Master's Degree": "MD",
        "Graduate Degree": "GD",
    }
    lines = ["# Cases", "#   case   action intention contact action2"]
    treatments = ["action", "intention", "contact", "action2"]
    lines += [
        f"#   {row[0]}  " + "      ".join(str(value) for value in row[1:])
        for row in trolley[["case", *treatments]].head(30).itertuples(index=False)
    ]
    people, forms = [], {}
    for person, rows in trolley.groupby("id", sort=False):
        order = " ".join(rows["order"].astype(str))
        form = forms.setdefault(order, "ABCDE"[len(forms)])
        first, ratings = rows.iloc[0], "".join(rows["response"].astype(str))
        people.append(
            f"{person}|{first['age']}|{first['male']}|{codes[first['edu']]}|{form}|{ratings}"
        )
    lines += [f"#   {form}: {order}" for order, form in forms.items()]
    legend = [f"{code} {name}" for name, code in codes.items()]
    lines += [f"# Education: {', '.join(legend[:4])},", f"# {', '.join(legend[4:])}.   An id."]
    (folder / "trolley.txt").write_text("\n".join(lines + people) + "\n", encoding="ascii")
    return folder


def test_facts_give_back_the_tables(make_tables, facts, tmp_path, capsys):
    into = tmp_path / "new"
    make_tables.main([str(facts), "--into", str(into)])
    printed = capsys.readouterr().out
    for name in NAMES:
        table = f"{name}.csv"
        assert (into / table).read_bytes() == (utils.DATA_DIR / table).read_bytes()
        assert sidecar_of(name)["sha256"] in printed
    assert sorted(path.name for path in into.iterdir()) == ["Trolley.csv", "reedfrogs.csv"]


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("trolley.txt", "434333544444454444433344544344", "43433354444445", "30 ratings"),
        ("trolley.txt", "96;434|14|0|MS|A", "96;434|14|0|XX|A", "unknown code in 'XX'"),
        ("trolley.txt", "96;445|", "96;434|", "96;434 occurs twice"),
        ("trolley.txt", "|14|0|", "|14|", "expected 6 fields"),
        ("trolley.txt", "# Education:", "# Schools:", "names no education codes"),
        ("reedfrogs.csv", "10,no,big,9\n", "10,no,big,11\n", "11 of 10 survive"),
        ("reedfrogs.csv", "10,no,big,9\n", "10,no,big\n", "line 2: expected 4 values"),
        ("reedfrogs.csv", "density", "dense", "starts with"),
    ],
)
def test_wrong_facts_write_nothing(make_tables, facts, tmp_path, file, old, new, says):
    path = facts / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(SystemExit, match=says):
        make_tables.main([str(facts), "--into", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


def test_missing_facts(make_tables, tmp_path):
    with pytest.raises(SystemExit, match=r"reedfrogs\.csv"):
        make_tables.main([str(tmp_path), "--into", str(tmp_path / "new")])


def test_tables_are_read_alike_by_the_csv_module():
    with (utils.DATA_DIR / "Trolley.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    trolley = utils.load_data("Trolley")
    assert [row["id"] for row in rows] == trolley["id"].tolist()
    assert [int(row["response"]) for row in rows] == trolley["response"].tolist()

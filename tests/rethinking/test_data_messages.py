"""What a table in other bytes, and a sidecar that is not complete, are answered with."""

import codecs
import hashlib
import shutil

import pytest

from rethinking import data
from rethinking.data import DataError, load_data


@pytest.fixture
def copied_data(tmp_path, monkeypatch):
    """A copy of data/ in a path with a space, which a test may break."""
    folder = tmp_path / "some data"
    shutil.copytree(data.DATA_DIR, folder)
    monkeypatch.setattr(data, "DATA_DIR", folder)
    return folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.replace(b"\n", b"\r\n"), "but has other line endings, CRLF in place of LF"),
        (lambda c: c.replace(b"\n", b"\r"), "but has other line endings"),
        (lambda c: codecs.BOM_UTF8 + c, r"but has a byte-order mark \(an editor wrote it\)\."),
        (
            lambda c: codecs.BOM_UTF8 + c.replace(b"\n", b"\r\n"),
            "byte-order mark .* and other line",
        ),
        (lambda c: c[:-1], "but has another number of line breaks at its end"),
        (lambda c: c + b"\n", "but has another number of line breaks at its end"),
    ],
)
def test_the_same_values_in_other_bytes_are_told_by_their_cause(copied_data, change, says):
    table = copied_data / "reedfrogs.csv"
    table.write_bytes(change(table.read_bytes()))
    with pytest.raises(DataError, match=says) as error:
        load_data("reedfrogs")
    assert "has changed" not in str(error.value) and "update sha256" not in str(error.value)
    assert str(error.value).startswith("The table data/reedfrogs.csv holds the values")
    assert "Leave sha256 as it is" in str(error.value)
    assert "`git config core.autocrlf false`" in str(error.value)


def test_a_value_changed_beside_the_line_endings_is_a_change(copied_data):
    table = copied_data / "reedfrogs.csv"
    changed = table.read_bytes().replace(b"10,no,big,9", b"10,no,big,8", 1)
    table.write_bytes(changed.replace(b"\n", b"\r\n"))
    now = hashlib.sha256(table.read_bytes()).hexdigest()
    with pytest.raises(DataError, match="has changed") as error:
        load_data("reedfrogs")
    assert f"update sha256 in data/reedfrogs.yml to {now}." in str(error.value)


@pytest.mark.parametrize(
    ("sidecar", "says"),
    [
        (None, r"data/new\.yml is missing\. Write it in the form of data/reedfrogs\.yml, or, if"),
        ("name: new", "does not say 'columns', 'sha256', 'rows'. Complete it, or, if it was"),
        ("rows: 1\nsha256: a\ncolumns: [{name: a}]", "does not say 'type' of column 'a'. Comp"),
        ("rows: 1\nsha256: a\ncolumns: [{type: int64}]", "'name' of column 'number 1'. Comp"),
        ("rows: 1\nsha256: a\ncolumns:", "cannot be read as a sidecar. Write it in the form of"),
        ("rows: 1\nsha256: a\ncolumns: [a]", "cannot be read as a sidecar. Write it in the form"),
    ],
)
def test_a_new_table_is_told_what_its_sidecar_lacks(copied_data, sidecar, says):
    (copied_data / "new.csv").write_text("a\n1\n")
    if sidecar:
        (copied_data / "new.yml").write_text(sidecar)
    with pytest.raises(DataError, match=says) as error:
        load_data("new")
    assert "before, restore it with `git checkout -- data/new.yml`" in str(error.value)


def test_sidecar_with_a_byte_order_mark_and_crlf(copied_data):
    path = copied_data / "reedfrogs.yml"
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(load_data("reedfrogs")) == 48

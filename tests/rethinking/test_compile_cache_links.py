"""The cache of compiled models deletes nothing behind a symbolic link."""

import os

import pytest

from rethinking import compile_cache


@pytest.mark.parametrize("link", ["the folder", "a folder in it", "a file"])
def test_nothing_behind_a_link_is_deleted(tmp_path, link):
    theirs = tmp_path / "theirs"
    old = theirs / "versions" / "old.nbi"
    old.parent.mkdir(parents=True)
    old.touch()
    os.utime(old, (0, 0))
    base = tmp_path / compile_cache.FOLDER
    if link == "the folder":
        base.symlink_to(theirs)
    elif link == "a folder in it":
        base.mkdir()
        (base / "versions").symlink_to(old.parent)
    else:
        (base / "versions").mkdir(parents=True)
        (base / "versions" / "old.nbi").symlink_to(old)
    assert compile_cache.prepare(base).is_dir()
    assert old.exists()

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hydrusd.opening import open_file, system_path, windows_path

LONG = "x" * 250


@pytest.mark.parametrize(
    ("path", "form"),
    [
        (r"C:\pictures\a.jpg", r"C:\pictures\a.jpg"),
        (r"C:\pictures\console.jpg", r"C:\pictures\console.jpg"),
        (r"C:\pictures\com10.jpg", r"C:\pictures\com10.jpg"),
        (r"C:\pictures\con.jpg", r"\\?\C:\pictures\con.jpg"),
        (r"C:\pictures\NUL", r"\\?\C:\pictures\NUL"),
        (r"C:\aux\a.jpg", r"\\?\C:\aux\a.jpg"),
        (r"C:\pictures\Com1.tar.gz", r"\\?\C:\pictures\Com1.tar.gz"),
        (r"C:\pictures\lpt².jpg", r"\\?\C:\pictures\lpt².jpg"),
        (r"C:\pictures\con .jpg", r"\\?\C:\pictures\con .jpg"),
        (r"C:\pictures\ends with a dot.", r"\\?\C:\pictures\ends with a dot."),
        ("C:\\pictures \\a.jpg", "\\\\?\\C:\\pictures \\a.jpg"),
        ("C:/pictures/con.jpg", r"\\?\C:\pictures\con.jpg"),
        (rf"C:\{LONG}\a.jpg", rf"\\?\C:\{LONG}\a.jpg"),
        (r"\\server\share\a.jpg", r"\\server\share\a.jpg"),
        (r"\\server\share\prn.png", r"\\?\UNC\server\share\prn.png"),
        (rf"\\server\share\{LONG}.png", rf"\\?\UNC\server\share\{LONG}.png"),
        (r"\\?\C:\pictures\con.jpg", r"\\?\C:\pictures\con.jpg"),
        (r"\\.\pipe\name", r"\\.\pipe\name"),
        (r"pictures\con.jpg", r"pictures\con.jpg"),
        (r"C:\pictures\..\con.jpg", r"C:\pictures\..\con.jpg"),
        (r"C:con.jpg", r"C:con.jpg"),
    ],
)
def test_paths_that_windows_would_take_for_others(path, form):
    assert windows_path(path) == form
    assert windows_path(form) == form


def test_other_systems_open_what_they_are_told(tmp_path):
    expected = windows_path(str(tmp_path)) if sys.platform == "win32" else str(tmp_path)
    assert system_path(str(tmp_path)) == expected
    (tmp_path / "nul.jpg").write_bytes(b"x")
    file, status = open_file(tmp_path / "nul.jpg", follow_link=False)
    with file:
        assert (file.read(), status.st_size, file.name) == (b"x", 1, str(tmp_path / "nul.jpg"))


def test_links_are_followed_only_if_they_may_be(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    open_file(tmp_path / "link", follow_link=True)[0].close()
    with pytest.raises(OSError, match="symbolic link"):
        open_file(tmp_path / "link", follow_link=False)


def test_what_is_no_file_is_closed_again(tmp_path):
    def descriptors():
        opened = Path("/proc/self/fd")
        return len(list(opened.iterdir())) if opened.is_dir() else 0

    before = descriptors()
    with pytest.raises(OSError, match=r"no ordinary file|directory|denied"):
        open_file(tmp_path, follow_link=True)
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="no ordinary file"):
            open_file(tmp_path / "pipe", follow_link=False)
    assert descriptors() == before

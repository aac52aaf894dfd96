# SPDX-License-Identifier: Apache-2.0
"""A state file is the old one or the new one, and what is wrong with it is one line."""

import os
import resource
from pathlib import Path

import pytest

from agent.errors import StateError
from agent.system import state


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on the way" / "state.json"
    state.write(path, {"a": [1.5, None]})
    assert state.read(path) == {"a": [1.5, None]}


def test_a_file_is_replaced_as_a_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state.write(path, {"a": "x" * 10_000})
    with path.open() as before:
        state.write(path, {"b": 1})
        # Who had the old one open still reads all of it.
        assert len(before.read()) > 10_000
    assert state.read(path) == {"b": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_crash_left_of_a_new_one_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state.write(path, {"a": 1})
    (tmp_path / ".state.json.new").write_bytes(b'{"b": ' + b" " * 10_000)
    assert state.read(path) == {"a": 1}
    state.write(path, {"c": 1})
    assert state.read(path) == {"c": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_is_missing_is_nothing(tmp_path: Path) -> None:
    assert state.read(tmp_path / "state.json") is None
    assert state.read(tmp_path / "no folder" / "state.json") is None


@pytest.mark.parametrize(
    "body",
    [b"", b'{"a": 1', b'{"a": 1}}', b"\0" * 4096, b'{"a": "\xff"}', b"[" * 100_000, b'{"a": 1e999}'],
    ids=["empty", "torn", "too much", "zeros", "no UTF-8", "deep", "too large a number"],
)
def test_a_file_that_is_no_json_is_told_in_one_line(body: bytes, tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(body)
    with pytest.raises(StateError) as raised:
        state.read(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.touch()
    os.truncate(path, (16 << 20) + 1)
    with pytest.raises(StateError, match=r"state\.json: more than 16777216 bytes$"):
        state.read(path)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"cannot be read: Is a directory$"):
        state.read(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"cannot be read: Not a directory$"):
        state.read(tmp_path / "file" / "state.json")


def test_where_there_can_be_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match=r"state\.json cannot be written: (File exists|Not a directory)$"):
        state.write(tmp_path / "file" / "state.json", {})
    path = tmp_path / "state.json"
    path.mkdir()
    with pytest.raises(StateError, match=r"state\.json cannot be written: Is a directory$"):
        state.write(path, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state.write(path, {"a": 1})
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StateError, match=r"cannot be written: Permission denied$"):
            state.write(path, {"b": 1})
    finally:
        tmp_path.chmod(0o700)
    assert state.read(path) == {"a": 1}


def test_a_disk_that_is_full_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    state.write(path, {"a": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StateError, match=r"cannot be written: File too large$"):
            state.write(path, {"b": "x" * 10_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert state.read(path) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("configured", "environment", "found"),
    [
        ("/here", {"STATE_DIRECTORY": "/b", "XDG_STATE_HOME": "/c", "HOME": "/d"}, "/here"),
        ("", {"STATE_DIRECTORY": "/b:/e", "XDG_STATE_HOME": "/c", "HOME": "/d"}, "/b"),
        ("", {"STATE_DIRECTORY": "", "XDG_STATE_HOME": "/c", "HOME": "/d"}, "/c/joulespan"),
        ("", {"XDG_STATE_HOME": "", "HOME": "/d"}, "/d/.local/state/joulespan"),
        ("", {}, "/var/lib/.local/state/joulespan"),
    ],
)
def test_state_is_where_it_is_configured_or_where_systemd_or_xdg_puts_it(
    configured: str, environment: dict[str, str], found: str
) -> None:
    assert state.directory(configured, environment) == Path(found)

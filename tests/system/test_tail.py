# SPDX-License-Identifier: Apache-2.0
"""Files that are followed: whatever their writers do, each line is read once, or counted as left out."""

import gzip
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.system.tail import Tail, Tails
from agent.system.tail_lines import Lines, Members

ALL = 1 << 30
texts = st.lists(st.binary(min_size=1, max_size=40).filter(lambda line: b"\n" not in line), max_size=20)
cuts = st.lists(st.integers(0, 2000), max_size=8)


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place for place in places if place < len(data))})
    return [data[begin:end] for begin, end in pairwise(edges)]


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def lines_of(tails: Tails) -> list[bytes]:
    return [line for read in tails.read() for line in read.lines]


@given(texts, cuts)
def test_lines_are_the_same_however_they_come(lines: list[bytes], places: list[int]) -> None:
    cutter = Lines(100)
    data = b"".join(line + b"\n" for line in lines)
    assert [line for piece in pieces(data, places) for line in cutter.feed(piece)] == lines


@given(st.lists(texts, max_size=5), cuts, st.integers(1, 64))
def test_members_are_uncompressed_however_they_come(members: list[list[bytes]], places: list[int], most: int) -> None:
    data = b"".join(gzip.compress(b"".join(line + b"\n" for line in member)) for member in members)
    inflate, found = Members(), b""
    for piece in pieces(data, places):
        found += inflate.feed(piece, most)
        while inflate.pending:
            more = inflate.feed(b"", most)
            assert len(more) <= most
            found += more
    assert found == b"".join(line + b"\n" for member in members for line in member)
    assert inflate.passed_over == 0


@given(st.binary(max_size=300), cuts, st.integers(1, 64))
def test_anything_can_be_fed_as_a_member_and_ends(data: bytes, places: list[int], most: int) -> None:
    inflate = Members()
    for piece in pieces(b"\x1f\x8b\x08" + data, places):
        inflate.feed(piece, most)
        rounds = 0
        while inflate.pending:
            inflate.feed(b"", most)
            rounds += 1
            assert rounds < 100_000


def test_reading_can_start_within_a_member_and_goes_on_after_a_damaged_one() -> None:
    first, broken, last = (gzip.compress(word * 300 + b"\n") for word in (b"first", b"broken", b"last"))
    damaged = broken[:12] + b"\xff\xff\xff\xff" + broken[16:]
    inflate = Members()
    found = inflate.feed(first[9:] + damaged + last, ALL)
    assert found.endswith(b"\n" + b"last" * 300 + b"\n")
    assert b"first" not in found
    assert inflate.passed_over >= len(first) - 9


def test_a_line_that_is_too_long_is_left_out_and_counted() -> None:
    lines = Lines(10)
    assert lines.feed(b"short\n" + b"x" * 8) == [b"short"]
    assert lines.feed(b"yyyy\nnext\n" + b"z" * 99) == [b"next"]
    assert lines.feed(b"z" * 99 + b"\nlast\n") == [b"last"]
    assert lines.oversized == 2


def test_a_bomb_is_uncompressed_a_piece_at_a_time() -> None:
    inflate = Members()
    bomb = gzip.compress(bytes(50 << 20))
    assert len(inflate.feed(bomb, 1000)) == 1000
    assert inflate.pending


def test_what_was_there_before_is_not_read_and_what_is_appended_is(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    append(path, b"old\n")
    tail = Tail(path, from_end=True)
    assert tail.read(ALL) == []
    append(path, b"one\ntwo")
    assert tail.read(ALL) == [b"one"]
    append(path, b" halves\n")
    assert tail.read(ALL) == [b"two halves"]


def test_a_renamed_file_is_read_to_its_end_before_the_one_that_takes_its_name(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    append(path, b"")
    tail = Tail(path, from_end=True)
    tail.read(ALL)
    append(path, b"last of the old\n")
    path.rename(tmp_path / "trace.jsonl.1")
    append(path, b"first of the new\n")
    assert tail.read(ALL) == [b"last of the old", b"first of the new"]


def test_a_truncated_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    append(path, b"")
    tail = Tail(path, from_end=True)
    tail.read(ALL)
    append(path, b"before\nhalf a li")
    assert tail.read(ALL) == [b"before"]
    path.write_bytes(b"after\n")
    assert tail.read(ALL) == [b"after"]
    assert tail.tally() == {"truncated": 1, "cut": 1}


def test_a_vanished_file_is_read_to_its_end_and_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    append(path, b"")
    tails = Tails([f"{tmp_path}/*.jsonl"])
    assert lines_of(tails) == []
    append(path, b"last words\n")
    path.unlink()
    assert lines_of(tails) == [b"last words"]
    assert lines_of(tails) == []
    assert tails.followed == 0


def test_segments_are_found_as_they_come_and_read_in_order(tmp_path: Path) -> None:
    tails = Tails(["/dynamo-fpm.*.jsonl.gz"], root=tmp_path)
    append(tmp_path / "dynamo-fpm.7.000000.jsonl.gz", gzip.compress(b"before\n"))
    assert lines_of(tails) == []
    append(tmp_path / "dynamo-fpm.7.000001.jsonl.gz", gzip.compress(b"third\n"))
    append(tmp_path / "dynamo-fpm.7.000000.jsonl.gz", gzip.compress(b"first\n") + gzip.compress(b"second\n"))
    assert lines_of(tails) == [b"first", b"second", b"third"]


def test_a_member_is_read_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl.gz"
    tails = Tails([str(path)])
    assert lines_of(tails) == []
    member = gzip.compress(b"".join(b"%d\n" % number for number in range(1000)))
    found = []
    for at in range(0, len(member), 100):
        append(path, member[at : at + 100])
        found += lines_of(tails)
    assert found == [b"%d" % number for number in range(1000)]


def test_reading_goes_on_where_the_budget_ended(tmp_path: Path) -> None:
    tails = Tails([f"{tmp_path}/*.jsonl"], budget=10)
    lines_of(tails)
    append(tmp_path / "a.jsonl", b"12345678\n" * 3)
    append(tmp_path / "b.jsonl", b"b\n")
    found: list[bytes] = []
    for _ in range(5):
        found += lines_of(tails)
    assert found == [b"12345678"] * 3 + [b"b"]


def test_a_writer_that_is_too_far_ahead_is_caught_up_with_and_what_was_skipped_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    append(path, b"")
    tail = Tail(path, from_end=True, behind=100)
    tail.read(ALL)
    append(path, b"x" * 60 + b"\n" + b"y" * 60 + b"\n")
    assert tail.read(ALL) == []
    append(path, b"now\n")
    assert tail.read(ALL) == [b"now"]
    assert tail.tally() == {"skipped": 122}


def test_only_the_newest_files_are_followed_and_the_others_are_counted(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / f"{number}.jsonl"
        append(path, b"")
        os.utime(path, (number, number))
    tails = Tails([f"{tmp_path}/*.jsonl"], files=2)
    lines_of(tails)
    assert (tails.followed, tails.left_out) == (2, 3)
    append(tmp_path / "0.jsonl", b"written to again\n")
    lines_of(tails)
    append(tmp_path / "4.jsonl", b"newest\n")
    assert lines_of(tails) == [b"newest"]


def test_a_pipe_in_a_folder_for_everybody_stops_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "dynamo-fpm.evil.jsonl")
    tails = Tails([f"{tmp_path}/*.jsonl"])
    lines_of(tails)
    append(tmp_path / "dynamo-fpm.good.jsonl", b"good\n")
    assert lines_of(tails) == [b"good"]
    assert tails.unreadable == 1


def test_descriptors_are_let_go(tmp_path: Path) -> None:
    def held() -> set[str]:
        return {str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if os.path.lexists(link)}

    append(tmp_path / "a.jsonl", b"")
    tails = Tails([f"{tmp_path}/*.jsonl"])
    lines_of(tails)
    assert str(tmp_path / "a.jsonl") in held()
    tails.close()
    assert str(tmp_path / "a.jsonl") not in held()


@pytest.mark.parametrize("root", ["", "/"])
def test_the_root_is_a_parameter(tmp_path: Path, root: str) -> None:
    (tmp_path / "var").mkdir()
    tails = Tails([f"{root}var/*.jsonl"], root=tmp_path)
    lines_of(tails)
    append(tmp_path / "var" / "a.jsonl", b"here\n")
    assert lines_of(tails) == [b"here"]

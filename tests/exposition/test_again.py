# SPDX-License-Identifier: Apache-2.0
"""A page that differs from the last in its values alone is read as if it were the first one."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.exposition import Page, Parser

PAGE = "".join(
    [
        "# HELP x Some  words\n# TYPE x counter\n",
        *(f'x{{a="{number} {number}",b="\u00e9"}} {number}.5\n' for number in range(20)),
    ]
)
NUMBERS = st.one_of(
    st.floats().map(repr),
    st.integers(0, 1 << 70).map(str),
    st.sampled_from(["NaN", "+Inf", "-Inf", "1e+09", "0x10", "1_0", "01", "+1", "1.", "", "x", "1 2"]),
)


def read(pages: Sequence[str]) -> list[Page]:
    parser = Parser()
    return [parser.parse(page.encode("utf-8", "surrogatepass")) for page in pages]


def same(page: Page, alone: Page) -> None:
    assert page.keys == alone.keys
    assert [repr(value) for value in page.values] == [repr(value) for value in alone.values]
    assert (page.types, page.dropped, page.times) == (alone.types, alone.dropped, alone.times)


def changed(page: str, place: int, number: str) -> str:
    lines = page.splitlines(keepends=True)
    lines[place] = f"{lines[place].rpartition(' ')[0]} {number}\n"
    return "".join(lines)


@given(st.lists(st.tuples(st.integers(2, 21), NUMBERS), max_size=8))
def test_whatever_the_values_become_a_page_is_read_as_alone(changes: list[tuple[int, str]]) -> None:
    pages = [PAGE]
    for place, number in changes:
        pages.append(changed(pages[-1], place, number))
    for page, text in zip(read(pages), pages, strict=True):
        same(page, Parser().parse(text.encode()))


@pytest.mark.parametrize(
    "other",
    [
        PAGE.replace("} 3.5\n", "} 3.5 17\n"),
        PAGE.replace('"3 3"', '"3  3"'),
        PAGE.replace('"3 3"', '"3 4"'),
        PAGE.replace("# HELP x Some  words\n", ""),
        PAGE.replace("} 3.5\nx{", "} 3.5 x{"),
        PAGE + "y 1\n",
        PAGE[: len(PAGE) // 2],
        PAGE.replace("\n", "\r\n"),
        "",
    ],
)
def test_another_page_in_between_is_read_as_alone_and_so_is_the_next(other: str) -> None:
    pages = [PAGE, PAGE.replace(".5\n", ".25\n"), other, PAGE, PAGE.replace(".5\n", ".125\n")]
    for page, text in zip(read(pages), pages, strict=True):
        same(page, Parser().parse(text.encode()))


def test_the_series_are_the_same_object_as_long_as_values_alone_change() -> None:
    pages = read([PAGE.replace(".5\n", f".{turn}\n") for turn in range(5)])
    assert all(one.keys is other.keys for one, other in pairwise(pages))
    assert [page.values[0] for page in pages] == [0.0, 0.1, 0.2, 0.3, 0.4]


def test_bytes_that_are_no_text_change_nothing() -> None:
    page = PAGE.encode() + b'z{a="\xff\xfe"} 1\n'
    parser = Parser()
    first, second = parser.parse(page), parser.parse(page.replace(b".5\n", b".75\n"))
    same(second, Parser().parse(page.replace(b".5\n", b".75\n")))
    assert first.keys is second.keys


def test_a_value_with_a_comma_in_it_is_not_read_as_two() -> None:
    page = b"\n".join(b'a{n="%d"} %d' % (number, number) for number in range(20)) + b"\n"
    torn = page.replace(b"} 13\n", b"} 1,3\n")
    parser = Parser()
    parser.parse(page)
    told = parser.parse(torn)
    assert len(told.keys) == len(told.values) == 19
    assert told.dropped == {"malformed": 1}

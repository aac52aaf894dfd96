# SPDX-License-Identifier: Apache-2.0
"""Values that are read when they are asked for: that they are numbers is known before."""

from collections.abc import Sequence
from math import isnan

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.exposition import grammar
from agent.exposition.told import Places, Told, numbers, whole

WORDS = st.one_of(
    st.text("0123456789+-.eE", max_size=8),
    st.text("019+-.eE, xN\t", max_size=6),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(1 << 70), 1 << 70).map(str),
)


def text(words: Sequence[str]) -> bytes:
    return "".join(f"{word}," for word in words).encode()


def ends(words: Sequence[str]) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    return np.cumsum([len(word) + 1 for word in words])


@given(st.lists(WORDS, min_size=1, max_size=6))
@example(["1.2.3"])
@example(["1e5e3"])
@example(["1e5.2"])
@example(["1-2"])
@example(["1", ""])
@example(["1e"])
@example(["-"])
@example(["."])
@example(["1,2"])
def test_what_passes_for_numbers_can_be_read(words: list[str]) -> None:
    told = text(words)
    if whole(told, len(words)):
        assert list(numbers(told)) == grammar.numbers(words)


@pytest.mark.parametrize(
    "word", ["0", "-1", "+3", "12.5", "1.", "1e+09", "1E-7", "2.5e-05", "007", "1.7976931348623157e+308"]
)
def test_numbers_as_programs_write_them_pass(word: str) -> None:
    assert whole(text([word, "1", word]), 3)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.data())
def test_some_are_what_they_are_among_all(values: list[float], data: st.DataObject) -> None:
    words = [repr(value) for value in values]
    told = Told(text(words), ends(words))
    places = data.draw(st.lists(st.integers(0, len(values) - 1)))
    assert list(Places(places).of(told)) == list(Places(places).of(values)) == [values[place] for place in places]
    assert list(told) == values
    assert len(told) == len(values)
    assert list(Places(places).of(told)) == [values[place] for place in places], "also when all were read"


def test_what_is_no_number_of_json_is_read_all_the_same() -> None:
    found = numbers(b"NaN,+Inf,01,+1,1.,")
    assert isnan(found[0])
    assert list(found[1:]) == [float("inf"), 1, 1, 1]

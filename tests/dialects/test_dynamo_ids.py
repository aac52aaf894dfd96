# SPDX-License-Identifier: Apache-2.0
"""One worker has one id, in whichever way it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialects.dynamo_ids import decimal, hexadecimal


def test_the_recorded_pair_is_one_worker() -> None:
    assert hexadecimal("4f2c6323dcc822f") == decimal("356565239603167791") == decimal(356565239603167791)


@given(st.integers(0, (1 << 64) - 1))
def test_every_id_is_the_same_however_it_is_written(worker: int) -> None:
    assert decimal(str(worker)) == decimal(worker) == hexadecimal(f"{worker:x}") == worker


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1e3", " 1", "18446744073709551616", "٣", "9" * 21, 1.0, True, None])
def test_what_is_no_decimal_id_is_none(text: object) -> None:
    assert decimal(text) is None


@pytest.mark.parametrize("text", ["", "-1", "0x1", "g", "1_0", "f" * 17])
def test_what_is_no_hexadecimal_id_is_none(text: str) -> None:
    assert hexadecimal(text) is None

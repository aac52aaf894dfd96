# SPDX-License-Identifier: Apache-2.0
"""Batches of fields against a driver that fills the entries as the test says."""

import ctypes
import struct
from ctypes import Array, c_char
from itertools import combinations

import pynvml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import DeviceLost, Unavailable
from agent.system.nvml.batch import ENTRY, FieldBatch, FieldError
from agent.system.nvml.device import Notes
from agent.system.nvml.fields import Field, bit_error_rate

DOUBLE, UINT, ULONG, ULONG_LONG, LONG_LONG, INT, USHORT = range(7)
NOT_SUPPORTED, NO_PERMISSION, LOST = 3, 4, 15


class Driver:
    """Answers (type, raw value) by field id, a return code by id, and spoils the companies it is told to."""

    def __init__(self) -> None:
        self.values: dict[int, tuple[int, int]] = {}
        self.codes: dict[int, int] = {}
        self.spoilers: set[frozenset[int]] = set()
        self.calls: list[list[int]] = []
        self.failure: Exception | None = None

    def __call__(self, buffer: "Array[c_char]", count: int) -> None:
        if self.failure:
            raise self.failure
        assert len(buffer) == ENTRY.size * count
        ids = [ENTRY.unpack_from(buffer, slot * ENTRY.size)[0] for slot in range(count)]
        self.calls.append(ids)
        spoilt = any(pair <= set(ids) for pair in self.spoilers)
        for slot, number in enumerate(ids):
            code = NOT_SUPPORTED if spoilt else self.codes.get(number, 0)
            kind, raw = self.values.get(number, (UINT, number))
            ENTRY.pack_into(buffer, slot * ENTRY.size, number, 0, 0, 0, kind, code, raw)


def explain(code: int) -> FieldError:
    if code == LOST:
        raise DeviceLost
    return (
        FieldError("NotSupported", permanent=True)
        if code == NOT_SUPPORTED
        else FieldError("NoPermission", permanent=False)
    )


def batch(driver: Driver, *fields: Field) -> tuple[FieldBatch, Notes]:
    notes = Notes()
    return FieldBatch(fields, driver, explain, notes), notes


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        (DOUBLE, struct.unpack("=Q", struct.pack("=d", 45.25))[0], 45.25),
        (UINT, 0xDEADBEEF_FFFFFFFF, 4294967295),
        (ULONG, 1 << 40, 1 << 40),
        (ULONG_LONG, (1 << 63) + 5, float((1 << 63) + 5)),
        (LONG_LONG, (1 << 64) - 7, -7),
        (INT, 0xDEADBEEF_FFFFFFF9, -7),
        (USHORT, 0xDEADBEEF_0000FFFF, 65535),
        (99, 1, None),
    ],
)
def test_every_type_is_read_by_its_rules_the_first_time_and_every_time(
    kind: int, raw: int, expected: float | None
) -> None:
    driver = Driver()
    driver.values[1] = (kind, raw)
    reader, _ = batch(driver, Field(1), Field(2))
    assert [list(reader.read()) for _ in range(3)] == [[expected, 2]] * 3


def test_numbers_come_in_base_units() -> None:
    driver = Driver()
    driver.values = {1: (ULONG_LONG, 312_500), 2: (ULONG_LONG, 3)}
    reader, _ = batch(driver, Field(1, divide=1000), Field(2, multiply=1024))
    reader.read()
    assert list(reader.read()) == [312.5, 3072]


def test_what_is_not_supported_is_asked_alone_once_and_then_never_again() -> None:
    driver = Driver()
    driver.codes[2] = NOT_SUPPORTED
    reader, notes = batch(driver, Field(1), Field(2), Field(3))
    assert [list(reader.read()) for _ in range(2)] == [[1, None, 3]] * 2
    assert driver.calls == [[1, 2, 3], [2], [1, 3]]
    assert notes.support["field 2"] == "NotSupported"
    assert notes.take_failures() == []


def test_a_missing_right_is_noted_each_time_and_asked_again() -> None:
    driver = Driver()
    driver.codes[2] = NO_PERMISSION
    reader, notes = batch(driver, Field(1), Field(2))
    reader.read()
    assert [failure.error for failure in notes.take_failures()] == ["NoPermission"]
    driver.codes.clear()
    assert list(reader.read()) == [1, 2]


def test_a_field_that_answered_before_is_asked_again_after_a_refusal() -> None:
    driver = Driver()
    reader, _ = batch(driver, Field(1), Field(2))
    reader.read()
    driver.codes[2] = NOT_SUPPORTED
    assert list(reader.read()) == [1, None]
    driver.codes.clear()
    assert list(reader.read()) == [1, 2]


@settings(max_examples=200, deadline=None)
@given(st.sets(st.sampled_from(list(combinations(range(1, 9), 2))), max_size=6))
def test_entries_that_spoil_each_other_are_parted_until_none_is_spoilt(pairs: set[tuple[int, int]]) -> None:
    driver = Driver()
    driver.spoilers = {frozenset(pair) for pair in pairs}
    reader, notes = batch(driver, *(Field(number) for number in range(1, 9)))
    for _ in range(5):
        assert list(reader.read()) == list(range(1, 9)), "no value is missed on the way"
    driver.calls.clear()
    reader.read()
    assert len(driver.calls) == reader.calls, "nothing is asked alone any more"
    assert "NotSupported" not in notes.support.values()


def test_a_lost_device_ends_the_read() -> None:
    driver = Driver()
    reader, _ = batch(driver, Field(1))
    driver.codes[1] = LOST
    with pytest.raises(DeviceLost):
        reader.read()
    driver.failure = Unavailable()
    with pytest.raises(Unavailable):
        reader.read()


def test_a_device_that_is_lost_while_an_entry_is_asked_alone_ends_the_read() -> None:
    driver = Driver()
    driver.codes[2] = NOT_SUPPORTED

    def call(buffer: "Array[c_char]", count: int) -> None:
        driver(buffer, count)
        driver.failure = DeviceLost()

    with pytest.raises(DeviceLost):
        FieldBatch([Field(1), Field(2)], call, explain, Notes()).read()


def test_a_failure_of_the_call_for_one_entry_decides_nothing() -> None:
    driver = Driver()
    driver.codes[2] = NOT_SUPPORTED

    def call(buffer: "Array[c_char]", count: int) -> None:
        driver.failure = Unavailable() if count == 1 else None
        driver(buffer, count)

    reader = FieldBatch([Field(1), Field(2)], call, explain, Notes())
    assert list(reader.read()) == [1, None]
    driver.codes.clear()
    assert list(reader.read()) == [1, 2]


def test_an_entry_is_laid_out_as_the_driver_lays_it_out() -> None:
    theirs = pynvml.c_nvmlFieldValue_t
    names = ("fieldId", "scopeId", "timestamp", "latencyUsec", "valueType", "nvmlReturn", "value")
    assert ENTRY.size == ctypes.sizeof(theirs)
    assert [getattr(theirs, name).offset for name in names] == [0, 4, 8, 16, 24, 28, 32]


@given(st.lists(st.integers(0, 1 << 30), min_size=1, max_size=50))
def test_a_counter_of_32_bits_goes_on_after_its_wraps(steps: list[int]) -> None:
    driver = Driver()
    reader, _ = batch(driver, Field(1, wraps=True))
    total = 0xF000_0000
    driver.values[1] = (UINT, total)
    reader.read()
    for step in steps:
        total += step
        driver.values[1] = (UINT, total & 0xFFFFFFFF)
        assert list(reader.read()) == [total]


def test_a_counter_that_falls_from_the_middle_of_its_range_was_reset() -> None:
    driver = Driver()
    reader, _ = batch(driver, Field(1, wraps=True))
    found: list[float | None] = []
    for raw in (1000, 2_000_000_000, 5, 10):
        driver.values[1] = (UINT, raw)
        found += reader.read()
    assert found == [1000, 2_000_000_000, 5, 10]


@pytest.mark.parametrize(("raw", "expected"), [(0x10C, 1e-12), (0x50F, 5e-15), (15 << 8 | 255, 0.0), (0, 0.0)])
def test_a_bit_error_rate_is_mantissa_times_ten_to_the_minus_exponent(raw: int, expected: float) -> None:
    assert bit_error_rate(raw) == pytest.approx(expected, rel=1e-12)

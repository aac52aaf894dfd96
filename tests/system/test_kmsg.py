# SPDX-License-Identifier: Apache-2.0
"""XIDs in the kernel log."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.system.kmsg import KernelLog, KernelXid, parse

LOST = b"4,1234,98765432,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, name=python, GPU has fallen off the bus.\n"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (LOST, KernelXid("0000:3b:00.0", 79, 98_765_432_000)),
        (b"2,7,5,-,caller=T12;NVRM: Xid (PCI:0000:CA:00): 119, Timeout", KernelXid("0000:ca:00.0", 119, 5000)),
        (
            b"4,8,6,-;NVRM: Xid (PCI:0008:01:00): 13, Graphics Exception\n SUBSYSTEM=pci",
            KernelXid("0008:01:00.0", 13, 6000),
        ),
        (b"4,8,6,-;NVRM: Xid (PCI:00000000:01:00.0): 31", KernelXid("0000:01:00.0", 31, 6000)),
        (b"6,9,7,-;NVRM: GPU at PCI:0000:3b:00: GPU-5b7c", None),
        (b"6,9,7,-;usb 1-1: new device", None),
        (b"NVRM: Xid (PCI:0000:3b:00): 79", None),
        (b"", None),
    ],
)
def test_a_record_is_an_xid_or_nothing(record: bytes, expected: KernelXid | None) -> None:
    assert parse(record) == expected


@given(st.binary() | st.binary().map(lambda noise: b"4,1,2,-;NVRM: Xid (PCI:" + noise))
def test_no_record_ends_the_reading(record: bytes) -> None:
    found = parse(record)
    assert found is None or found.xid >= 0


def test_records_are_read_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    log = KernelLog(path)
    try:
        assert log.read() == []
        os.write(writer, LOST)
        assert [found.xid for found in log.read()] == [79]
        assert log.read() == []
    finally:
        log.close()
        os.close(writer)

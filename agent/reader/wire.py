# SPDX-License-Identifier: Apache-2.0
"""What goes over the socket between agent and reader: length-prefixed msgpack.

The reader names its series once (`Layout`) and then sends bare numbers (`Block`). Times are ns of CLOCK_MONOTONIC,
which both processes share.
"""

import struct
from collections.abc import Iterator
from typing import Any

import msgspec

from agent.catalogue import METRICS
from agent.errors import JoulespanError
from agent.metric import Series
from agent.simulation.deployment import SimulatedEngine

_HEADER = struct.Struct("=I")
MAX_MESSAGE = 16 << 20
"""Bytes; a longer one means that the stream is broken."""


class Broken(JoulespanError):
    """The stream from the reader makes no sense."""


class Message(msgspec.Struct, array_like=True):
    """The root of what is sent."""


class Setup(Message, tag=1):
    """Agent to reader, once, first: what to read and how often. Seconds."""

    fast: float
    normal: float
    slow: float
    processes: float
    detail: bool
    simulate: int
    """How many GPUs to simulate; 0 reads the real ones."""
    avoid: list[int]
    """NVML indexes not to touch: a call on them hangs another reader."""
    engines: list[SimulatedEngine] = []
    """Simulated engines that work on the simulated GPUs; without any, these show waves."""
    faults: bool = False
    """Whether things go wrong with the simulated GPUs, from when the engines began."""


class Include(Message, tag=2):
    """Agent to reader: touch these GPUs again."""

    indexes: list[int]


class Resend(Message, tag=3):
    """Agent to reader: say everything anew."""


class Opened(Message, tag=11):
    """The driver is open."""

    driver_version: str | None
    devices: int


class Failed(Message, tag=12):
    """The driver cannot be opened or is gone; the reader ends."""

    reason: str


class Found(Message, tag=13):
    """A GPU answers."""

    uuid: str
    index: int
    pci: str | None


class Lost(Message, tag=14):
    """A GPU no longer answers: all its series end."""

    uuid: str | None
    index: int
    reason: str


class Layout(Message, tag=15):
    """The series of one collector on one GPU, under a number that replaces an earlier layout of the two."""

    id: int
    collector: str
    device: str
    series: list[tuple[str, list[Any]]]


class Block(Message, tag=16):
    """Values for a layout, None where there is none this time."""

    layout: int
    time: int
    values: list[float | None]


class Ran(Message, tag=17):
    """A collector ran over all GPUs: seconds it took, failures by kind, runs it left out before."""

    collector: str
    time: int
    duration: float
    failures: dict[str, int]
    missed: int


class XidSeen(Message, tag=18):
    """The driver reported an XID."""

    uuid: str
    xid: int
    time: int


class Dropped(Message, tag=19):
    """The agent did not listen: this many messages were dropped."""

    count: int


class Log(Message, tag=20):
    """A change of state worth a line in the log."""

    level: str
    text: str


ToReader = Setup | Include | Resend
FromReader = Opened | Failed | Found | Lost | Layout | Block | Ran | XidSeen | Dropped | Log

_ENCODER = msgspec.msgpack.Encoder()
FROM_READER = msgspec.msgpack.Decoder(list[FromReader])
TO_READER = msgspec.msgpack.Decoder(list[ToReader])


def pack(messages: list[Any]) -> bytes:
    """Encode messages as one frame."""
    body = _ENCODER.encode(messages)
    return _HEADER.pack(len(body)) + body


class Frames:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes in and give out the bodies of the frames that are complete. Raises Broken."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._buffer)
            if length > MAX_MESSAGE:
                raise Broken(f"frame of {length} bytes")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield body


def describe(series: Series) -> tuple[str, list[Any]]:
    """Write a series down."""
    return series.metric.name, list(series.entity)


def restore(name: str, entity: list[Any]) -> Series:
    """Read a series back. Raises Broken when the catalogue does not have it."""
    try:
        metric = METRICS[name]
        return metric.series(msgspec.convert(entity, type=metric.entity))
    except (KeyError, msgspec.ValidationError) as error:
        raise Broken(f"series {name} {entity}: {error}") from error

# SPDX-License-Identifier: Apache-2.0
"""Request bodies made plain: gzip, deflate and zstd, never more than a limit of them.

Output is made a piece at a time and the limit is looked at after each, so that a bomb takes the limit and one piece.
"""

import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from agent.otlp.protobuf import Malformed
from agent.receivers.otlp import Refusal, Refused

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE = 1 << 20
_INPUT = 64 << 10
_PARTS = 4096
"""gzip members or zstd frames in one body. Programs that compress in parallel make one for each 64 KiB or more."""
_GZIP, _ZLIB, _RAW = 31, 15, -15
"""zlib's window bits for the three formats."""
_DEFLATED, _CHECK = 8, 31
_WINDOW_LOG = 23
"""A window of 8 MiB, the most that RFC 9659 allows over HTTP."""


class _Part(Protocol):
    """One gzip member, zlib stream or zstd frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """Give all that comes out for this input, a piece at a time."""
        ...


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._stream = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def pieces(self, data: bytes) -> Iterator[bytes]:
        # At the end the rest is in the tail too, and taking it in again would double it.
        while not self._stream.eof and (piece := self._stream.decompress(data, _PIECE)):
            yield piece
            data = self._stream.unconsumed_tail


class _Zstd:
    def __init__(self) -> None:
        self._stream = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield self._stream.decompress(data, _PIECE)
        while not (self._stream.eof or self._stream.needs_input):
            yield self._stream.decompress(b"", _PIECE)


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Make a body plain.

    Raises Malformed for what is cut off, damaged, or followed by something else, Refused for an unknown encoding and
    for more than `limit` bytes. A body of no bytes is that in every encoding.
    """
    if encoding in ("", "identity") or not body:
        return body
    make = _FORMATS.get(encoding)
    if make is None:
        raise Refused(Refusal.UNSUPPORTED, f"content-encoding must be one of {', '.join(_FORMATS)}, identity")
    try:
        return _plain(body, make(body), encoding, limit)
    except (zlib.error, zstd.ZstdError) as error:
        raise Malformed(f"{encoding}: {error}") from error


def _plain(body: bytes, make: Callable[[], _Part], encoding: str, limit: int) -> bytes:
    found = bytearray()
    part, parts = make(), 1
    waiting = memoryview(body)
    while waiting:
        taken, waiting = waiting[:_INPUT], waiting[_INPUT:]
        for piece in part.pieces(bytes(taken)):
            found += piece
            if len(found) > limit:
                raise Refused(Refusal.TOO_LARGE, f"a request of more than {limit} bytes once uncompressed")
        if part.eof and (rest := len(part.unused_data) + len(waiting)):
            parts += 1
            if encoding == "deflate" or parts > _PARTS:
                raise Malformed(f"{encoding}: something follows its end")
            waiting = memoryview(body)[-rest:]
            part = make()
    if not part.eof:
        raise Malformed(f"{encoding}: it is cut off")
    return bytes(found)


def _deflate(body: bytes) -> Callable[[], _Part]:
    """Tell zlib's format, which is what deflate means, from the raw one that some send."""
    named = body[0] & 0x0F == _DEFLATED and int.from_bytes(body[:2], "big") % _CHECK == 0
    return lambda: _Zlib(_ZLIB if named else _RAW)


_FORMATS: Mapping[str, Callable[[bytes], Callable[[], _Part]]] = {
    "gzip": lambda _: lambda: _Zlib(_GZIP),
    "deflate": _deflate,
    "zstd": lambda _: _Zstd,
}
"""How to make a part, by encoding, for a body."""

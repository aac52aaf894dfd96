# SPDX-License-Identifier: Apache-2.0
"""Bodies are made plain whole or not at all."""

import gzip
import os
import struct
import sys
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.otlp.protobuf import Malformed
from agent.receivers.compression import decompress
from agent.receivers.otlp import Refusal, Refused

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 1 << 20


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zstd": ("zstd", zstd.compress),
}
BODIES = st.binary(max_size=2000) | st.integers(0, LIMIT).map(bytes)


@pytest.mark.parametrize("name", PACKERS)
@settings(deadline=None, max_examples=50)
@given(body=BODIES)
def test_what_was_packed_comes_out_again(name: str, body: bytes) -> None:
    encoding, pack = PACKERS[name]
    assert decompress(pack(body), encoding, LIMIT) == body


@pytest.mark.parametrize("name", PACKERS)
@pytest.mark.parametrize("size", [10, 70_000, 3 << 20])
def test_what_is_cut_off_anywhere_is_an_error(name: str, size: int) -> None:
    encoding, pack = PACKERS[name]
    packed = pack(os.urandom(min(size, 200_000)) + bytes(size))
    for end in (1, 2, len(packed) // 2, len(packed) - 1):
        with pytest.raises(Malformed):
            decompress(packed[:end], encoding, 8 << 20)


@pytest.mark.parametrize("name", PACKERS)
def test_what_follows_the_end_is_an_error(name: str) -> None:
    encoding, pack = PACKERS[name]
    with pytest.raises(Malformed):
        decompress(pack(b"a request") + b"and more", encoding, LIMIT)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [5, 100_000, 5 << 20])
def test_members_and_frames_one_after_the_other_are_one_body(name: str, size: int) -> None:
    encoding, pack = PACKERS[name]
    body = os.urandom(min(size, 100_000)) + bytes(size)
    assert decompress(pack(body) * 3, encoding, 16 << 20) == body * 3


def test_frames_that_are_to_be_skipped_are() -> None:
    skipped = struct.pack("<II", 0x184D2A50, 3) + b"abc"
    assert decompress(skipped + zstd.compress(b"a request"), "zstd", LIMIT) == b"a request"


@pytest.mark.parametrize("name", PACKERS)
def test_the_limit_is_exact(name: str) -> None:
    encoding, pack = PACKERS[name]
    assert len(decompress(pack(bytes(LIMIT)), encoding, LIMIT)) == LIMIT
    with pytest.raises(Refused) as caught:
        decompress(pack(bytes(LIMIT + 1)), encoding, LIMIT)
    assert caught.value.refusal is Refusal.TOO_LARGE


def test_more_members_than_any_program_makes_are_an_error() -> None:
    with pytest.raises(Malformed, match="follows"):
        decompress(gzip.compress(b"") * 5000, "gzip", LIMIT)


def test_a_window_larger_than_http_allows_is_an_error() -> None:
    packed = zstd.compress(bytes(20 << 20), options={zstd.CompressionParameter.window_log: 24})
    with pytest.raises(Malformed, match="memory"):
        decompress(packed, "zstd", 64 << 20)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
@given(body=st.binary(min_size=1, max_size=100))
def test_what_is_not_packed_is_refused_or_packed_after_all(encoding: str, body: bytes) -> None:
    try:
        found = decompress(body, encoding, LIMIT)
    except Malformed:
        return
    # Raw deflate has no mark of its own, and empty zstd frames that are skipped hold nothing.
    assert encoding != "gzip"
    assert len(found) <= LIMIT


def test_no_encoding_leaves_a_body_as_it_is_and_an_unknown_one_is_refused() -> None:
    assert decompress(b"body", "", LIMIT) == b"body"
    assert decompress(b"body", "identity", LIMIT) == b"body"
    assert decompress(b"", "gzip", LIMIT) == b""
    with pytest.raises(Refused, match="gzip, deflate, zstd") as caught:
        decompress(b"body", "br", LIMIT)
    assert caught.value.refusal is Refusal.UNSUPPORTED

# SPDX-License-Identifier: Apache-2.0
"""Makes hostile requests out of good ones: bytes are changed, and so are fields, depths, numbers and lengths."""

import gzip
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple, TypeAlias

from agent.otlp import bounds
from agent.otlp.bounds import Shape
from agent.otlp.protobuf import FIXED32, FIXED64, LENGTH, VARINT, fields, varint
from agent.receivers.otlp import Signal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SHAPES: Mapping[Signal, Shape] = {
    Signal.TRACES: bounds.TRACES,
    Signal.METRICS: bounds.METRICS,
    Signal.LOGS: bounds.LOGS,
}
_LARGEST = 1 << 20
_DEEPEST = 6
_BYTES = (b"", b"\0", b"\xff", b"\x80" * 10, b"\xed\xa0\x80", b"\0" * 16, b"a" * 300)
_NUMBERS = (0, 1, 127, 128, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
_TEXTS = (
    '""',
    "null",
    "true",
    "-1",
    "1e999",
    '"NaN"',
    "[]",
    "{}",
    '"\\ud800"',
    "99999999999999999999",
    '"\\u0000"',
    "[[[[",
)


class Part(NamedTuple):
    """A field, taken apart where it is a message."""

    number: int
    wire: int
    payload: "bytes | Tree"


Tree: TypeAlias = list[Part]


def parse(data: bytes, shape: Shape) -> Tree:
    """Take a message apart, down to what is no message."""
    found = []
    for one in fields(data):
        payload: bytes | Tree = data[one.start : one.end]
        inner = shape.get(one.number)
        if one.wire == LENGTH and inner:
            payload = parse(data[one.start : one.end], inner)
        found.append(Part(one.number, one.wire, payload))
    return found


def encode(tree: Tree, random: Random | None = None) -> bytes:
    """Put it together again; with `random`, a length may be wrong."""
    found = bytearray()
    for number, wire, payload in tree:
        inner = encode(payload, random) if isinstance(payload, list) else payload
        found += varint(number << 3 | wire)
        if wire == LENGTH:
            wrong = random is not None and random.random() < 0.01
            found += varint(random.choice(_NUMBERS) if random and wrong else len(inner))
        found += inner
    return bytes(found)


class Mutator:
    """Makes bodies. The same `random` makes the same."""

    def __init__(self, random: Random, corpus: Mapping[Signal, Sequence[bytes]]) -> None:
        """Begin with the requests of a corpus."""
        self._random = random
        self._corpus = corpus
        self._trees = {
            signal: [parse(body, SHAPES[signal]) for body in bodies if len(body) < _LARGEST]
            for signal, bodies in corpus.items()
        }

    def body(self) -> tuple[Signal, bytes]:
        """Make the body of a request."""
        random = self._random
        signal = random.choice(list(self._corpus))
        way = random.random()
        if way < 0.1:
            return signal, random.randbytes(random.randrange(1, 200))
        body = random.choice(self._corpus[signal]) if way < 0.4 else self._changed_tree(signal)
        for _ in range(random.choice((0, 0, 1, 1, 2, 8)) if way >= 0.4 else random.randrange(1, 9)):
            body = self.damaged(body)
        return signal, body[: 2 * _LARGEST]

    def damaged(self, body: bytes) -> bytes:
        """Change bytes, wherever they are."""
        random = self._random
        at = random.randrange(len(body) + 1)
        end = min(len(body), at + random.choice((1, 2, 8, 100)))
        match random.randrange(6):
            case 0:
                return body[:at]
            case 1:
                return body[:at] + body[end:]
            case 2:
                return body[:end] + body[at:end] * random.choice((1, 3, 100)) + body[end:]
            case 3:
                return body[:at] + random.choice(_BYTES) + body[at:]
            case 4:
                return body[:at] + random.randbytes(end - at) + body[end:]
            case _:
                bit = bytes((body[at] ^ 1 << random.randrange(8),)) if at < len(body) else b""
                return body[:at] + bit + body[at + 1 :]

    def text(self, body: str) -> str:
        """Change JSON."""
        random = self._random
        marks = [at for at, letter in enumerate(body[:5000]) if letter in '{}[],:"']
        for _ in range(random.randrange(1, 4)):
            at = random.choice(marks) if marks else 0
            end = min(len(body), at + random.choice((0, 1, 2, 20)))
            middle = random.choice((random.choice(_TEXTS), body[at:end] * 2, "", chr(random.randrange(0x110000))))
            body = body[:at] + middle + body[end:]
        return body

    def packed(self, body: bytes) -> tuple[str, bytes]:
        """Compress, and perhaps damage what comes out."""
        random = self._random
        encoding = random.choice(list(_PACKERS))
        found = _PACKERS[encoding](body)
        if random.random() < 0.2:
            found *= 2
        while random.random() < 0.5:
            found = self.damaged(found)
        return encoding, found

    def _changed_tree(self, signal: Signal) -> bytes:
        random = self._random
        tree = list(random.choice(self._trees[signal]))
        for _ in range(random.randrange(1, 5)):
            tree = self._changed(tree, signal)
        return encode(tree, random if random.random() < 0.3 else None)

    def _changed(self, tree: Tree, signal: Signal) -> Tree:
        """Change one field, somewhere below."""
        random = self._random
        if not tree:
            return [self._made()]
        at = random.randrange(len(tree))
        part = tree[at]
        if isinstance(part.payload, list) and random.random() < 0.8:
            changed = [part._replace(payload=self._changed(part.payload, signal))]
        else:
            changed = self._field(part, signal)
        return [*tree[:at], *changed, *tree[at + 1 :]]

    def _field(self, part: Part, signal: Signal) -> Tree:
        random = self._random
        match random.randrange(8):
            case 0:
                return []
            case 1:
                return [part] * random.choice((2, 3, 50))
            case 2:
                return [part._replace(number=random.choice((1, 2, 3, 9, 15, 99, (1 << 29) - 1)))]
            case 3:
                return [Part(part.number, *self._payload())]
            case 4:
                return [self._nested(part)]
            case 5:
                return [part, self._made()]
            case 6:
                return [random.choice(random.choice(self._trees[signal]) or [part])]
            case _:
                return [self._made(), part]

    def _nested(self, part: Part) -> Part:
        """Wrap a field in itself."""
        for _ in range(self._random.choice((1, 5, _DEEPEST * 20))):
            part = Part(part.number, LENGTH, [part])
        return part

    def _made(self) -> Part:
        return Part(self._random.randrange(1, 20), *self._payload())

    def _payload(self) -> tuple[int, bytes]:
        random = self._random
        match random.randrange(5):
            case 0:
                return VARINT, varint(random.choice(_NUMBERS))
            case 1:
                return FIXED64, random.randbytes(8)
            case 2:
                return FIXED32, random.randbytes(4)
            case 3:
                return LENGTH, random.choice(_BYTES)
            case _:
                return LENGTH, random.randbytes(random.randrange(20))


_PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, 1),
    "deflate": lambda body: zlib.compress(body, 1),
    "zstd": zstd.compress,
    "identity": bytes,
}

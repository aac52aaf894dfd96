# SPDX-License-Identifier: Apache-2.0
"""How much a message would take once decoded, counted before it is decoded.

A field of two bytes becomes an object of a hundred: 64 MiB of empty attributes would take gigabytes. Messages small
enough are not counted at all.
"""

from typing import TypeAlias

from agent.otlp.protobuf import LENGTH, Malformed, fields

Shape: TypeAlias = "dict[int, Shape]"
"""The fields of a message that are messages, by number."""

_ANY: Shape = {}
_KEY_VALUE: Shape = {2: _ANY}
_LIST: Shape = {1: _ANY}
_KEY_VALUES: Shape = {1: _KEY_VALUE}
_ANY.update({5: _LIST, 6: _KEY_VALUES})
SPAN: Shape = {9: _KEY_VALUE, 11: {3: _KEY_VALUE}, 13: {4: _KEY_VALUE}}
_EXEMPLAR: Shape = {7: _KEY_VALUE}
_POINT: Shape = {1: _KEY_VALUE, 5: _EXEMPLAR, 6: _ANY, 7: _KEY_VALUE, 8: _EXEMPLAR, 9: _KEY_VALUE, 11: _EXEMPLAR}
_POINTS: Shape = {1: _POINT}
_RESOURCE: Shape = {1: _KEY_VALUE}
_SCOPE: Shape = {3: _KEY_VALUE}
_METRIC: Shape = {5: _POINTS, 7: _POINTS, 9: _POINTS, 10: _POINTS, 11: _POINTS, 12: _KEY_VALUE}
METRICS: Shape = {1: {1: _RESOURCE, 2: {1: _SCOPE, 2: _METRIC}}}
LOGS: Shape = {1: {1: _RESOURCE, 2: {1: _SCOPE, 2: {5: _ANY, 6: _KEY_VALUE}}}}

_SMALL = 64 << 10
MOST_FIELDS = 100_000
_DEEPEST = 64


def check(data: bytes, shape: Shape, most: int = MOST_FIELDS) -> None:
    """Raise Malformed when there are more than `most` fields in a message of this shape, or it nests too deep."""
    if len(data) <= _SMALL:
        return
    left = most
    waiting = [(0, len(data), shape, 0)]
    while waiting:
        start, end, known, depth = waiting.pop()
        if depth > _DEEPEST:
            raise Malformed(f"nested more than {_DEEPEST} deep")
        for one in fields(data, start, end):
            left -= 1
            if left < 0:
                raise Malformed(f"more than {most} fields and attributes")
            if one.wire == LENGTH and one.number in known:
                waiting.append((one.start, one.end, known[one.number], depth + 1))

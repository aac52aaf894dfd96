# SPDX-License-Identifier: Apache-2.0
"""Long queries on several lines: broken before operators, the loosest first, and inside parentheses."""

from collections.abc import Iterator

_WIDTH = 100
_LEVELS = (("or",), ("and", "unless"), ("==", "!=", ">", "<", ">=", "<="), ("+", "-"), ("*", "/"))
"""Operators from those that bind loosest (prometheus.io, "Operators", § binary operator precedence)."""
_STEP = "  "


def layout(query: str) -> str:
    """Write a query so that its parts are seen; what it asks stays the same."""
    return "\n".join(_lines(query, ""))


def _lines(query: str, indent: str) -> Iterator[str]:
    if len(indent) + len(query) <= _WIDTH:
        yield indent + query
        return
    parts = _split(query)
    for part in parts:
        head, inner = _parenthesised(part)
        if len(indent) + len(part) > _WIDTH and inner:
            yield f"{indent}{head}("
            yield from _lines(inner, indent + _STEP)
            yield f"{indent})"
        elif len(parts) > 1:
            yield from _lines(part, indent)
        else:
            yield indent + part


def _split(query: str) -> list[str]:
    places = list(_words(query))
    for operators in _LEVELS:
        # One at the beginning belongs to the line before.
        if starts := [place for place, word in places if word in operators and place]:
            return [query[one:other].rstrip() for one, other in zip([0, *starts], [*starts, len(query)], strict=True)]
    return [query]


def _words(query: str) -> Iterator[tuple[int, str]]:
    """List the words outside of parentheses and strings, and where they are."""
    depth, quoted, start = 0, False, 0
    for place, character in enumerate(f"{query} "):
        quoted ^= character == '"' and query[place - 1] != "\\"
        depth += 0 if quoted else (character in "([{") - (character in ")]}")
        if character == " " and depth == 0 and not quoted:
            yield start, query[start:place]
            start = place + 1


def _parenthesised(part: str) -> tuple[str, str]:
    """Tell what stands before an expression that is in parentheses as a whole, and the expression; else nothing."""
    words = list(_words(part))
    place, last = words[-1]
    operators = {operator for level in _LEVELS for operator in level}
    if last.startswith("(") and last.endswith(")") and all(word in operators for _, word in words[:-1]):
        return part[:place], last[1:-1]
    return "", ""

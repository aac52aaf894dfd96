# SPDX-License-Identifier: Apache-2.0
"""Dialects: what each engine's spans say about requests. One module each, which defines `DIALECT`.

A dialect reads one span at a time: it is a request, a part (a span that tells more about a request of the same
trace), or neither. Where there are parts, `complete` gets a request with the parts of its trace that came until it
was due, from whatever process, in no order. Everything here is pure. What a span does not say stays None.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from agent.requests import Part, Request
from agent.spans import Span

Reading: TypeAlias = Request | Part | None


class Dialect(NamedTuple):
    """How the spans of one kind of engine are read.

    `knows` is asked first and must be cheap: it looks at the names of the span and of its scope. `read` may still
    find that the span is none of its own. `complete` returns the request as the parts make it.
    """

    name: str
    knows: Callable[[Span], bool]
    read: Callable[[Span], Reading]
    complete: Callable[[Request, Sequence[Span]], Request] | None = None

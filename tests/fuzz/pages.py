# SPDX-License-Identifier: Apache-2.0
"""Whatever an engine answers, its page is read within bounds, and what was read before changes nothing of it."""

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from random import Random
from typing import Any

from agent.dialects.pages import DIALECTS, Translator, recognise
from agent.exposition import Bounds, Page, Parser
from agent.metric import Distribution, Histogram

_RECORDINGS = Path(__file__).parents[1] / "fixtures" / "telemetry"
_BOUNDS = Bounds(page=1 << 18, lines=3000, series=2000, line=4096, labels=40, label=512)
_LINES = 60
_TORN = (
    b"",
    b"\0",
    b"\xff",
    b"\r",
    b"\t",
    b" ",
    b"\\",
    b'"',
    b"{",
    b"}",
    b",",
    b"#",
    b"=",
    b"\n",
    b"NaN",
    b"-1",
    b"9" * 400,
)
_WHOLE = (
    b"# EOF",
    b"# TYPE a counter",
    b'a_bucket{le="1"} 1 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.5 1.5',
    b'{"a.b",c="d"} 1',
    b"a 1 1795555491277",
    b"a" * 5000 + b" 1",
    b"a{" + b'b="c",' * 50 + b"} 1",
    b'a{b="' + b"c" * 600 + b'"} 1',
)


class Reading:
    """Reads pages that were torn, one after the other, as of one engine."""

    def __init__(self, random: Random) -> None:
        """Begin with what real engines answered."""
        self._random = random
        pages = [path.read_bytes() for path in sorted(_RECORDINGS.rglob("*.prom"))]
        self._pages = [page.split(b"\n") for page in pages]
        self.samples = 0

    def case(self) -> dict[str, Any]:
        """Make pages of one engine: some lines of a recording, and what becomes of them."""
        lines = self._random.choice(self._pages)
        begin = self._random.randrange(len(lines))
        lines = lines[begin : begin + self._random.randrange(1, _LINES)]
        pages = []
        for _ in range(3):
            pages.append(b"\n".join(lines).hex())
            lines = [*lines]
            for _ in range(self._random.randrange(4)):
                self._tear(lines)
        return {"kind": self._random.choice([*DIALECTS]), "pages": pages}

    def _tear(self, lines: list[bytes]) -> None:
        if not lines or self._random.random() < 0.2:
            lines.insert(self._random.randrange(len(lines) + 1), self._random.choice(_WHOLE))
            return
        place = self._random.randrange(len(lines))
        line = lines[place]
        if self._random.random() < 0.3:
            text, _, _ = line.rpartition(b" ")
            lines[place] = text + b" %d" % self._random.randrange(1 << 40)
        elif self._random.random() < 0.2:
            lines.append(lines.pop(place))
        else:
            cut = self._random.randrange(len(line) + 1)
            lines[place] = line[:cut] + self._random.choice(_TORN) + line[cut + self._random.randrange(3) :]

    def settle(self) -> None:
        """Keep nothing between rounds: each case has its own parser."""

    def run(self, case: Mapping[str, Any]) -> None:
        """Read the pages in turn."""
        parser, translator = Parser(_BOUNDS), Translator("engine", case["kind"])
        for text in case["pages"]:
            body = bytes.fromhex(text)
            page = parser.parse(body)
            _check(page)
            new = Parser(_BOUNDS).parse(body)
            assert page._replace(values=()) == new._replace(values=()), "what was read before shows"
            assert repr(list(page.values)) == repr(list(new.values)), "what was read before shows in the values"
            recognise(page)
            told = translator.translate(page)
            assert len({one.series for one in told}) == len(told), "a series twice"
            for one in told:
                if isinstance(one, Distribution):
                    _check_distribution(one)
                else:
                    assert isfinite(one.value), one
            self.samples += len(page.keys)


def _check(page: Page) -> None:
    assert len(page.keys) == len(page.values) <= _BOUNDS.series
    assert {*page.exemplars, *page.times} <= {*range(len(page.keys))}
    for name, labels in page.keys:
        assert name
        assert len(labels) <= _BOUNDS.labels
        assert all(len(text) <= _BOUNDS.label for pair in labels for text in pair)
        assert len({label for label, _ in labels}) == len(labels)


def _check_distribution(one: Distribution) -> None:
    assert isinstance(one.series.metric, Histogram)
    assert len(one.counts) == len(one.exemplars) == len(one.buckets) + 1
    assert min(one.counts) >= 0
    assert one.total is not None
    assert isfinite(one.total)
    assert list(one.buckets) == sorted(set(one.buckets))

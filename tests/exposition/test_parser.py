# SPDX-License-Identifier: Apache-2.0
"""The parser of pages, held against prometheus-client's, and what hostile pages do to it."""

import re
from collections.abc import Iterable, Iterator
from math import inf, isnan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.core import Exemplar as TheirExemplar
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from agent.exposition import Bounds, Key, Line, Page, Parser, Seen

RECORDED = sorted((Path(__file__).parents[1] / "fixtures" / "telemetry").rglob("*.prom"))
LABELS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.one_of(st.floats(), st.integers(0, 1 << 62).map(float))
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name not in {"le", "__name__"})

Told = tuple[str, tuple[tuple[str, str], ...], str, int | None]


class Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def parsed(text: str | bytes, bounds: Bounds | None = None) -> Page:
    return Parser(bounds).parse(text.encode() if isinstance(text, str) else text)


def only(text: str) -> Line:
    (line,) = parsed(text).lines()
    return line


def ours(page: Page) -> list[Told]:
    return [(one.name, tuple(sorted(one.labels)), repr(one.value), one.time) for one in page.lines()]


def theirs(families: Iterable[Metric], counters: frozenset[str] = frozenset()) -> list[Told]:
    """Give what the reference read. To counters that are called otherwise it adds `_total`."""
    found: list[Told] = []
    for family in families:
        for sample in family.samples:
            name = sample.name.removesuffix("_total") if family.name in counters else sample.name
            time = None if sample.timestamp is None else round(float(sample.timestamp) * 1000) * 1_000_000
            found.append((name, tuple(sorted(sample.labels.items())), repr(float(sample.value)), time))
    return found


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_recorded_page_is_read_as_prometheus_client_reads_it(path: Path) -> None:
    text = path.read_text("utf-8")
    page = parsed(text)
    without = frozenset(name for name, kind in page.types.items() if kind == "counter" and not name.endswith("_total"))
    assert ours(page) == theirs(text_string_to_metric_families(text), without)
    assert page.dropped == {}
    types = {family.name: family.type for family in text_string_to_metric_families(text) if family.type != "unknown"}
    assert {
        name.removesuffix("_total") if kind == "counter" else name: kind for name, kind in page.types.items()
    } == types


@st.composite
def families(draw: st.DrawFn) -> list[Metric]:
    found: list[Metric] = []
    for number in range(draw(st.integers(1, 4))):
        names = draw(st.lists(NAMES, max_size=3, unique=True))
        kind = draw(st.sampled_from([GaugeMetricFamily, CounterMetricFamily, HistogramMetricFamily]))
        family: Any = kind(f"family{number}", draw(LABELS), labels=names)
        rows = draw(st.lists(st.tuples(*[LABELS for _ in names]), min_size=1, max_size=3, unique=True))
        for row in rows:
            if kind is HistogramMetricFamily:
                exemplar = TheirExemplar({"trace_id": draw(NAMES)}, 0.25, draw(st.sampled_from([None, 1795555491.277])))
                counts = sorted(draw(st.lists(st.integers(0, 1 << 40), min_size=2, max_size=2)))
                family.add_metric(
                    row, [("0.5", counts[0], exemplar), ("+Inf", counts[1], None)], draw(st.floats(0, 1e9))
                )
            elif kind is CounterMetricFamily:
                family.add_metric(row, draw(st.floats(0, allow_nan=False)))
            else:
                family.add_metric(row, draw(VALUES))
        found.append(family)
    return found


@settings(max_examples=150, deadline=None)
@given(families())
def test_what_prometheus_client_writes_is_read_in_both_formats(made: list[Metric]) -> None:
    registry = CollectorRegistry()
    registry.register(Given(made))
    text = generate_latest(registry)
    assert ours(parsed(text)) == theirs(text_string_to_metric_families(text.decode()))
    write: Any = openmetrics.generate_latest
    read: Any = openmetrics_parser.text_string_to_metric_families
    page = parsed(write(registry))
    samples = [sample for family in read(write(registry).decode()) for sample in family.samples]
    assert [repr(one.value) for one in page.lines()] == [repr(float(sample.value)) for sample in samples]
    for line, sample in zip(page.lines(), samples, strict=True):
        assert (line.name, dict(line.labels)) == (sample.name, sample.labels)
        told, seen = sample.exemplar, line.exemplar
        assert (told is None) == (seen is None)
        if told is not None and seen is not None:
            assert (dict(seen.labels), seen.value) == (told.labels, told.value)
            assert seen.time == (told.timestamp and pytest.approx(float(told.timestamp) * 1e9))


@st.composite
def written(draw: st.DrawFn) -> str:
    """Write lines as people and small libraries do, with blanks where they may be."""
    gap, room = st.sampled_from([" ", "\t", "  "]), st.sampled_from(["", " "])
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        labels = draw(st.dictionaries(NAMES, LABELS, max_size=3))
        pairs = [
            f'{draw(room)}{name}{draw(room)}={draw(room)}"{escaped(value)}"{draw(room)}'
            for name, value in labels.items()
        ]
        comma = draw(st.sampled_from(["", ","])) if pairs else ""
        braces = f"{{{','.join(pairs)}{comma}}}" if len(pairs) > 0 or draw(st.booleans()) else ""
        value = draw(st.sampled_from(["1", "-0.5", "+Inf", "-Inf", "NaN", "1e3", "12345678901234567890"]))
        time = draw(st.sampled_from(["", " 1795555491277", " -5"]))
        ending = draw(st.sampled_from(["", "\r", " "]))
        lines.append(f"{draw(room)}name{draw(st.integers(0, 3))}{braces}{draw(gap)}{value}{time}{ending}")
        lines.append(draw(st.sampled_from(["", "# a comment", "# HELP name1 and a word", "#"])))
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@settings(max_examples=300, deadline=None)
@given(written())
def test_blanks_commas_and_line_ends_are_taken_as_prometheus_client_takes_them(text: str) -> None:
    page = parsed(text)
    before_1970 = page.dropped.get("malformed", 0)
    told = [one for one in theirs(text_string_to_metric_families(text)) if one[3] is None or one[3] >= 0]
    assert ours(page) == told
    assert before_1970 == len(re.findall(r" -5[\r ]*$", text, re.MULTILINE))


def test_escapes_and_quotes_in_labels() -> None:
    line = only(r'a{path="C:\\DIR\\n",quote="\"}# 1",newline="x\ny",other="\q"} 1')
    assert dict(line.labels) == {"path": r"C:\DIR\n", "quote": '"}# 1', "newline": "x\ny", "other": r"\q"}


def test_a_name_may_stand_in_the_braces() -> None:
    assert only('{"my.metric", "label.é"="x"} 1') == Line("my.metric", (("label.é", "x"),), 1.0, None, None)
    assert parsed('# TYPE "my.metric" gauge').types == {"my.metric": "gauge"}


def test_times_are_of_ms_in_the_text_format_and_of_s_in_openmetrics() -> None:
    assert only("a 1 1795555491277").time == 1795555491277 * 10**6
    assert only("a 1 1795555491.000000001\n# EOF\n").time == 1795555491000000001
    assert only("a 1 1795555491.5\r\n# EOF\r\n").time == 1795555491500000000


def test_exemplars_have_labels_a_value_and_may_have_a_time() -> None:
    line = only('a_bucket{le="1"} 7 5 # {trace_id="ab",span_id="c"} 0.5 1.25\n# EOF')
    assert line.exemplar == Seen((("trace_id", "ab"), ("span_id", "c")), 0.5, 1_250_000_000)
    assert line.value == 7
    assert only("a_total 7 # {} 0.5").exemplar == Seen((), 0.5, None)


def test_what_is_not_a_number_is_read() -> None:
    page = parsed("a NaN\nb +Inf\nc -inf\n")
    assert isnan(page.values[0])
    assert page.values[1:] == [inf, -inf]


@pytest.mark.parametrize(
    "line",
    [
        "a",
        "1 2",
        "a b",
        "a 1_000",
        "a \u0661",
        "a{b} 1",
        'a{b="c} 1',
        'a{b="c" 1',
        'a{b="c"d="e"} 1',
        'a{b="c",b="d"} 1',
        'a{"b"} 1',
        '{b="c"} 1',
        "{} 1",
        "a 1 x",
        "a 1 2 3",
        'a 1 # {b="c"}',
        'a 1 # {b="c"} x',
        'a 1 # b="c" 1',
        "a 1 1e999",
        '[{"iter": 1}]',
        "<html>",
        "\x00\x01",
    ],
)
def test_a_line_that_makes_no_sense_costs_itself(line: str) -> None:
    page = parsed(f"before 1\n{line}\nafter 2\n")
    assert [one.name for one in page.lines()] == ["before", "after"]
    assert page.dropped == {"malformed": 1}


def test_what_is_no_utf_8_is_replaced() -> None:
    page = parsed(b'a{b="\xff"} 1\nc 2\n')
    assert page.keys == (Key("a", (("b", "\ufffd"),)), Key("c", ()))


BOUNDS = Bounds(page=200, lines=8, series=4, line=60, labels=2, label=10)


@pytest.mark.parametrize(
    ("bound", "most", "text", "left"),
    [
        ("page", 10, "a 1\nb 1\nc 1\n", 2),
        ("lines", 3, "\na 1\nb 1\nc 1\n", 2),
        ("series", 2, "a 1\nb 1\n# c\nc 1\n", 2),
        ("line", 9, "a 1\nb 123456789\nc 1\n", 2),
        ("labels", 1, 'a 1\nb{c="1",d="2"} 1\nc 1\n', 2),
        ("label", 3, 'a 1\nb{c="1234"} 1\nc 1\n', 2),
        ("label", 3, 'a 1\nb{cdef="\\""} 1\nc 1\n', 2),
    ],
)
def test_what_is_beyond_a_bound_is_left_out_and_counted(bound: str, most: int, text: str, left: int) -> None:
    parser = Parser(Bounds()._replace(**{bound: most}))
    for _ in range(2):
        page = parser.parse(text.encode())
        assert (len(page.keys), page.dropped) == (left, {bound: 1})


def test_the_same_series_are_the_same_object_until_the_page_names_others() -> None:
    parser = Parser()
    first = parser.parse(b'# TYPE a counter\na{b="c"} 1\nd 2\n')
    second = parser.parse(b'# TYPE a counter\na{b="c"} 3\nd 2\n')
    assert second.keys is first.keys
    assert (first.values, second.values) == ([1, 2], [3, 2])
    third = parser.parse(b'a{b="c"} 4\nd 2\ne 1\n')
    assert third.keys[:2] == first.keys
    assert third.keys[0] is first.keys[0]
    assert third.types == {}
    # Comments and the order of lines are no series.
    assert parser.parse(b'# new\na{b="c"} 5\nd 2\ne 1\n').keys is third.keys


def test_a_series_that_was_written_in_another_way_is_read_anew() -> None:
    parser = Parser()
    for text, value, time in (
        ("a 1", 1, None),
        ("a\t2", 2, None),
        ("a 3 5", 3, 5_000_000),
        ("a 4", 4, None),
        (" a 5", 5, None),
        ("a 6\r", 6, None),
    ):
        (line,) = parser.parse(text.encode()).lines()
        assert (line.name, line.value, line.time) == ("a", value, time)
    assert [*parser.parse(b"ab 7").lines()] == [Line("ab", (), 7.0, None, None)]
    assert [*parser.parse(b'a{b="c"} 8').lines()] == [Line("a", (("b", "c"),), 8.0, None, None)]


def test_exemplars_come_and_go() -> None:
    parser = Parser()
    assert not parser.parse(b'a_bucket{le="1"} 1\n# EOF').exemplars
    page = parser.parse(b'a_bucket{le="1"} 2 # {trace_id="a"} 0.5\n# EOF')
    assert page.exemplars == {0: Seen((("trace_id", "a"),), 0.5, None)}
    page = parser.parse(b'a_bucket{le="1"} 3 # {trace_id="b"} 0.25\n# EOF')
    assert page.exemplars == {0: Seen((("trace_id", "b"),), 0.25, None)}
    assert not parser.parse(b'a_bucket{le="1"} 4\n# EOF').exemplars


LINES = st.lists(
    st.sampled_from(
        [
            "a 1",
            "a 2",
            "a nan",
            'a{b="c"} 1',
            'a{b="c"} 2',
            'a{b="c 1"} 2',
            "a 1 5",
            "a 1 6",
            'a 1 # {t="x y"} 2',
            'a 1 # {t="z"} 2',
            "a 1_0",
            "a \u0661",
            "b 1",
            "b\t1",
            "b 1\t5",
            "b 1\r",
            "# TYPE a counter",
            "# TYPE a gauge",
            "# EOF",
            "",
            "nonsense",
            "c" * 60 + " 1",
        ]
    ),
    max_size=6,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, min_size=2, max_size=4))
def test_a_parser_that_knows_other_pages_reads_a_page_as_one_that_knows_none(pages: list[list[str]]) -> None:
    parser = Parser(BOUNDS)
    for lines in pages:
        page = "\n".join(lines).encode()
        known, new = parser.parse(page), Parser(BOUNDS).parse(page)
        assert known._replace(values=()) == new._replace(values=())
        assert repr(known.values) == repr(new.values)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60) | LABELS.map(str.encode), max_size=8))
def test_no_page_raises(lines: list[bytes]) -> None:
    parser = Parser()
    for _ in range(2):
        page = parser.parse(b"\n".join(lines))
        assert len(page.keys) == len(page.values)


def test_a_million_lines_are_read() -> None:
    series = 250_000
    lines = [f'family_bucket{{le="{number}",model="m"}} {number}' for number in range(series)]
    text = "\n".join(["# TYPE family histogram", *lines] + ["", "# HELP x y"] * (series * 3 // 2)).encode()
    parser = Parser()
    page = parser.parse(text)
    assert (len(page.keys), page.dropped, sum(page.values)) == (series, {}, series * (series - 1) / 2)
    again = parser.parse(text.replace(b"} 7\n", b"} 8\n"))
    assert again.keys is page.keys
    assert again.values[7] == 8


@pytest.mark.parametrize(
    "hostile", ['a{b="', "a{" + 'b="c",' * 9_000, "{" * 60_000, '"' * 60_000, "\\" * 60_000, "# " * 30_000]
)
def test_a_hostile_line_costs_what_its_length_does(hostile: str) -> None:
    # Were a character tried twice for each before it, this would not end.
    text = "\n".join([hostile.ljust(60_000, "x")] * 20)
    assert parsed(text).keys == ()


def test_nothing_is_a_page_too() -> None:
    assert parsed(b"") == Page((), [], {}, {}, {}, {})

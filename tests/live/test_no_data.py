# SPDX-License-Identifier: Apache-2.0
"""The list of what has no data is short: nothing is on it that has some, and nothing that nobody asks for."""

import re
from collections import defaultdict

import pytest

from tests.live.grafana import interpolated, targets
from tests.live.no_data import ABSENT, NOT_PUSHED, QUIET
from tests.live.queries import selectors
from tests.live.stack import Stack
from tests.live.test_rules import ALERTS, RECORDED


def _asked_for() -> set[str]:
    """List every metric of every query, whatever the variables are."""
    anything: dict[str, str] = defaultdict(lambda: "1")
    queries = [interpolated(target.expr, anything) for target in targets()]
    queries += [alert["expr"] for alert in ALERTS] + list(RECORDED.values())
    return {selector.metric for query in queries for selector in selectors(query)}


ASKED_FOR = _asked_for()


@pytest.mark.parametrize("pattern", ABSENT)
def test_what_is_listed_as_absent_is_absent_and_asked_for(live: Stack, pattern: str) -> None:
    assert [name for name in ASKED_FOR if re.fullmatch(pattern, name)]
    assert not live.scraped.series(f'{{__name__=~"{pattern}"}}')


@pytest.mark.parametrize("pattern", NOT_PUSHED)
def test_what_is_listed_as_not_pushed_is_asked_for(pattern: str) -> None:
    assert [name for name in ASKED_FOR if re.fullmatch(pattern, name)]


def test_what_is_listed_as_quiet_exists() -> None:
    assert QUIET.keys() <= {*map(str, targets()), *RECORDED}

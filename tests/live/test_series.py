# SPDX-License-Identifier: Apache-2.0
"""A scrape and a push of the same node give the same series."""

from collections.abc import Iterable

from tests.live.stack import FAULTY, HEALTHY, ROUND, Prometheus, Series, Stack, skip_without

OURS = ("joulespan_", "hw_", "gen_ai_")
WITHOUT_SUM = "joulespan_switch_queue_depth_bytes_count"
"""Switches do not tell the sum of this histogram: a page then has buckets only, and vmagent counts them."""
BRIEF = {"joulespan_engine_scrape_failures_total"}
"""There while an engine that went away is still asked: for a second or two, between two scrapes perhaps."""
FRESH = 30
"""Seconds: how old the last point of a series may be that is still there."""


def test_a_scrape_and_a_push_give_the_same_names(live: Stack) -> None:
    pushed = skip_without(live)
    scraped_names, pushed_names = _names(live.scraped), _names(pushed)
    assert sorted(scraped_names - pushed_names - BRIEF) == []
    assert sorted(pushed_names - scraped_names - BRIEF) == []


def test_a_scrape_and_a_push_give_the_same_labels(live: Stack) -> None:
    pushed = skip_without(live)
    differing = []
    for name in sorted(_names(live.scraped) & _names(pushed)):
        query = f'last_over_time({name}{{instance="{HEALTHY}"}}[{FRESH}s])'
        ours, theirs = (_label_sets(one.at(query, ROUND - 10)) for one in (live.scraped, pushed))
        if ours != theirs:
            differing.append((name, sorted(map(sorted, ours - theirs))[:2], sorted(map(sorted, theirs - ours))[:2]))
    assert not differing


def test_nodes_are_told_apart_by_instance_and_cluster(live: Stack) -> None:
    for prometheus in (live.scraped, skip_without(live)):
        assert set(prometheus.values_of("instance", "joulespan_build_info")) == {FAULTY, HEALTHY}
        assert prometheus.values_of("job", "joulespan_build_info") == ["joulespan"]
        assert prometheus.values_of("cluster", "joulespan_build_info") == ["test"]


def _names(prometheus: Prometheus) -> set[str]:
    found = {name for name in prometheus.values_of("__name__", None) if name.startswith(OURS)}
    return found - {WITHOUT_SUM}


def _label_sets(found: Iterable[Series]) -> set[frozenset[tuple[str, str]]]:
    return {frozenset((label, _bound(label, value)) for label, value in one.labels.items()) for one in found}


def _bound(label: str, value: str) -> str:
    """Write the bound of a bucket in one way: OpenMetrics demands 5.0 where others write 5."""
    return str(float(value)) if label == "le" else value

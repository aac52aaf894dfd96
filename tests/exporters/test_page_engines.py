# SPDX-License-Identifier: Apache-2.0
"""The page tells where each engine runs and what its requests took."""

import re

from agent.catalogue import requests
from agent.entities import EngineGpu, RequestClass, RequestTokens
from agent.snapshot import EMPTY, Snapshots, Source
from exporters.page_engines import engines


def test_requests_of_all_tenants_are_added_up_by_engine() -> None:
    snapshots = Snapshots()
    empty = len(requests.REQUEST_DURATION.buckets) + 1
    told = [
        requests.REQUEST_DURATION.distribution(RequestClass("<a>", None, tenant), [2] + [0] * (empty - 1), total)
        for tenant, total in (("x", 3.0), ("y", 5.0))
    ]
    samples = [
        requests.ENGINE_GPU(EngineGpu("<a>", "GPU-1", "pid"), 1),
        requests.ENGINE_GPU(EngineGpu("<a>", "GPU-0", "pid"), 1),
        requests.REQUEST_TOKENS(RequestTokens("<a>", None, "x", "input"), 1000),
        requests.REQUEST_TOKENS(RequestTokens("<a>", None, "y", "cached"), 234),
    ]
    snapshots.put_samples(Source("requests"), [*samples, *told], 0)
    html = engines(snapshots.current, {"GPU-0": "gpu0"})
    cells = re.findall("<td>(.*?)</td>", html)
    assert cells == ["&lt;a&gt;", "GPU-1 gpu0", "pid", "4", "", "", "2", "1,234", "0"]


def test_without_requests_there_is_no_table() -> None:
    assert engines(EMPTY, {}) == ""

# SPDX-License-Identifier: Apache-2.0
"""The page tells where each engine runs and what its requests took."""

import re

from agent.catalogue import requests
from agent.catalogue.energy import REQUEST_ENERGY
from agent.catalogue.engine import KV_CACHE_UTILIZATION, REQUESTS_RUNNING, REQUESTS_WAITING
from agent.entities import EngineModel
from agent.request_entities import EngineGpu, RequestClass, RequestTokens
from agent.snapshot import EMPTY, Snapshots, Source
from exporters.page_engines import engines


def test_requests_of_all_tenants_and_the_load_of_all_ranks_are_added_up_by_engine() -> None:
    snapshots = Snapshots()
    empty = len(requests.REQUEST_DURATION.buckets) + 1
    told = [
        requests.REQUEST_DURATION.distribution(RequestClass("<a>", None, tenant), [2] + [0] * (empty - 1), total)
        for tenant, total in (("x", 3.0), ("y", 5.0))
    ]
    took = REQUEST_ENERGY.distribution(RequestClass("<a>", None, "x"), [4] + [0] * len(REQUEST_ENERGY.buckets), 50.0)
    samples = [
        requests.ENGINE_GPU(EngineGpu("<a>", "GPU-1", "pid"), 1),
        requests.ENGINE_GPU(EngineGpu("<a>", "GPU-0", "pid"), 1),
        requests.REQUEST_TOKENS(RequestTokens("<a>", None, "x", "input"), 1000),
        requests.REQUEST_TOKENS(RequestTokens("<a>", None, "y", "cached"), 234),
        REQUESTS_RUNNING(EngineModel("<a>", "m", "0"), 2),
        REQUESTS_RUNNING(EngineModel("<a>", "m", "1"), 3),
        KV_CACHE_UTILIZATION(EngineModel("<a>", "m", "0"), 0.25),
        KV_CACHE_UTILIZATION(EngineModel("<a>", "m", "1"), 0.5),
        REQUESTS_WAITING(EngineModel("b", "m"), 0),
    ]
    snapshots.put_samples(Source("requests"), [*samples, *told, took], 0)
    html = engines(snapshots.current, {"GPU-0": "gpu0"})
    cells = re.findall("<td>(.*?)</td>", html)
    assert cells[:13] == ["&lt;a&gt;", "GPU-1 gpu0", "pid", "5", "", "50%", "4", "", "", "2", "12.5", "1,234", "0"]
    assert cells[13:] == ["b", "", "", "", "0", "", "0", "", "", "", "", "0", "0"]


def test_without_engines_there_is_no_table() -> None:
    assert engines(EMPTY, {}) == ""

# SPDX-License-Identifier: Apache-2.0
"""When alerts about serving fire, and when they must not."""

from agent.catalogue.engine import KV_CACHE_UTILIZATION, PREEMPTIONS, REQUESTS_RUNNING, REQUESTS_WAITING, TOKENS
from agent.catalogue.own import BUILD_INFO, ENGINE_UP
from agent.catalogue.requests import REQUEST_FINISHED, TIME_PER_OUTPUT_TOKEN, TIME_TO_FIRST_TOKEN
from agent.metric import Histogram
from agent.promql import Scope
from agent.request_entities import RequestClass
from alerts.recording import by_name
from alerts.thresholds import Thresholds
from tests.alerts.cases import Case, Input, fires, recorded, silent, stored

RULES = by_name(Scope(), Thresholds())
A = {"engine": "a"}
MODEL = {"engine": "a", "gen_ai.request.model": "m"}


def latency(metric: Histogram[RequestClass], bound: str, all_of_them: str, in_time: str) -> tuple[Input, Input]:
    return (
        stored(metric, all_of_them, MODEL, part="_count"),
        stored(metric, in_time, {**MODEL, "le": bound}, part="_bucket"),
    )


def first_token(all_of_them: str, in_time: str, bound: str = "2.5") -> tuple[Input, Input]:
    return latency(TIME_TO_FIRST_TOKEN, bound, all_of_them, in_time)


def per_token(all_of_them: str, in_time: str) -> tuple[Input, Input]:
    return latency(TIME_PER_OUTPUT_TOKEN, "0.1", all_of_them, in_time)


def served(values: str, told: dict[str, str] | None = None) -> Input:
    return stored(REQUEST_FINISHED, values, {**MODEL, "finish_reason": "stop", **(told or {})})


def share(slo: str, window: str, values: str) -> Input:
    return recorded(RULES[f"engine_model:joulespan_{slo}_slow:ratio_rate{window}"], values, MODEL)


def traffic(values: str) -> Input:
    return recorded(RULES["engine_model:joulespan_requests:rate1h"], values, MODEL)


def waiting(values: str) -> Input:
    return stored(REQUESTS_WAITING, values, MODEL)


def running(values: str) -> Input:
    return stored(REQUESTS_RUNNING, values, MODEL)


def tokens(values: str) -> Input:
    return stored(TOKENS, values, {**MODEL, "gen_ai.token.type": "output"})


SLOS: tuple[Case, ...] = (
    fires(
        "InferenceFirstTokenSloFastBurn",
        "half of the requests for an hour",
        "80m",
        *first_token("0+60x100", "0+30x100"),
        served("0+60x100"),
        who=[A],
    ),
    silent(
        "InferenceFirstTokenSloFastBurn",
        "half of the requests for five minutes of an hour",
        "80m",
        *first_token("0+60x100", "0+60x70 4230+30x4 4410+60x30"),
        served("0+60x100"),
    ),
    silent(
        "InferenceFirstTokenSloFastBurn",
        "it is over for longer than it keeps firing",
        "110m",
        *first_token("0+60x120", "0+30x70 2160+60x50"),
        served("0+60x120"),
    ),
    silent(
        "InferenceFirstTokenSloFastBurn",
        "two slow requests in the night are no burn",
        "80m",
        *first_token("0x30 2x70", "0x100"),
        served("0x30 2x70"),
    ),
    silent("InferenceFirstTokenSloFastBurn", "no span comes, so that nothing is known", "80m", served("0+60x100")),
    fires(
        "InferenceFirstTokenSloSlowBurn",
        "three in a hundred for a day",
        "3h",
        share("time_to_first_token", "1d", "0.04x200"),
        share("time_to_first_token", "2h", "0.04x200"),
        traffic("1x200"),
        who=[A],
    ),
    fires(
        "InferenceFirstTokenSloSlowBurn",
        "somewhat more than may be for three days",
        "3h",
        share("time_to_first_token", "3d", "0.015x200"),
        share("time_to_first_token", "6h", "0.015x200"),
        traffic("1x200"),
        who=[A],
    ),
    silent(
        "InferenceFirstTokenSloSlowBurn",
        "the day was bad and is over",
        "3h",
        share("time_to_first_token", "1d", "0.04x200"),
        share("time_to_first_token", "2h", "0x200"),
        traffic("1x200"),
    ),
    fires(
        "InferencePerTokenSloFastBurn",
        "half of the requests for an hour",
        "80m",
        *per_token("0+60x100", "0+30x100"),
        served("0+60x100"),
        who=[A],
    ),
    silent(
        "InferencePerTokenSloFastBurn",
        "one in a thousand",
        "80m",
        *per_token("0+1000x100", "0+999x100"),
        served("0+1000x100"),
    ),
    silent(
        "InferencePerTokenSloFastBurn",
        "the engine begins again and so do its counters",
        "80m",
        *per_token("0+60x40 0+60x60", "0+60x40 0+60x60"),
        served("0+60x40 0+60x60"),
    ),
    fires(
        "InferencePerTokenSloSlowBurn",
        "three in a hundred for a day",
        "3h",
        share("time_per_output_token", "1d", "0.04x200"),
        share("time_per_output_token", "2h", "0.04x200"),
        traffic("1x200"),
        who=[A],
    ),
    silent(
        "InferencePerTokenSloSlowBurn",
        "less than may be",
        "3h",
        share("time_per_output_token", "3d", "0.005x200"),
        share("time_per_output_token", "6h", "0.005x200"),
        traffic("1x200"),
    ),
)
QUEUES: tuple[Case, ...] = (
    fires("InferenceQueueGrowing", "two more a minute", "40m", waiting("0+2x60"), who=[A]),
    silent("InferenceQueueGrowing", "it is long and gets shorter", "40m", waiting("200-2x60")),
    silent("InferenceQueueGrowing", "it is short", "40m", waiting("0x20 1x5 2x5 3x30")),
    fires(
        "InferenceKvCacheFull",
        "full and preempting",
        "30m",
        stored(KV_CACHE_UTILIZATION, "0.99x60", MODEL),
        stored(PREEMPTIONS, "0+3x60", MODEL),
        who=[A],
    ),
    silent(
        "InferenceKvCacheFull",
        "full and nobody is put back",
        "30m",
        stored(KV_CACHE_UTILIZATION, "0.99x60", MODEL),
        stored(PREEMPTIONS, "7x60", MODEL),
    ),
    silent(
        "InferenceKvCacheFull",
        "the engine begins again and so does its counter",
        "30m",
        stored(KV_CACHE_UTILIZATION, "0.99x60", MODEL),
        stored(PREEMPTIONS, "70x20 0x60", MODEL),
    ),
    silent(
        "InferenceKvCacheFull",
        "the engine does not count preemptions",
        "30m",
        stored(KV_CACHE_UTILIZATION, "0.99x60", MODEL),
    ),
)
ENGINES: tuple[Case, ...] = (
    fires(
        "InferenceEngineDown",
        "one node of two",
        "8m",
        stored(ENGINE_UP, "1x3 0x20", A),
        stored(ENGINE_UP, "1x20", A, node="n2"),
        who=[{"engine": "a", "instance": "n1"}],
    ),
    silent("InferenceEngineDown", "one scrape failed", "8m", stored(ENGINE_UP, "1x5 0 1x20", A)),
    silent("InferenceEngineDown", "it answers", "8m", stored(ENGINE_UP, "1x20", A)),
    fires(
        "InferenceEngineGone",
        "its process is gone and the agent is there",
        "30m",
        stored(ENGINE_UP, "1x3 stale _x40", A),
        stored(BUILD_INFO, "1x60"),
        who=[A],
    ),
    silent(
        "InferenceEngineGone",
        "the agent is gone too",
        "30m",
        stored(ENGINE_UP, "1x3 stale _x40", A),
        stored(BUILD_INFO, "1x3 stale _x40"),
        stored(BUILD_INFO, "1x60", node="n2"),
    ),
    silent(
        "InferenceEngineGone",
        "it is back",
        "30m",
        stored(ENGINE_UP, "1x3 stale _x9 1x60", A),
        stored(BUILD_INFO, "1x60"),
    ),
    fires(
        "InferenceStalled", "requests run and no token comes", "20m", running("4x60"), tokens("0+90x5 450x60"), who=[A]
    ),
    fires(
        "InferenceStalled",
        "requests wait and none runs",
        "20m",
        running("0x60"),
        waiting("4x60"),
        tokens("0+90x5 450x60"),
        who=[A],
    ),
    silent("InferenceStalled", "tokens come", "20m", running("4x60"), tokens("0+90x60")),
    silent("InferenceStalled", "there is nothing to do", "20m", running("0x60"), waiting("0x60"), tokens("450x60")),
    silent("InferenceStalled", "the engine does not count tokens", "20m", running("4x60")),
    fires(
        "InferenceErrors",
        "a tenth",
        "40m",
        served("0+90x60"),
        served("0+10x60", {"finish_reason": "error"}),
        who=[A],
    ),
    silent(
        "InferenceErrors", "one in a hundred", "40m", served("0+99x60"), served("0+1x60", {"finish_reason": "error"})
    ),
    silent("InferenceErrors", "none, so that there is no such series", "40m", served("0+99x60")),
    silent(
        "InferenceErrors",
        "one request in an hour, and it failed",
        "40m",
        served("0x20 1x60", {"finish_reason": "error"}),
    ),
)
CASES = (*SLOS, *QUEUES, *ENGINES)

# SPDX-License-Identifier: Apache-2.0
"""What is asked of Groq's metrics, and what the answers say. Pure.

Source: "Prometheus Metrics" of Groq's documentation: the API of Prometheus, in the language of VictoriaMetrics. All
there is are rates over five minutes, named by their labels; they are gauges here, and no counter can be made of them.
"""

from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import NamedTuple, TypeAlias

import msgspec

from agent.catalogue import groq as catalogue
from agent.metric import Sample
from agent.source_entities import GroqCache, GroqLatency, GroqModel, GroqRequests, GroqTokens

MOST = 1000
"""Series of one answer."""
_LONGEST = 256
_OLD = 600.0
"""Seconds; what is older is no answer to what goes on now."""
_LARGEST = 1e15
Labels: TypeAlias = Mapping[str, str]


class Question(NamedTuple):
    """A query, and what a value of its answer is."""

    query: str
    sample: Callable[[GroqModel, Labels, float], Sample]


def _tokens(way: str, kind: str) -> Question:
    return Question(
        f"model_project_id:tokens_{way}:rate5m",
        lambda model, _, value: catalogue.TOKENS(GroqTokens(model, kind), value),
    )


def _cache(what: str, outcome: str) -> Question:
    return Question(
        f"model_project_id:prompt_cache_{what}:rate5m",
        lambda model, _, value: catalogue.PROMPT_CACHE(GroqCache(model, outcome), value),
    )


def _latency(what: str, stage: str, quantile: str) -> Question:
    buckets = f"le_model_project_id:{what}_latency_seconds_bucket:rate5m"
    return Question(
        f"histogram_quantile({quantile}, sum by (le, model, project_id) ({buckets}))",
        lambda model, _, value: catalogue.LATENCY(GroqLatency(model, stage, quantile), value),
    )


QUESTIONS: tuple[Question, ...] = (
    Question(
        "model_project_id_status_code:requests:rate5m",
        lambda model, labels, value: catalogue.REQUESTS(GroqRequests(model, _word(labels, "status_code")), value),
    ),
    _tokens("in", "input"),
    _tokens("out", "output"),
    _cache("hits", "hit"),
    _cache("misses", "miss"),
    *(
        _latency(what, stage, quantile)
        for what, stage in (("queue", "queue"), ("ttft", "first_token"), ("e2e", "total"))
        for quantile in ("0.5", "0.99")
    ),
)


class _Series(msgspec.Struct, gc=False):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct, gc=False):
    result: list[_Series]


class _Answer(msgspec.Struct, gc=False):
    status: str
    data: _Data


_DECODER = msgspec.json.Decoder(_Answer)


def read(question: Question, answer: bytes, now: float) -> list[Sample]:
    """Read an answer that came at a time, unix s. Raises ValueError where it is none."""
    try:
        told = _DECODER.decode(answer)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError("no answer to a query") from error
    if told.status != "success":
        raise ValueError("no success")
    samples = _samples(question, told.data.result[:MOST], now)
    return list({one.series: one for one in samples}.values())


def _samples(question: Question, result: list[_Series], now: float) -> Iterator[Sample]:
    for series in result:
        time, text = series.value
        try:
            value = float(text)
        except ValueError:
            continue
        # A quantile of no requests is NaN, and absent.
        if isfinite(value) and 0 <= value <= _LARGEST and abs(now - time) <= _OLD:
            model = GroqModel(_word(series.metric, "project_id"), _word(series.metric, "model"))
            yield question.sample(model, series.metric, value)


def _word(labels: Labels, name: str) -> str | None:
    return labels.get(name, "")[:_LONGEST] or None

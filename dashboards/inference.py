# SPDX-License-Identifier: Apache-2.0
"""What users of the models feel, and why: latencies, queues, batches, caches, engine by engine, whatever the engine."""

from typing import Any

from agent.catalogue import deployment, engine, own, requests
from agent.metric import Histogram
from agent.promql import Expr, Regex, Scope
from dashboards.grafana import GREEN, ORANGE, RED, Draw, Look, Query, Step, rising
from dashboards.measures import (
    FULL,
    KIND,
    MODEL,
    NODE,
    SHARE,
    TRACE,
    engine_columns,
    engines,
    first_token,
    models,
    of_engines,
    prefix_hits,
    quantiles,
    restarts,
    tenants,
)
from dashboards.page import Dashboard, Line, Row, line, to
from dashboards.panels import graph, heatmap, stat
from dashboards.tables import Key, table

_CLASS = f"{{engine}} {{{MODEL}}}"
_NO_SPANS = "no request has finished, or engines send no spans."
_NO_PAGE = "no engine's own metrics are scraped."
_FAILED = "error|abort"
_RARE = Look(unit="percentunit", steps=(Step(GREEN), Step(ORANGE, 0.01), Step(RED, 0.05)), low=0)


def page(scope: Scope) -> Dashboard:
    """Make the dashboard."""
    chosen = of_engines(scope)
    return Dashboard(
        name="inference",
        title="joulespan / Inference",
        description="What users of the models feel, and why: latencies, queues, batches and caches of any engine.",
        rows=(
            Row("Now", (_now(chosen), _latency(chosen))),
            Row("Engine by engine", (_table(chosen), _queues(chosen), _tokens(chosen))),
            Row("Where the time goes", (_spread(chosen), _parts(chosen))),
            Row("Speculative decoding, and KV cache between engines", (_advanced(chosen),), closed=True),
            Row("Deployments: front end, router, workers", (_deployment(chosen),), closed=True),
        ),
        variables=(engines(scope), models(scope), tenants(scope)),
        marks=(restarts(chosen),),
    )


def _now(scope: Scope) -> Line:
    done = _finished(scope)
    return line(
        4,
        stat("Requests", requests.REQUEST_FINISHED, Query(done), empty=_NO_SPANS, rate=True),
        stat(
            "Failed",
            (requests.REQUEST_FINISHED, engine.REQUESTS_ABORTED),
            Query(_failed(scope) / (done > 0)),
            look=_RARE,
            note="Share of requests that ended in an error or were aborted.",
            empty=_NO_SPANS,
        ),
        stat("TTFT p95", requests.TIME_TO_FIRST_TOKEN, Query(first_token(scope, 0.95)), empty=_NO_SPANS),
        stat(
            "Per token p95",
            requests.TIME_PER_OUTPUT_TOKEN,
            Query(_either(scope, requests.TIME_PER_OUTPUT_TOKEN, engine.TIME_PER_OUTPUT_TOKEN)),
            empty=_NO_SPANS,
        ),
        stat(
            "Request p95",
            requests.REQUEST_DURATION,
            Query(_either(scope, requests.REQUEST_DURATION, engine.REQUEST_DURATION)),
            empty=_NO_SPANS,
        ),
        stat("Running", engine.REQUESTS_RUNNING, Query(scope.of(engine.REQUESTS_RUNNING).sum()), empty=_NO_PAGE),
        stat(
            "Waiting",
            engine.REQUESTS_WAITING,
            Query(scope.of(engine.REQUESTS_WAITING).sum()),
            look=Look(steps=rising(8, 64)),
            empty=_NO_PAGE,
        ),
        stat(
            "KV cache",
            engine.KV_CACHE_UTILIZATION,
            Query(scope.of(engine.KV_CACHE_UTILIZATION).max()),
            look=FULL,
            empty=_NO_PAGE,
        ),
    )


def _latency(scope: Scope) -> Line:
    return line(
        9,
        *[
            graph(title, metric, *quantiles(scope, metric), look=Look(low=0), note=TRACE, empty=_NO_SPANS)
            for title, metric in (
                ("Time to first token", requests.TIME_TO_FIRST_TOKEN),
                ("Time per output token", requests.TIME_PER_OUTPUT_TOKEN),
                ("End to end", requests.REQUEST_DURATION),
            )
        ],
    )


def _table(scope: Scope) -> Line:
    return line(
        6,
        table(
            "Engines",
            (own.ENGINE_UP, engine.REQUESTS_RUNNING, engine.KV_CACHE_UTILIZATION, engine.TOKENS),
            {NODE: Key("Node", to("node", instance="{Node}"), 150), "engine": Key("Engine", width=140)},
            *engine_columns(scope, NODE, "engine"),
            sort="Waiting",
            empty="no engine is known.",
        ),
    )


def _queues(scope: Scope) -> Line:
    waiting = scope.of(engine.REQUESTS_WAITING).sum("engine")
    running = scope.of(engine.REQUESTS_RUNNING).sum("engine")
    return line(
        8,
        graph(
            "Requests by how they ended",
            requests.REQUEST_FINISHED,
            Query(scope.rate(requests.REQUEST_FINISHED).sum("engine", "finish_reason"), "{engine} {finish_reason}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            note="Without a reason where the engine's spans do not say.",
            empty=_NO_SPANS,
            rate=True,
        ),
        graph(
            "Batch and queue",
            (engine.REQUESTS_RUNNING, engine.REQUESTS_WAITING),
            Query(running, "{engine} running"),
            Query(waiting, "{engine} waiting"),
            look=Look(low=0),
            empty=_NO_PAGE,
        ),
        graph(
            "KV cache in use",
            engine.KV_CACHE_UTILIZATION,
            Query(scope.of(engine.KV_CACHE_UTILIZATION).max("engine"), "{engine}"),
            look=SHARE,
            note="Near 1 the engine preempts requests and computes their prompts again.",
            empty=_NO_PAGE,
        ),
        graph(
            "Preempted, rejected, failed",
            (engine.PREEMPTIONS, engine.REQUESTS_REJECTED, engine.REQUESTS_FAILED),
            Query(scope.rate(engine.PREEMPTIONS).sum("engine"), "{engine} preempted"),
            Query(scope.rate(engine.REQUESTS_REJECTED).sum("engine"), "{engine} rejected"),
            Query(scope.rate(engine.REQUESTS_FAILED).sum("engine"), "{engine} failed"),
            look=Look(unit="reqps", low=0),
            empty=_NO_PAGE,
        ),
    )


def _tokens(scope: Scope) -> Line:
    passes = scope.rate(engine.ITERATIONS).sum("engine")
    spans = scope.rate(requests.REQUEST_TOKENS).sum(KIND)
    return line(
        8,
        graph(
            "Tokens by what was done for them",
            engine.TOKENS,
            Query(scope.rate(engine.TOKENS).sum(KIND) | spans, f"{{{KIND}}}"),
            look=Look(low=0),
            empty="no engine tells of itself, and none sends spans.",
            rate=True,
        ),
        graph(
            "Prompt tokens found in a cache",
            (engine.PREFIX_HITS, engine.PREFIX_QUERIES),
            Query(prefix_hits(scope, "engine"), "{engine}"),
            look=SHARE,
            note="Share of them.",
            empty="no engine counts them, or prefix caching is off.",
        ),
        graph(
            "Tokens in a forward pass",
            (engine.ITERATION_TOKENS, engine.ITERATIONS),
            Query(scope.rate(engine.TOKENS, {KIND: Regex("input|output")}).sum("engine") / (passes > 0), "{engine}"),
            look=Look(low=0),
            note="Mean of prompt and output tokens: the batch that shares what a pass costs.",
            empty="no engine counts its passes.",
        ),
    )


def _spread(scope: Scope) -> Line:
    return line(
        8,
        heatmap("Time to first token, distribution", requests.TIME_TO_FIRST_TOKEN, scope, note=TRACE, empty=_NO_SPANS),
        heatmap("End to end, distribution", requests.REQUEST_DURATION, scope, note=TRACE, empty=_NO_SPANS),
        heatmap("Time in the queue, distribution", requests.QUEUE_DURATION, scope, note=TRACE, empty=_NO_SPANS),
    )


def _parts(scope: Scope) -> Line:
    parts = [
        (requests.QUEUE_DURATION, "queue"),
        (requests.PREFILL_DURATION, "prefill"),
        (requests.DECODE_DURATION, "decode"),
    ]
    return line(
        8,
        graph(
            "Mean time of a request, by part",
            [metric for metric, _ in parts],
            *[Query(_mean(scope, metric), words) for metric, words in parts],
            look=Look(low=0),
            draw=Draw(stack=True),
            empty=_NO_SPANS,
        ),
        graph(
            "By engine: first token p95",
            (requests.TIME_TO_FIRST_TOKEN, engine.TIME_TO_FIRST_TOKEN),
            Query(scope.quantile(0.95, requests.TIME_TO_FIRST_TOKEN, "engine"), "{engine} spans"),
            Query(scope.quantile(0.95, engine.TIME_TO_FIRST_TOKEN, "engine"), "{engine} itself"),
            look=Look(low=0),
            note="By spans and by the engine's own word, whose buckets are its own.",
            empty=_NO_SPANS,
        ),
        graph(
            "Between tokens p95",
            engine.INTER_TOKEN_DURATION,
            Query(scope.quantile(0.95, engine.INTER_TOKEN_DURATION, "engine"), "{engine}"),
            look=Look(low=0),
            note="Of single gaps, where time per output token is the mean of a request: this one shows stalls.",
            empty=_NO_PAGE,
        ),
        graph(
            "Slow requests by cause",
            engine.REQUEST_SLOW,
            Query(scope.rate(engine.REQUEST_SLOW).sum("cause"), "{cause}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            empty="no request was slow.",
            rate=True,
        ),
    )


def _advanced(scope: Scope) -> Line:
    drafted = scope.rate(engine.SPECULATIVE_DRAFTED).sum("engine") > 0
    accepted = scope.rate(engine.SPECULATIVE_ACCEPTED).sum("engine") / drafted
    return line(
        8,
        graph(
            "Drafted tokens that were accepted",
            (engine.SPECULATIVE_ACCEPTED, engine.SPECULATIVE_DRAFTED, engine.SPECULATIVE_RATIO),
            Query(accepted | scope.of(engine.SPECULATIVE_RATIO).max("engine"), "{engine}"),
            look=SHARE,
            note="Share of them.",
            empty="no engine decodes speculatively.",
        ),
        graph(
            "Transfers of KV cache p95",
            engine.TRANSFER_DURATION,
            Query(scope.quantile(0.95, engine.TRANSFER_DURATION, "engine"), "{engine}"),
            look=Look(low=0),
            empty="prefill and decode are not on different engines.",
        ),
        graph(
            "KV cache moved to and from further tiers",
            engine.OFFLOAD_IO,
            Query(scope.rate(engine.OFFLOAD_IO).sum("engine", "tier", "direction"), "{engine} {tier} {direction}"),
            look=Look(low=0),
            empty="no engine keeps KV cache outside the GPU.",
            rate=True,
        ),
    )


def _deployment(scope: Scope) -> Line:
    none = "no Dynamo deployment is scraped."
    return line(
        8,
        graph(
            "Front end: first token p95",
            deployment.TIME_TO_FIRST_TOKEN,
            Query(scope.quantile(0.95, deployment.TIME_TO_FIRST_TOKEN, "engine", MODEL), _CLASS),
            look=Look(low=0),
            note="With the way through router and network, which the engines do not see.",
            empty=none,
        ),
        graph(
            "Front end: requests by how they ended",
            deployment.REQUESTS_FINISHED,
            Query(scope.rate(deployment.REQUESTS_FINISHED).sum("engine", "outcome"), "{engine} {outcome}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            empty=none,
            rate=True,
        ),
        graph(
            "Router: requests that wait for a worker",
            deployment.ROUTER_QUEUED,
            Query(scope.of(deployment.ROUTER_QUEUED).sum("engine", "role"), "{engine} {role}"),
            look=Look(low=0),
            empty=none,
        ),
        graph(
            "Workers: requests",
            (deployment.WORKER_REQUESTS_RUNNING, deployment.WORKER_REQUESTS_WAITING),
            Query(scope.of(deployment.WORKER_REQUESTS_RUNNING).sum("engine", "worker"), "{engine} {worker} running"),
            Query(scope.of(deployment.WORKER_REQUESTS_WAITING).sum("engine", "worker"), "{engine} {worker} waiting"),
            look=Look(low=0),
            empty=none,
        ),
    )


def _finished(scope: Scope) -> Expr:
    return scope.rate(requests.REQUEST_FINISHED).sum() | scope.rate(engine.REQUESTS_FINISHED).sum()


def _failed(scope: Scope) -> Expr:
    """Add up what failed, by spans or else by the engines' word; 0 where all went well."""
    where = {"finish_reason": Regex(_FAILED)}
    none = _finished(scope) * 0
    return scope.rate(requests.REQUEST_FINISHED, where).sum() | scope.rate(engine.REQUESTS_FINISHED, where).sum() | none


def _either(scope: Scope, spans: Histogram[Any], itself: Histogram[Any]) -> Expr:
    return scope.quantile(0.95, spans) | scope.quantile(0.95, itself)


def _mean(scope: Scope, metric: Histogram[Any]) -> Expr:
    return scope.observed("sum", metric).sum() / (scope.observed("count", metric).sum() > 0)

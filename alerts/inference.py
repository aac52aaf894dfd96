# SPDX-License-Identifier: Apache-2.0
"""Alerts about serving: promises to users that are broken, and engines that stand still or are gone."""

from agent.catalogue.engine import KV_CACHE_UTILIZATION, PREEMPTIONS, REQUESTS_RUNNING, REQUESTS_WAITING, TOKENS
from agent.catalogue.own import BUILD_INFO, ENGINE_UP
from agent.promql import Expr, Scope
from alerts import thresholds as to
from alerts.alert import NODE, Alert, Severity
from alerts.recording import FIRST_TOKEN, MODEL, PER_TOKEN, Slo, by_name, slow
from alerts.thresholds import Thresholds

_ENGINE = (*NODE, "engine")
_FAST = ((14.4, "1h", "5m"), (6.0, "6h", "30m"))
_SLOW = ((3.0, "1d", "2h"), (1.0, "3d", "6h"))
"""How many times faster than allowed the budget of 30 days burns, over a window and, as it is to be so still, over a
shorter one (Google, The Site Reliability Workbook, "Alerting on SLOs", table 5-8)."""


def inference(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    """List them."""
    return (
        _burn(scope, limits, FIRST_TOKEN, "InferenceFirstTokenSloFastBurn", "critical", _FAST),
        _burn(scope, limits, FIRST_TOKEN, "InferenceFirstTokenSloSlowBurn", "warning", _SLOW),
        _burn(scope, limits, PER_TOKEN, "InferencePerTokenSloFastBurn", "critical", _FAST),
        _burn(scope, limits, PER_TOKEN, "InferencePerTokenSloSlowBurn", "warning", _SLOW),
        *_queues(scope, limits),
        *_engines(scope, limits),
    )


def _traffic(scope: Scope, limits: Thresholds) -> Expr:
    return by_name(scope, limits)["engine_model:joulespan_requests:rate1h"].series > limits.limit(to.TRAFFIC)


def _burn(
    scope: Scope,
    limits: Thresholds,
    slo: Slo,
    name: str,
    severity: Severity,
    pairs: tuple[tuple[float, str, str], tuple[float, str, str]],
) -> Alert:
    budget = limits.budget(slo.objective)

    def burns(factor: float, long: str, short: str) -> Expr:
        most = round(factor * budget, 12)
        return (slow(scope, limits, slo, long) > most) & (slow(scope, limits, slo, short) > most)

    what = "first token took" if slo is FIRST_TOKEN else "further tokens each took"
    speed = " and ".join(f"{factor:g} times over {long}" for factor, long, _ in pairs)
    return Alert(
        name=name,
        severity=severity,
        expr=(burns(*pairs[0]) | burns(*pairs[1])).where(_traffic(scope, limits), *MODEL),
        hold="2m" if severity == "critical" else "15m",
        keep="5m",
        thresholds=(slo.limit, slo.objective, to.TRAFFIC),
        meaning=f"So many requests are late that the budget of 30 days burns {speed} as fast as it may.",
        summary="{gen_ai.request.model} on {engine} is slow: the " + what + " too long too often",
        description="For {value:percent} of the requests to {gen_ai.request.model} on {engine} the "
        f"{what} more than {limits.limit(slo.limit):g} s, where {budget * 100:.3g}% may.",
    )


def _queues(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    waiting = scope.of(REQUESTS_WAITING)
    preempting = scope.rate(PREEMPTIONS, None, "5m").sum(*_ENGINE) > 0
    return (
        Alert(
            name="InferenceQueueGrowing",
            severity="warning",
            expr=(waiting.over("min", "5m") > limits.limit(to.QUEUE)) & (waiting.slope("15m") > 0),
            hold="10m",
            keep="5m",
            thresholds=(to.QUEUE,),
            meaning="Many requests wait, and more from minute to minute.",
            summary="The queue of {engine} on {instance} grows",
            description="At least {value} requests wait for {gen_ai.request.model} in {engine} on {instance}, and "
            "more come than are served.",
        ),
        Alert(
            name="InferenceKvCacheFull",
            severity="warning",
            expr=(scope.of(KV_CACHE_UTILIZATION).over("max", "5m") > limits.limit(to.KV_CACHE)).where(
                preempting, *_ENGINE
            ),
            hold="10m",
            keep="5m",
            thresholds=(to.KV_CACHE,),
            meaning="The KV cache is full, and running requests are put back and computed again.",
            summary="The KV cache of {engine} on {instance} is full",
            description="The KV cache of {engine} on {instance} is {value:percent} full and requests are preempted: "
            "their prompts are computed again.",
        ),
    )


def _engines(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    up = scope.of(ENGINE_UP)
    seen = up.over("last", limits.period(to.ENGINE_REMEMBERED))
    errors = by_name(scope, limits)["engine_model:joulespan_request_errors:ratio_rate5m"].series
    # Either may be all there is to do.
    running, waiting = (
        scope.of(metric).over("min", "5m").sum(*_ENGINE) for metric in (REQUESTS_RUNNING, REQUESTS_WAITING)
    )
    progress = scope.rate(TOKENS, None, "5m").sum(*_ENGINE) > 0
    return (
        Alert(
            name="InferenceEngineDown",
            severity="critical",
            expr=up.equals(0),
            hold="2m",
            keep="5m",
            meaning="An engine is there and its page of metrics is not answered.",
            summary="Engine {engine} on {instance} does not answer",
            description="The metrics of engine {engine} on {instance} cannot be read: it hangs, starts or has crashed.",
        ),
        Alert(
            name="InferenceEngineGone",
            severity="warning",
            expr=seen.unless(up, *_ENGINE).where(scope.of(BUILD_INFO), *NODE),
            hold="10m",
            thresholds=(to.ENGINE_REMEMBERED,),
            meaning="An engine that was there is gone, while the agent on its node is not.",
            summary="Engine {engine} on {instance} is gone",
            description="Engine {engine} served on {instance} and is not found there now.",
        ),
        Alert(
            name="InferenceStalled",
            severity="critical",
            expr=((running > 0) | (waiting > 0)).where(scope.of(TOKENS), *_ENGINE).unless(progress, *_ENGINE),
            hold="5m",
            keep="5m",
            meaning="An engine has requests and makes no progress with any.",
            summary="Engine {engine} on {instance} stands still",
            description="Engine {engine} on {instance} has {value} requests and computed no token for minutes.",
        ),
        Alert(
            name="InferenceErrors",
            severity="critical",
            expr=(errors > limits.limit(to.ERRORS)).where(_traffic(scope, limits), *MODEL),
            hold="5m",
            keep="5m",
            thresholds=(to.ERRORS, to.TRAFFIC),
            meaning="Many requests end in an error.",
            summary="Requests to {gen_ai.request.model} on {engine} fail",
            description="{value:percent} of the requests to {gen_ai.request.model} on {engine} end in an error.",
        ),
    )

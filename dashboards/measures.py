# SPDX-License-Identifier: Apache-2.0
"""Quantities that several dashboards show, and the words, colours and marks that go with them."""

from collections.abc import Sequence
from typing import Any

from agent.catalogue import energy, engine, gpu, health, links, own, requests
from agent.metric import Histogram
from agent.promql import Expr, Regex, Scope, now
from dashboards.grafana import GREEN, ORANGE, RED, YELLOW, Look, Query, Step, falling, rising
from dashboards.page import Mark, Variable, choice
from dashboards.tables import Column

NODE, GPU, MODEL, KIND = "instance", "hw.name", "gen_ai.request.model", "gen_ai.token.type"
SENSOR, LIMIT, WAY, STATE = "hw.sensor_location", "hw.limit_type", "network.io.direction", "hw.state"
DAY = 86400
STEADY = "5m"
"""Window of energy per token: energy counts while a request runs, its tokens when it ends. The rules take it too."""

HEALTH = Look(
    texts={"0": ("ok", GREEN), "1": ("degraded", ORANGE), "2": ("failed", RED)},
    steps=(Step(GREEN), Step(ORANGE, 1), Step(RED, 2)),
)
UP = Look(texts={"0": ("down", RED), "1": ("up", GREEN)}, steps=(Step(RED), Step(GREEN, 1)))
YES_IS_BAD = Look(texts={"0": ("no", GREEN), "1": ("yes", RED)}, steps=(Step(GREEN), Step(RED, 1)))
SHARE = Look(unit="percentunit", low=0, high=1)
FULL = Look(unit="percentunit", steps=rising(0.85, 0.95), low=0, high=1)
POWER_SHARE = Look(unit="percentunit", steps=rising(0.95, 1.02), low=0, high=1.1)
MARGIN = Look(unit="celsius", steps=falling(3, 8))
PER_TOKEN = Look(unit="joule", low=0)
HELD = Look(unit="percentunit", steps=(Step(GREEN), Step(YELLOW, 0.01), Step(ORANGE, 0.1), Step(RED, 0.3)))
IDLE = Look(unit="percentunit", steps=(Step(GREEN), Step(YELLOW, 0.3), Step(ORANGE, 0.6)), low=0, high=1, decimals=1)
TRACE = "A point is a request: it opens its trace where the data source knows where traces are."
HARMFUL = {"reason": Regex("sw_thermal|hw_thermal|power_brake|hw_slowdown|reliability")}
"""Reasons for lower clocks that say something is wrong; running at the power limit is not among them."""


def health_of(scope: Scope) -> Expr:
    """Say how each GPU is: 0 ok, 1 degraded, 2 failed."""
    levels = [
        (scope.of(health.STATUS, {STATE: state}) * value).max(NODE, GPU)
        for state, value in (("failed", 2), ("degraded", 1), ("ok", 0))
    ]
    return levels[0] | levels[1] | levels[2]


def seen(scope: Scope, seconds: float) -> Expr:
    """Select the XIDs whose last event is not older than this; a counter's increase would miss each first event."""
    return scope.of(health.XID_LAST_SEEN) > now() - seconds


def typed(name: str) -> Expr:
    """Take the value of a variable that holds a number."""
    return Expr(f"${name}")


def or_zero(found: Expr, among: Expr) -> Expr:
    """Count 0 where nothing was found, but only where there was something to look at."""
    return found | among * 0


def power_share(scope: Scope, *by: str) -> Expr:
    """Divide the power of GPUs by the limit in force."""
    limit = scope.of(gpu.POWER_LIMIT, {LIMIT: "enforced"})
    if not by:
        return scope.of(gpu.POWER).sum() / limit.sum()
    return scope.of(gpu.POWER).sum(*by) / limit.sum(*by)


def joules_per_token(scope: Scope, *by: str, kind: str = "output", phase: str = "") -> Expr:
    """Divide the energy of requests by their tokens; without a phase it is all their energy."""
    joules = scope.rate(energy.ENERGY_ATTRIBUTED, {"phase": phase} if phase else None, STEADY).sum(*by)
    return joules / (scope.rate(requests.REQUEST_TOKENS, {KIND: kind}, STEADY).sum(*by) > 0)


def share_of_energy(scope: Scope, part: str, *by: str) -> Expr:
    """Divide the energy that is idle, or that no span explains, by what was measured."""
    taken = energy.ENERGY_IDLE if part == "idle" else energy.ENERGY_UNATTRIBUTED
    return scope.rate(taken).sum(*by) / (scope.rate(energy.ENERGY_MEASURED).sum(*by) > 0)


def held_down(scope: Scope, *by: str) -> Expr:
    """Give the share of time for which something harmful held the clocks down, of the worst reason."""
    return scope.rate(gpu.THROTTLE_DURATION, HARMFUL).max(*by)


def output(scope: Scope, *by: str) -> Expr:
    """Count the tokens that engines generate per second, by an engine's own word or, where it has none, its spans."""
    one = (NODE, "engine")
    itself = scope.rate(engine.TOKENS, {KIND: "output"})
    spans = scope.rate(requests.REQUEST_TOKENS, {KIND: "output"}).sum(*one, MODEL)
    return (itself.sum(*one, MODEL) | spans.unless(itself.sum(*one), *one)).sum(*by)


def links_down(scope: Scope) -> Expr:
    """Select the NVLinks that carry nothing and are not asleep."""
    return scope.of(links.NVLINK_STATE, {"state": Regex("inactive|disabled")}).equals(1)


def engine_columns(scope: Scope, *by: str) -> tuple[Column, ...]:
    """Say of engines, in a table, whether they answer, what waits, how full they are and how fast."""
    return (
        Column("Up", scope.of(own.ENGINE_UP).min(*by), UP, "fill", empty="gone"),
        Column("Running", scope.of(engine.REQUESTS_RUNNING).sum(*by), Look(unit="short")),
        Column("Waiting", scope.of(engine.REQUESTS_WAITING).sum(*by), Look(unit="short", steps=rising(8, 64)), "text"),
        Column("KV cache", scope.of(engine.KV_CACHE_UTILIZATION).max(*by), FULL, "gauge"),
        Column("Prefix hits", prefix_hits(scope, *by), SHARE),
        Column("Output", output(scope, *by), Look(unit="si:tok/s")),
        Column("TTFT p95", first_token(scope, 0.95, *by), Look(unit="s")),
        Column("Per token", joules_per_token(scope, *by), PER_TOKEN),
    )


def prefix_hits(scope: Scope, *by: str) -> Expr:
    """Give the share of prompt tokens found in a cache: as counted, as the engine says, or as tokens not computed."""
    counted = scope.rate(engine.PREFIX_HITS).sum(*by) / (scope.rate(engine.PREFIX_QUERIES).sum(*by) > 0)
    prompt = scope.rate(engine.TOKENS, {KIND: Regex("input|cached")}).sum(*by)
    cached = scope.rate(engine.TOKENS, {KIND: "cached"}).sum(*by) / (prompt > 0)
    return counted | scope.of(engine.PREFIX_HIT_RATIO).max(*by) | cached


def first_token(scope: Scope, share: float, *by: str) -> Expr:
    """Estimate a quantile of the time to the first token, by spans or else by the engine's own word."""
    return scope.quantile(share, requests.TIME_TO_FIRST_TOKEN, *by) | scope.quantile(
        share, engine.TIME_TO_FIRST_TOKEN, *by
    )


def quantiles(
    scope: Scope, metric: Histogram[Any], *by: str, shares: Sequence[float] = (0.5, 0.95, 0.99)
) -> tuple[Query, ...]:
    """Ask for quantiles of a histogram, with exemplars."""
    names = "".join(f" {{{attribute}}}" for attribute in by)
    return tuple(
        Query(scope.quantile(share, metric, *by), f"p{share * 100:.0f}{names}", exemplars=True) for share in shares
    )


def xids(scope: Scope) -> Mark:
    """Mark every XID where it happened."""
    return Mark(
        "XIDs",
        scope.of(health.XID_LAST_SEEN) * 1000,
        "XID {{xid}}",
        "{{instance}} {{hw_name}}",
        ("xid", NODE, GPU),
        "red",
        at_value=True,
    )


def restarts(scope: Scope) -> Mark:
    """Mark where an engine's counters began again."""
    return Mark(
        "Engine restarts",
        scope.resets(engine.TOKENS).max(NODE, "engine") > 0,
        "{{engine}} started again",
        "{{instance}}",
        ("engine", NODE),
        "purple",
    )


def gpus(scope: Scope) -> Variable:
    """Let the user choose GPUs by name; their MIG instances come along."""
    return choice("GPU", "gpu", scope.of(gpu.GPU_INFO), GPU, "Names are those of this boot: gpu and the NVML index.")


def engines(scope: Scope) -> Variable:
    """Let the user choose engines, whether they are known by their pages or by their spans."""
    known = scope.any(engine.TOKENS, requests.REQUEST_FINISHED, own.ENGINE_UP)
    return choice("Engine", "engine", known, "engine")


def models(scope: Scope) -> Variable:
    """Let the user choose models; what tells no model is shown with All."""
    return choice("Model", "model", scope.any(engine.TOKENS, requests.REQUEST_FINISHED), MODEL)


def tenants(scope: Scope) -> Variable:
    """Let the user choose tenants; what tells no tenant is shown with All."""
    return choice("Tenant", "tenant", scope.of(requests.REQUEST_FINISHED), "tenant")


def of_gpus(scope: Scope) -> Scope:
    """Narrow to the GPUs chosen, and the MIG instances of them."""
    return scope.narrow({GPU: Regex("$gpu(/.*)?")})


def of_engines(scope: Scope) -> Scope:
    """Narrow to the engines, models and tenants chosen."""
    return scope.narrow({"engine": Regex("$engine"), MODEL: Regex("$model"), "tenant": Regex("$tenant")})

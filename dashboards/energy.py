# SPDX-License-Identifier: Apache-2.0
"""What the energy is spent on: joules per token, whose they are, what they cost, and how sure that is."""

from typing import Any

from agent.catalogue import energy, gpu, requests
from agent.metric import Counter
from agent.promql import Expr, Scope
from dashboards import owners
from dashboards.grafana import GREEN, ORANGE, RED, Draw, Look, Query, Step
from dashboards.measures import (
    IDLE,
    KIND,
    MODEL,
    NODE,
    PER_TOKEN,
    SHARE,
    TRACE,
    engines,
    joules_per_token,
    models,
    of_engines,
    quantiles,
    share_of_energy,
    tenants,
    typed,
)
from dashboards.page import Dashboard, Line, Row, line, number
from dashboards.panels import graph, heatmap, stat
from dashboards.tables import Column, Key, table

_KWH = 3.6e6
_MILLION = 1e6
_NO_SPANS = "no request has finished, or engines send no spans."
_CLASS = f"{{engine}} {{{MODEL}}}"
_PUE = "The data centre's own overhead is in it, by the variable PUE."
_RESIDUAL = Look(unit="percentunit", steps=(Step(GREEN), Step(ORANGE, 0.1), Step(RED, 0.25)))
_UNEXPLAINED = Look(
    unit="percentunit", steps=(Step(GREEN), Step(ORANGE, 0.1), Step(RED, 0.3)), low=0, high=1, decimals=1
)


def page(scope: Scope) -> Dashboard:
    """Make the dashboard."""
    chosen = of_engines(scope)
    return Dashboard(
        name="energy",
        title="joulespan / Energy and cost",
        description="What the energy is spent on: joules per token, whose they are, what they cost.",
        rows=(
            Row("Now", (_now(chosen), _tokens(chosen), _whose(chosen))),
            Row("Cost", (_money(chosen), _bill(chosen))),
            owners.row(scope),
            Row("A request", (_requests(chosen),)),
            Row("How sure that is", (_calibration(chosen), _costs(chosen)), closed=True),
        ),
        variables=(
            engines(scope),
            models(scope),
            tenants(scope),
            number("price_kwh", "$/kWh", "0.12", "Price of a kilowatt-hour."),
            number("price_gpu", "$/GPU-hour", "2.50", "Price of a GPU for an hour, energy and all."),
            number("pue", "PUE", "1.2", "Energy of the data centre for each unit of the servers'."),
            number("carbon", "gCO₂/kWh", "400", "Carbon intensity of the grid."),
        ),
        span="now-6h",
    )


def _now(scope: Scope) -> Line:
    attributed = scope.rate(energy.ENERGY_ATTRIBUTED).sum()
    finished = scope.observed("count", energy.REQUEST_ENERGY).sum() > 0
    per_request = scope.observed("sum", energy.REQUEST_ENERGY).sum() / finished
    tokens = scope.rate(requests.REQUEST_TOKENS, {KIND: "output"}).sum() > 0
    return line(
        4,
        stat(
            "Power",
            energy.ENERGY_ATTRIBUTED,
            Query(attributed),
            note="Of the engines, models and tenants chosen.",
            empty=_NO_SPANS,
            rate=True,
        ),
        stat(
            "J per token",
            (energy.ENERGY_ATTRIBUTED, requests.REQUEST_TOKENS),
            Query(joules_per_token(scope)),
            look=PER_TOKEN,
            note="All energy of requests, prefill too, divided by the tokens they generated.",
            empty=_NO_SPANS,
        ),
        stat(
            "1 000 requests",
            energy.REQUEST_ENERGY,
            Query(per_request * 1000 / 3600),
            look=Look(unit="watth"),
            empty=_NO_SPANS,
        ),
        stat("Idle", energy.ENERGY_IDLE, Query(share_of_energy(scope, "idle")), look=IDLE, note="Of all GPUs."),
        stat(
            "Unattributed",
            energy.ENERGY_UNATTRIBUTED,
            Query(share_of_energy(scope, "unattributed")),
            look=_UNEXPLAINED,
            note="Of all GPUs.",
        ),
        stat(
            "Energy, 1M tokens",
            (energy.ENERGY_ATTRIBUTED, requests.REQUEST_TOKENS),
            Query(_dollars(attributed) / tokens * _MILLION),
            look=Look(unit="currencyUSD", decimals=3),
            note=f"Money for the energy of a million output tokens. {_PUE}",
            empty=_NO_SPANS,
        ),
        stat(
            "GPUs, 1M tokens",
            (gpu.MEMORY_LIMIT, requests.REQUEST_TOKENS),
            Query(scope.of(gpu.MEMORY_LIMIT).count() * typed("price_gpu") / 3600 / tokens * _MILLION),
            look=Look(unit="currencyUSD", decimals=2),
            note="Money for all GPUs there are, by the hour, at work or not, for a million output tokens.",
            empty=_NO_SPANS,
        ),
        stat(
            "CO₂, 1 000 requests",
            energy.REQUEST_ENERGY,
            Query(per_request * 1000 / _KWH * typed("pue") * typed("carbon")),
            look=Look(unit="massg"),
            note=_PUE,
            empty=_NO_SPANS,
        ),
    )


def _tokens(scope: Scope) -> Line:
    about = (energy.ENERGY_ATTRIBUTED, requests.REQUEST_TOKENS)
    return line(
        8,
        graph(
            "Decode: energy per output token",
            about,
            Query(joules_per_token(scope, "engine", MODEL, phase="decode"), _CLASS),
            look=PER_TOKEN,
            empty=_NO_SPANS,
        ),
        graph(
            "Prefill: energy per computed prompt token",
            about,
            Query(joules_per_token(scope, "engine", MODEL, kind="input", phase="prefill"), _CLASS),
            look=PER_TOKEN,
            empty=_NO_SPANS,
        ),
        graph(
            "By tenant: energy per output token",
            about,
            Query(joules_per_token(scope, "tenant"), "{tenant}"),
            look=PER_TOKEN,
            note="Long prompts and small batches make a tenant's tokens dear.",
            empty=_NO_SPANS,
        ),
    )


def _whose(scope: Scope) -> Line:
    parts = [
        (energy.GPU_ENERGY_ATTRIBUTED, "requests"),
        (energy.ENERGY_IDLE, "idle"),
        (energy.ENERGY_UNATTRIBUTED, "unattributed"),
    ]
    host: list[tuple[Counter[Any], str]] = [
        (energy.OVERHEAD, "requests"),
        (energy.OVERHEAD_IDLE, "idle"),
        (energy.OVERHEAD_UNATTRIBUTED, "unattributed"),
    ]
    return line(
        8,
        graph(
            "GPUs by whose it was",
            [metric for metric, _ in parts],
            *[Query(scope.rate(metric).sum(), words) for metric, words in parts],
            look=Look(low=0),
            draw=Draw(stack=True),
            note="It follows the boards by attribution.lateness.",
            rate=True,
        ),
        graph(
            "CPUs and memory by whose it was",
            [metric for metric, _ in host],
            *[Query(scope.rate(metric).sum(), words) for metric, words in host],
            look=Look(low=0),
            draw=Draw(stack=True),
            empty="the hosts have no power meters that may be read.",
            rate=True,
        ),
        graph(
            "By tenant",
            energy.ENERGY_ATTRIBUTED,
            Query(scope.rate(energy.ENERGY_ATTRIBUTED).sum("tenant"), "{tenant}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            empty=_NO_SPANS,
            rate=True,
        ),
        graph(
            "By model and phase",
            energy.ENERGY_ATTRIBUTED,
            Query(scope.rate(energy.ENERGY_ATTRIBUTED).sum("engine", MODEL, "phase"), f"{_CLASS} {{phase}}"),
            look=Look(low=0),
            draw=Draw(stack=True),
            empty=_NO_SPANS,
            rate=True,
        ),
    )


def _money(scope: Scope) -> Line:
    hour = 3600
    idle = scope.rate(energy.ENERGY_IDLE).sum(NODE)
    return line(
        8,
        graph(
            "Energy of requests, $ an hour",
            energy.ENERGY_ATTRIBUTED,
            Query(_dollars(scope.rate(energy.ENERGY_ATTRIBUTED).sum("engine", MODEL)) * hour, _CLASS),
            look=Look(unit="currencyUSD", low=0),
            draw=Draw(stack=True),
            note=_PUE,
            empty=_NO_SPANS,
        ),
        graph(
            "Energy while idle, $ an hour",
            energy.ENERGY_IDLE,
            Query(_dollars(idle) * hour, "{instance}"),
            look=Look(unit="currencyUSD", low=0),
            draw=Draw(stack=True),
            note=_PUE,
        ),
        graph(
            "Carbon, g an hour",
            gpu.ENERGY,
            Query(scope.rate(gpu.ENERGY).sum(NODE) * hour / _KWH * typed("pue") * typed("carbon"), "{instance}"),
            look=Look(unit="massg", low=0),
            draw=Draw(stack=True),
            note=f"Of all GPUs, at work or not. {_PUE}",
        ),
    )


def _bill(scope: Scope) -> Line:
    keys = ("tenant", "engine", MODEL)
    joules = scope.increase(energy.ENERGY_ATTRIBUTED, window="$__range").sum(*keys)
    tokens = scope.increase(requests.REQUEST_TOKENS, {KIND: "output"}, "$__range").sum(*keys)
    finished = scope.increase(requests.REQUEST_FINISHED, window="$__range").sum(*keys)
    return line(
        9,
        table(
            "Bill of the time shown",
            (energy.ENERGY_ATTRIBUTED, requests.REQUEST_TOKENS, requests.REQUEST_FINISHED),
            {"tenant": Key("Tenant"), "engine": Key("Engine"), MODEL: Key("Model")},
            Column("Requests", finished, Look(unit="locale", decimals=0)),
            Column("Output tokens", tokens, Look(unit="short")),
            Column("Energy", joules / 3600, Look(unit="watth")),
            Column("Per token", joules / (tokens > 0), PER_TOKEN),
            Column("Per request", joules / (finished > 0), Look(unit="joule")),
            Column("Money for energy", _dollars(joules), Look(unit="currencyUSD", decimals=4)),
            Column("Carbon", joules / _KWH * typed("pue") * typed("carbon"), Look(unit="massg")),
            sort="Energy",
            note=f"{_PUE} Idle energy is nobody's and not here.",
            empty=_NO_SPANS,
        ),
    )


def _requests(scope: Scope) -> Line:
    return line(
        8,
        heatmap("Energy of requests, distribution", energy.REQUEST_ENERGY, scope, empty=_NO_SPANS),
        graph(
            "Energy of requests",
            energy.REQUEST_ENERGY,
            *quantiles(scope, energy.REQUEST_ENERGY, "engine", shares=(0.5, 0.95)),
            note=TRACE,
            empty=_NO_SPANS,
        ),
    )


def _calibration(scope: Scope) -> Line:
    names = ("engine", MODEL, "hw.model")
    learnt = scope.of(energy.CALIBRATION_INFO).max(*names, "method")
    return line(
        7,
        table(
            "How energy is divided",
            (energy.CALIBRATION_INFO, energy.CALIBRATION_R2, energy.CALIBRATION_RESIDUAL, energy.CALIBRATION_CONDITION),
            {"engine": Key("Engine"), MODEL: Key("Model"), "hw.model": Key("GPU"), "method": Key("Method")},
            Column("Known", learnt, Look(), hidden=True),
            Column("Explained (R²)", scope.of(energy.CALIBRATION_R2).max(*names), SHARE),
            Column("Left open", scope.of(energy.CALIBRATION_RESIDUAL).max(*names), _RESIDUAL, "text"),
            Column("Condition", scope.of(energy.CALIBRATION_CONDITION).max(*names), Look(unit="short")),
            Column(
                "Learnt last",
                scope.of(energy.CALIBRATION_LAST_LEARNT).max(*names) * 1000,
                Look(unit="dateTimeFromNow"),
            ),
            empty="no engine is known whose spans and GPUs are known too.",
        ),
    )


def _costs(scope: Scope) -> Line:
    return line(
        8,
        graph(
            "What a unit of work costs",
            energy.CALIBRATION_COST,
            Query(scope.of(energy.CALIBRATION_COST), "{engine} {work}"),
            look=Look(low=0),
            draw=Draw(log=True),
            note="On a logarithmic scale.",
            empty="nothing is calibrated yet: energy is divided by time.",
        ),
        graph(
            "Power while idle, as learnt",
            energy.IDLE_POWER,
            Query(scope.of(energy.IDLE_POWER), "{instance} {hw.name}"),
            look=Look(low=0),
            empty="no GPU was idle long enough to tell.",
        ),
        graph(
            "Requests whose energy is not told",
            energy.REQUEST_UNDIVIDED,
            Query(scope.rate(energy.REQUEST_UNDIVIDED).sum("reason"), "{reason}"),
            look=Look(unit="reqps", low=0),
            note="uncovered is usual in the first minutes of an agent.",
            empty="all requests are divided.",
        ),
    )


def _dollars(joules: Expr) -> Expr:
    return joules / _KWH * typed("pue") * typed("price_kwh")

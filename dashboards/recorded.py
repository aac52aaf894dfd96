# SPDX-License-Identifier: Apache-2.0
"""What the recording rules have computed, as a row: service levels and efficiency, by engine and model."""

from agent.catalogue import energy, engine, requests
from agent.promql import Scope, Selected
from alerts.recording import Rule, by_name
from alerts.thresholds import Thresholds
from dashboards.grafana import GREEN, ORANGE, RED, Look, Query, Step
from dashboards.measures import MODEL, PER_TOKEN
from dashboards.page import Line, Row, line
from dashboards.panels import graph

_RULES = by_name(Scope(), Thresholds())
_CLASS = f"{{engine}} {{{MODEL}}}"
_EMPTY = "the rules in alerts/rules are not loaded into this Prometheus, or engines send no spans."


def row(scope: Scope) -> Row:
    """Make the row."""
    return Row("Service levels and efficiency, from the recording rules", (_levels(scope),))


def _levels(scope: Scope) -> Line:
    now = _select(scope, "engine_model:joulespan_joules_per_token:rate5m")
    return line(
        8,
        graph(
            "Requests that were too slow, of an hour",
            (requests.TIME_TO_FIRST_TOKEN, requests.TIME_PER_OUTPUT_TOKEN),
            Query(_select(scope, "engine_model:joulespan_time_to_first_token_slow:ratio_rate1h"), f"{_CLASS} first"),
            Query(_select(scope, "engine_model:joulespan_time_per_output_token_slow:ratio_rate1h"), f"{_CLASS} later"),
            look=Look(unit="percentunit", steps=(Step(GREEN), Step(ORANGE, 0.01), Step(RED, 0.05)), low=0),
            note="Share of requests over the limit for the first token, and for each later one, that the rules were "
            "generated with.",
            empty=_EMPTY,
        ),
        graph(
            "Good requests per joule",
            (requests.REQUEST_FINISHED, energy.ENERGY_ATTRIBUTED),
            Query(_select(scope, "engine_model:joulespan_goodput_per_watt:rate5m"), _CLASS),
            look=Look(unit="short", low=0),
            note="Requests that kept both limits, for each joule given to requests: goodput per watt.",
            empty=_EMPTY,
        ),
        graph(
            "Output tokens per GPU",
            engine.TOKENS,
            Query(_select(scope, "instance_engine:joulespan_tokens_per_gpu:rate5m"), "{instance} {engine}"),
            look=Look(low=0),
            empty=_EMPTY,
            rate=True,
        ),
        graph(
            "Energy per output token, and a week ago",
            (energy.ENERGY_ATTRIBUTED, requests.REQUEST_TOKENS),
            Query(now, _CLASS),
            Query(now.ago("1w"), f"{_CLASS} a week ago", dashed=True),
            look=PER_TOKEN,
            empty=_EMPTY,
        ),
    )


def _about(rule: Rule, scope: Scope) -> Scope:
    """Give what of the scope the series of a rule have labels for."""
    kept = {label: value for label, value in scope.labels.items() if label in rule.expr.attributes}
    return Scope(kept, scope.attributes)


def _select(scope: Scope, record: str) -> Selected:
    rule = _RULES[record]
    return _about(rule, scope).recorded(record, *rule.expr.attributes)

# SPDX-License-Identifier: Apache-2.0
"""The kinds of panel that the dashboards are made of, each from metrics and queries; agent.promql makes the queries.

`about` are the metrics whose briefs describe the panel; the first gives the unit. `note` is added to them. `empty` says
why a panel may have nothing to show though all is well; Grafana shows it in place of "No data".
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agent.metric import Histogram, Metric
from agent.promql import Scope
from dashboards.grafana import Draw, Field, Look, Panel, Query, described, override, targets, unit_of

_TIP = {"mode": "multi", "sort": "desc"}
_PLAIN, _LINES = Look(), Draw()
_HIDDEN = {"legend": False, "tooltip": False, "viz": False}


def graph(
    title: str,
    about: Metric[Any] | Sequence[Metric[Any]],
    *lines: Query,
    look: Look = _PLAIN,
    draw: Draw = _LINES,
    note: str = "",
    empty: str = "",
    rate: bool = False,
) -> Panel:
    """Draw values over time. A dashed line is a limit."""
    about = (about,) if isinstance(about, Metric) else about
    made = targets(lines)
    limits = [
        override(
            "ref",
            target.refId,
            custom__lineStyle={"fill": "dash", "dash": [10, 10]},
            custom__stacking={"mode": "none", "group": "A"},
            custom__fillOpacity=0,
            color={"mode": "fixed", "fixedColor": "text"},
        )
        for target, line in zip(made, lines, strict=True)
        if line.dashed
    ]
    filled = 60 if draw.stack or draw.bars else 0
    return Panel(
        "timeseries",
        {
            "legend": {
                "calcs": ["mean", "max", "lastNotNull"] if draw.legend == "table" else [],
                "displayMode": "list" if draw.legend == "hidden" else draw.legend,
                "placement": "bottom",
                "showLegend": draw.legend != "hidden",
            },
            "tooltip": _TIP,
        },
        Field(
            look._replace(unit=look.unit or unit_of(about[0], rate=rate)),
            "palette-classic",
            {
                "drawStyle": "bars" if draw.bars else "line",
                "fillOpacity": filled,
                "lineWidth": 0 if draw.bars else 1,
                "scaleDistribution": {"log": 10, "type": "log"} if draw.log else {"type": "linear"},
                "showPoints": "never",
                "spanNulls": False,
                "stacking": {"mode": "normal" if draw.stack else "none", "group": "A"},
                "thresholdsStyle": {"mode": "dashed" if len(look.steps) > 1 else "off"},
            },
            empty,
            [*limits, *draw.overrides],
        ),
        title=title,
        description=described(about, note, empty),
        targets=made,
    )


def stat(
    title: str,
    about: Metric[Any] | Sequence[Metric[Any]],
    *lines: Query,
    look: Look = _PLAIN,
    note: str = "",
    empty: str = "",
    rate: bool = False,
) -> Panel:
    """Show one value now. With a query over time it has a sparkline; an instant query shows nothing that is old."""
    about = (about,) if isinstance(about, Metric) else about
    instant = all(line.instant for line in lines)
    return Panel(
        "stat",
        {
            "colorMode": "background_solid" if instant and len(look.steps) > 1 else "value",
            "graphMode": "none" if instant else "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "textMode": "value_and_name" if lines[0].legend else "value",
        },
        Field(look._replace(unit=look.unit or unit_of(about[0], rate=rate)), empty=empty),
        title=title,
        description=described(about, note, empty),
        targets=targets(lines),
    )


def timeline(
    title: str,
    about: Metric[Any] | Sequence[Metric[Any]],
    *lines: Query,
    look: Look,
    note: str = "",
    empty: str = "",
) -> Panel:
    """Show states over time, one bar a series; `look.texts` says what the values mean."""
    about = (about,) if isinstance(about, Metric) else about
    return Panel(
        "state-timeline",
        {
            "alignValue": "left",
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
            "mergeValues": True,
            "rowHeight": 0.85,
            "showValue": "auto",
            "tooltip": {"mode": "single", "sort": "none"},
        },
        Field(
            look._replace(unit=look.unit or unit_of(about[0])),
            custom={"fillOpacity": 80, "lineWidth": 0, "hideFrom": _HIDDEN},
            empty=empty,
        ),
        title=title,
        description=described(about, note, empty),
        targets=targets(lines),
    )


def heatmap(
    title: str,
    about: Histogram[Any],
    scope: Scope,
    *,
    where: Mapping[str, str] | None = None,
    note: str = "",
    empty: str = "",
) -> Panel:
    """Show how the values of a histogram are distributed over time, by its own buckets, with its exemplars."""
    line = Query(scope.buckets(about, where=where), "{le}", exemplars=True)
    return Panel(
        "heatmap",
        {
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": "cps"},
            "color": {
                "exponent": 0.5,
                "fill": "dark-orange",
                "mode": "scheme",
                "reverse": False,
                "scale": "exponential",
                "scheme": "Oranges",
                "steps": 64,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": about.unit.grafana},
        },
        Field(
            Look(unit=about.unit.grafana),
            custom={"hideFrom": _HIDDEN, "scaleDistribution": {"type": "linear"}},
            empty=empty,
        ),
        title=title,
        description=described((about,), note, empty),
        targets=targets([line], "heatmap"),
    )

# SPDX-License-Identifier: Apache-2.0
"""Tables of what is now: a row for each node, GPU or engine, a column for each query, and links to go on from there."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from agent.metric import Metric, label_name
from agent.promql import Expr
from dashboards.grafana import Field, Look, Panel, Query, described, look_json, override, targets

_OPTIONS = {"cellHeight": "sm", "showHeader": True}
_CELL = {
    "plain": {"type": "auto"},
    "text": {"type": "color-text"},
    "fill": {"mode": "basic", "type": "color-background"},
    "gauge": {"mode": "basic", "type": "gauge", "valueDisplayMode": "text"},
}


class Column(NamedTuple):
    """A query, summed up by the keys of the table, and its place there."""

    title: str
    expr: Expr
    look: Look
    cell: str = "plain"
    """plain, text or fill (coloured), gauge."""
    hidden: bool = False
    """For a query that is there for its attributes."""
    empty: str = "-"
    """What an empty cell says."""


class Key(NamedTuple):
    """An attribute that rows are told apart by, or that comes along; `link` leads to another dashboard.

    `width` is in pixels, for what would be cut off where columns share the table alike.
    """

    title: str
    link: str = ""
    width: int = 0


def table(
    title: str,
    about: Sequence[Metric[Any]],
    keys: Mapping[str, Key],
    *columns: Column,
    sort: str = "",
    note: str = "",
    empty: str = "",
) -> Panel:
    """Join the columns on the keys, which are attributes; one without a value in a row is empty there."""
    lines = [Query(column.expr, instant=True) for column in columns]
    names = {f"Value #{target.refId}": column.title for target, column in zip(targets(lines), columns, strict=True)}
    if len(columns) == 1:
        names = {"Value": columns[0].title}
    hidden = [name for name, column in zip(names, columns, strict=True) if column.hidden]
    renamed = {**{label_name(attribute): key.title for attribute, key in keys.items()}, **names}
    return Panel(
        "table",
        {**_OPTIONS, "sortBy": [{"desc": True, "displayName": sort}] if sort else []},
        Field(
            Look(),
            custom={"align": "auto", "cellOptions": {"type": "auto"}, "filterable": False, "inspect": False},
            empty=empty,
            overrides=[*_keys(keys), *[_column(column) for column in columns if not column.hidden]],
        ),
        title=title,
        description=described(about, note, empty),
        targets=targets(lines, "table"),
        transformations=[
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True, **dict.fromkeys(hidden, True)},
                    "includeByName": {},
                    "indexByName": {name: index for index, name in enumerate(renamed)},
                    "renameByName": renamed,
                },
            },
        ],
    )


def matrix(title: str, about: Metric[Any], expr: Expr, rows: str, columns: str, look: Look, note: str = "") -> Panel:
    """Lay the values out by two attributes, one down, one across, each cell in the colour of its value."""
    row, column = label_name(rows), label_name(columns)
    return Panel(
        "table",
        {**_OPTIONS, "sortBy": []},
        Field(
            look,
            custom={
                "align": "center",
                "cellOptions": _CELL["fill"],
                "filterable": False,
                "inspect": False,
            },
            overrides=[
                override(
                    "name",
                    f"{row}\\{column}",
                    displayName="Node",
                    custom__cellOptions=_CELL["plain"],
                    custom__width=110,
                )
            ],
        ),
        title=title,
        description=described((about,), note, ""),
        targets=targets([Query(expr, instant=True)], "table"),
        transformations=[
            {
                "id": "groupingToMatrix",
                "options": {"columnField": column, "emptyValue": "empty", "rowField": row, "valueField": "Value"},
            },
        ],
    )


def _column(column: Column) -> dict[str, Any]:
    """Write how a column looks; a value that is not set is left to the table, but for what an empty cell says."""
    found = {key: value for key, value in look_json(column.look).items() if value not in (None, [])}
    # Else Grafana writes into an empty cell why the whole table may be empty.
    return override("name", column.title, custom__cellOptions=_CELL[column.cell], noValue=column.empty, **found)


def _keys(keys: Mapping[str, Key]) -> list[dict[str, Any]]:
    made = []
    for key in keys.values():
        link = {"targetBlank": False, "title": f"Open {key.title}", "url": key.link}
        properties = {"links": [link] if key.link else None, "custom__width": key.width or None, "noValue": "-"}
        made.append(override("name", key.title, **{name: value for name, value in properties.items() if value}))
    return made

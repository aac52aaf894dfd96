# SPDX-License-Identifier: Apache-2.0
"""The dashboards are what Grafana's own types and Grafana's own SDK take them for."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "tests/fixtures/grafana"
DASHBOARDS = sorted((ROOT / "dashboards/json").glob("*.json"))
EACH = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: str(path.stem))
UNKNOWN_TO_THE_SDK = {
    ".templating.list[].definition": "the query as text, which Grafana's editor of variables writes and shows",
    ".annotations.list[].tagKeys": "Prometheus' own, as the three below; the SDK knows no data source's annotations",
    ".annotations.list[].textFormat": "see above",
    ".annotations.list[].titleFormat": "see above",
    ".annotations.list[].useValueForTime": "see above",
}


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """List all panels but rows, those in closed rows too."""
    for panel in dashboard["panels"]:
        yield from panel.get("panels") or []
        if panel["type"] != "row":
            yield panel


@cache
def schema(name: str) -> Any:
    """Compile a schema. Of a panel's it keeps which keys and values there may be, not which there must be."""
    text = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    return fastjsonschema.compile(text if name == "dashboard" else _optional(text))


def _optional(part: Any) -> Any:
    if isinstance(part, dict):
        return {
            key: _optional(value) for key, value in part.items() if key != "required" or not isinstance(value, list)
        }
    return [_optional(one) for one in part] if isinstance(part, list) else part


@EACH
def test_a_dashboard_is_valid_against_grafanas_own_types(path: Path) -> None:
    schema("dashboard")(load(path))


@EACH
def test_options_and_fields_of_every_panel_are_those_that_its_type_has(path: Path) -> None:
    wrong = []
    for panel in panels(load(path)):
        kind = panel["type"].replace("-", "")
        custom = panel["fieldConfig"]["defaults"].get("custom", {})
        for name, value in ((f"{kind}.Options", panel["options"]), (f"{kind}.FieldConfig", custom)):
            if not (SCHEMAS / f"{name}.json").exists():
                assert not value, f"{panel['title']}: there is no schema {name}"
                continue
            try:
                schema(name)(value)
            except fastjsonschema.JsonSchemaValueException as error:
                wrong.append(f"{panel['title']}: {error.message}")
    assert not wrong


@EACH
def test_properties_that_are_overridden_are_those_that_fields_of_the_panel_have(path: Path) -> None:
    wrong = []
    for panel in panels(load(path)):
        name = f"{panel['type'].replace('-', '')}.FieldConfig"
        for override in panel["fieldConfig"]["overrides"]:
            custom: dict[str, Any] = {}
            for one in override["properties"]:
                if one["id"].startswith("custom."):
                    custom[one["id"].removeprefix("custom.")] = one["value"]
            # `custom.hideFrom.viz` is a path.
            flat = {key: value for key, value in custom.items() if "." not in key}
            try:
                schema(name)(flat) if flat else None
            except fastjsonschema.JsonSchemaValueException as error:
                wrong.append(f"{panel['title']}: {error.message}")
    assert not wrong


@EACH
def test_grafanas_sdk_reads_a_dashboard_without_losing_a_key(path: Path) -> None:
    register_default_plugins()
    read = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(load(path))))
    assert set(_lost(load(path), read)) <= set(UNKNOWN_TO_THE_SDK)


def test_what_is_listed_as_unknown_to_the_sdk_is_unknown_to_it() -> None:
    register_default_plugins()
    lost: set[str] = set()
    for path in DASHBOARDS:
        lost |= set(_lost(load(path), json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(load(path))))))
    assert lost == set(UNKNOWN_TO_THE_SDK)


def _lost(before: Any, after: Any, at: str = "") -> Iterator[str]:
    """List where something is gone or changed."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key in after:
                yield from _lost(value, after[key], f"{at}.{key}")
            else:
                yield f"{at}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after, strict=True):
            yield from _lost(one, other, f"{at}[]")
    elif before != after:
        yield at

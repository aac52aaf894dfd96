# SPDX-License-Identifier: Apache-2.0
"""What is written agrees with what is there."""

import re
from pathlib import Path

import pytest

from agent import config_file
from agent.catalogue import METRICS
from agent.commands.generate import files
from agent.metric import Histogram, label_name
from agent.processors import annotation, energy_annotation
from agent.promql import Scope
from agent.system.nvml.names import THROTTLE_REASONS
from alerts.recording import by_name
from alerts.thresholds import Thresholds

ROOT = Path(__file__).parent.parent
WRITTEN = sorted(
    path
    for path in ROOT.rglob("*")
    if path.suffix in {".md", ".json", ".yaml", ".yml"}
    and not any(part.startswith(".") or part in {"build", "mock_nvml"} for part in path.relative_to(ROOT).parts)
)
NAMES = {name for metric in METRICS.values() for name in (metric.name, metric.prometheus)}
NAMES |= {
    f"{one.prometheus}_{part}"
    for one in METRICS.values()
    if isinstance(one, Histogram)
    for part in ("bucket", "count", "sum")
}
ATTRIBUTES = {attribute.name for metric in METRICS.values() for attribute in metric.attributes}
SPAN_ATTRIBUTES = (*annotation.ATTRIBUTES, *energy_annotation.ATTRIBUTES)
KNOWN = NAMES | ATTRIBUTES | set(SPAN_ATTRIBUTES) | {label_name(attribute) for attribute in ATTRIBUTES}
RECORDED = {word for record in by_name(Scope(), Thresholds()) for word in record.split(":")}
GENERATED = files()
FILES = {"joulespan.service", "joulespan.service.d", "joulespan.yaml"}
REASONS = {*THROTTLE_REASONS.values()}
"""Values of an attribute, some of which begin like metrics."""


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_metric_that_is_named_exists(path: Path) -> None:
    text = re.sub(r"\S+[.(]\*\S*", "", path.read_text("utf-8"))  # joulespan.mig.* is a family
    found = set(re.findall(r"\b(?:joulespan|hw)[._][a-z0-9_]+(?:[._][a-z0-9_]+)*\b", text))
    assert found - KNOWN - RECORDED - FILES - REASONS == set()


def test_every_key_of_the_configuration_is_explained() -> None:
    text = (ROOT / "docs/configuration.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith(("| `", "Read and not"))]
    for key in config_file._keys():
        parts = key.split(".")
        written = [f"`{'.'.join(parts[:length])}`" for length in range(1, len(parts) + 1)]
        section, short = ".".join(parts[:-1]), f"`.{parts[-1]}`"
        assert any(any(name in row for name in written) or (section in row and short in row) for row in rows), key


@pytest.mark.parametrize("path", GENERATED)
def test_what_is_generated_is_up_to_date(path: str) -> None:
    assert (ROOT / path).read_text("utf-8") == GENERATED[path]

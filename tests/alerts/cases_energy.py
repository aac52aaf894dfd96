# SPDX-License-Identifier: Apache-2.0
"""When alerts about energy fire, and when they must not."""

from agent.catalogue.energy import ENERGY_IDLE, ENERGY_MEASURED, ENERGY_UNATTRIBUTED
from agent.promql import Scope
from alerts.recording import by_name
from alerts.thresholds import Thresholds
from tests.alerts.cases import Case, Input, fires, of_gpu, recorded, silent

RULE = by_name(Scope(), Thresholds())["engine_model:joulespan_decode_joules_per_token:rate5m"]
A = {"engine": "a", "gen_ai.request.model": "m"}
B = {"engine": "b", "gen_ai.request.model": "m"}


def per_token(values: str, who: dict[str, str] | None = None) -> Input:
    return recorded(RULE, values, who or A)


CASES: tuple[Case, ...] = (
    fires(
        "EnergyPerTokenRegression",
        "one engine of two takes half as much again as a week ago",
        "190h",
        per_token("1x175 1.5x30"),
        per_token("1x220", B),
        interval="1h",
        who=[{"engine": "a"}],
    ),
    silent("EnergyPerTokenRegression", "it takes what it took", "190h", per_token("1x220"), interval="1h"),
    silent(
        "EnergyPerTokenRegression",
        "nothing is known of the week before",
        "190h",
        per_token("_x175 1.5x30"),
        interval="1h",
    ),
    silent("EnergyPerTokenRegression", "nothing was served of late", "190h", per_token("1x175 _x30"), interval="1h"),
    fires(
        "EnergyIdleShare",
        "most of it",
        "8h",
        of_gpu(ENERGY_MEASURED, "0+100x900"),
        of_gpu(ENERGY_IDLE, "0+80x900"),
        who=[{"instance": "n1"}],
    ),
    silent(
        "EnergyIdleShare", "a tenth of it", "8h", of_gpu(ENERGY_MEASURED, "0+100x900"), of_gpu(ENERGY_IDLE, "0+10x900")
    ),
    silent(
        "EnergyIdleShare",
        "one GPU of a node is idle and three are not",
        "8h",
        *(of_gpu(ENERGY_MEASURED, "0+100x900", gpu=gpu) for gpu in "ABCD"),
        of_gpu(ENERGY_IDLE, "0+99x900"),
    ),
    fires(
        "EnergyUnattributed",
        "of one GPU of two no span comes",
        "3h",
        *(of_gpu(ENERGY_MEASURED, "0+100x300", gpu=gpu) for gpu in "AB"),
        of_gpu(ENERGY_UNATTRIBUTED, "0+90x300"),
        of_gpu(ENERGY_UNATTRIBUTED, "0+1x300", gpu="B"),
        who=[{"hw.id": "A"}],
    ),
    silent(
        "EnergyUnattributed",
        "spans explain it",
        "3h",
        of_gpu(ENERGY_MEASURED, "0+100x300"),
        of_gpu(ENERGY_UNATTRIBUTED, "0+5x300"),
    ),
    silent(
        "EnergyUnattributed",
        "the GPU draws nothing that is measured",
        "3h",
        of_gpu(ENERGY_MEASURED, "0x300"),
        of_gpu(ENERGY_UNATTRIBUTED, "0x300"),
    ),
)

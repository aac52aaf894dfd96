# SPDX-License-Identifier: Apache-2.0
"""Alerts about energy: what costs more than it did, and what is spent on nothing."""

from agent.promql import Scope
from alerts import thresholds as to
from alerts.alert import Alert
from alerts.recording import MODEL, by_name
from alerts.thresholds import Thresholds


def energy(scope: Scope, limits: Thresholds) -> tuple[Alert, ...]:
    """List them."""
    recorded = {name: rule.series for name, rule in by_name(scope, limits).items()}
    per_token = recorded["engine_model:joulespan_decode_joules_per_token:rate5m"]
    idle = recorded["instance:joulespan_energy_idle:ratio_rate5m"]
    unattributed = recorded["gpu:joulespan_energy_unattributed:ratio_rate5m"]
    return (
        Alert(
            name="EnergyPerTokenRegression",
            severity="warning",
            expr=per_token.over("avg", "6h").per(per_token.ago("1w").over("avg", "6h"), *MODEL)
            > limits.limit(to.REGRESSION),
            hold="1h",
            thresholds=(to.REGRESSION,),
            meaning="An output token takes more energy than at the same time of the week before.",
            summary="Tokens of {gen_ai.request.model} on {engine} take more energy than last week",
            description="Energy of decode per output token of {gen_ai.request.model} on {engine} is {value:percent} "
            "of what it was a week before.",
        ),
        Alert(
            name="EnergyIdleShare",
            severity="info",
            expr=idle.over("avg", "6h") > limits.limit(to.IDLE_SHARE),
            hold="30m",
            thresholds=(to.IDLE_SHARE,),
            meaning="A large share of a node's GPU energy is drawn while no request runs.",
            summary="The GPUs of {instance} spend much energy idle",
            description="Over six hours {value:percent} of the energy of the GPUs of {instance} was drawn while no "
            "request ran.",
        ),
        Alert(
            name="EnergyUnattributed",
            severity="info",
            expr=unattributed.over("avg", "1h") > limits.limit(to.UNATTRIBUTED_SHARE),
            hold="30m",
            thresholds=(to.UNATTRIBUTED_SHARE,),
            meaning="A large share of a GPU's energy is of work that no span explains.",
            summary="Much energy of GPU {hw.name} of {instance} belongs to nobody",
            description="Over an hour {value:percent} of the energy of {hw.name} of {instance} was of work that no "
            "span explains.",
        ),
    )

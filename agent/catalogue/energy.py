# SPDX-License-Identifier: Apache-2.0
"""Whose the energy is: what the ledger gives to requests. Not exported by this release: the names are reserved."""

from agent.entities import Gpu, RequestClass, RequestPhase
from agent.metric import Counter, Histogram
from agent.unit import Unit

_JOULES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0)

ENERGY_MEASURED = Counter(
    "joulespan.energy.measured",
    Unit.JOULES,
    Gpu,
    "Energy of closed windows: attributed, idle and unattributed add up to it.",
)
ENERGY_IDLE = Counter("joulespan.energy.idle", Unit.JOULES, Gpu, "Energy while no request ran.")
ENERGY_UNATTRIBUTED = Counter(
    "joulespan.energy.unattributed", Unit.JOULES, Gpu, "Energy of work that no span explains."
)
ENERGY_ATTRIBUTED = Counter("joulespan.energy.attributed", Unit.JOULES, RequestPhase, "Energy given to requests.")
REQUEST_ENERGY = Histogram("joulespan.request.energy", Unit.JOULES, RequestClass, "Energy of a request.", _JOULES)

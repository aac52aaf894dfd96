# SPDX-License-Identifier: Apache-2.0
"""Whose the energy is: what the ledger gives to requests.

Of every GPU, joulespan.energy.measured = .attributed + .idle + .unattributed, at any time. What is held back for
requests that are still running is in none of them yet.
"""

from agent.entities import Engine, Gpu
from agent.host_entities import Host
from agent.metric import Counter, Gauge, Histogram, Info, UpDownCounter
from agent.request_entities import (
    CalibratedEngine,
    CalibratedMethod,
    CalibratedWork,
    LedgerGap,
    RequestClass,
    RequestPhase,
)
from agent.unit import Unit

_JOULES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0)

ENERGY_MEASURED = Counter(
    "joulespan.energy.measured",
    Unit.JOULES,
    Gpu,
    "Energy that the ledger has divided: attributed, idle and unattributed add up to it. It follows hw.energy by "
    "attribution.lateness, and leaves out what is held back.",
)
ENERGY_IDLE = Counter("joulespan.energy.idle", Unit.JOULES, Gpu, "Energy while no request ran.")
ENERGY_UNATTRIBUTED = Counter(
    "joulespan.energy.unattributed",
    Unit.JOULES,
    Gpu,
    "Energy of work that no span explains: of requests that send none, and what grew while the GPU could not be read.",
)
ENERGY_HELD = UpDownCounter(
    "joulespan.energy.held",
    Unit.JOULES,
    Gpu,
    "Energy held back for requests that ran and are not known yet. Their spans get it, or it ends as unattributed.",
)
GPU_ENERGY_ATTRIBUTED = Counter(
    "joulespan.gpu.energy.attributed", Unit.JOULES, Gpu, "Energy of the GPU that was given to requests."
)
ENERGY_ATTRIBUTED = Counter("joulespan.energy.attributed", Unit.JOULES, RequestPhase, "Energy given to requests.")
ENGINE_UNATTRIBUTED = Counter(
    "joulespan.engine.energy.unattributed",
    Unit.JOULES,
    Engine,
    "Energy of an engine's work that no span explains: unsampled, aborted and lost requests.",
)
REQUEST_ENERGY = Histogram("joulespan.request.energy", Unit.JOULES, RequestClass, "Energy of a request.", _JOULES)
OVERHEAD = Counter(
    "joulespan.energy.overhead",
    Unit.JOULES,
    RequestClass,
    "Energy of the host's CPUs and memory that belongs to requests, in proportion to the energy of GPUs given to them.",
)
OVERHEAD_IDLE = Counter(
    "joulespan.energy.overhead.idle",
    Unit.JOULES,
    Host,
    "Energy of the host's CPUs and memory in proportion to the energy of GPUs while no request ran.",
)
OVERHEAD_UNATTRIBUTED = Counter(
    "joulespan.energy.overhead.unattributed",
    Unit.JOULES,
    Host,
    "Energy of the host's CPUs and memory in proportion to the energy of GPUs that no span explains.",
)
OVERHEAD_MEASURED = Counter(
    "joulespan.energy.overhead.measured",
    Unit.JOULES,
    Host,
    "Energy of the host's CPUs and memory that has been divided: of requests, idle and unattributed add up to it. It "
    "follows joulespan.node.energy by attribution.lateness.",
)
REQUEST_UNDIVIDED = Counter(
    "joulespan.request.undivided", Unit.REQUESTS, LedgerGap, "Requests on known GPUs whose energy is not told, by why."
)
IDLE_POWER = Gauge(
    "joulespan.gpu.idle.power", Unit.WATTS, Gpu, "Power while no request ran, as the ledger has learnt it."
)
CALIBRATION_INFO = Info(
    "joulespan.calibration.info", CalibratedMethod, "How the energy of an engine is divided among its requests now."
)
CALIBRATION_COST = Gauge(
    "joulespan.calibration.cost",
    Unit.JOULES,
    CalibratedWork,
    "Energy above idling that a unit of work costs, of all GPUs of the engine.",
)
CALIBRATION_R2 = Gauge(
    "joulespan.calibration.r2",
    Unit.RATIO,
    CalibratedEngine,
    "Share of the variance of energy between windows of 2 s that these costs explain. Small under a steady load.",
)
CALIBRATION_RESIDUAL = Gauge(
    "joulespan.calibration.residual",
    Unit.RATIO,
    CalibratedEngine,
    "What these costs leave open of the energy of a window, as a share of its mean. Above 0.25 they are not used.",
)
CALIBRATION_CONDITION = Gauge(
    "joulespan.calibration.condition",
    Unit.NONE,
    CalibratedEngine,
    "How nearly kinds of work always came together: from 1, well told apart, to 10 million, where costs are not used.",
)
CALIBRATION_DURATION = Counter(
    "joulespan.calibration.duration", Unit.SECONDS, CalibratedEngine, "Time of work that these costs were learnt from."
)
CALIBRATION_LAST_LEARNT = Gauge(
    "joulespan.calibration.last_learnt", Unit.SECONDS, CalibratedEngine, "Unix time of the last work that taught them."
)

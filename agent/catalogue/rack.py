# SPDX-License-Identifier: Apache-2.0
"""The rack: this node's place in it, and its GPUs' part in the NVLink domain; alerts/rules adds up the nodes."""

from agent.entities import Agent
from agent.metric import Gauge, Info, UpDownCounter
from agent.rack_entities import Domain, DomainGpus, DomainProblem, RackPlace
from agent.unit import Unit

PLACE = Info("joulespan.rack.info", RackPlace, "Place of this node in its rack, and the NVLink domain of its GPUs.")
GPUS = UpDownCounter(
    "joulespan.rack.gpus", Unit.ITEMS, DomainGpus, "GPUs of this node by what they are in the NVLink domain."
)
EXPECTED = UpDownCounter(
    "joulespan.rack.gpus.expected",
    Unit.ITEMS,
    Domain,
    "GPUs of this node that should be in the domain: those that are, and those of the node that are in none.",
)
COMPLETE = Gauge(
    "joulespan.rack.complete",
    Unit.NONE,
    Domain,
    "1 while no GPU of this node is missing from the domain, and the fabric has no problem with those in it.",
)
PROBLEMS = UpDownCounter(
    "joulespan.rack.problems", Unit.ITEMS, DomainProblem, "GPUs of this node with a problem of the fabric, by problem."
)
CLIQUES = Gauge(
    "joulespan.rack.cliques",
    Unit.ITEMS,
    Agent,
    "Cliques that the GPUs of this node are in; more than one means that the domain is split into partitions.",
)

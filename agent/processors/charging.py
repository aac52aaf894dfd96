# SPDX-License-Identifier: Apache-2.0
"""Between the requests of a recording and the ledger: which of them are charged, and on which GPUs.

A recording does not tell what the machine could be asked while it ran. So the GPUs of an engine are asked of, in this
order: the configuration, GPU ids that its spans name, what the agent recorded. An engine that is the only one has all.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from agent.config import Engine as EngineConfig
from agent.entities import Gpu
from agent.processors.clues import GPU_KEYS, clues_of, gpu_ids, gpus_named
from agent.processors.senders import Reason
from agent.processors.topology import Placement, engine_name, gpu_called
from agent.requests import Phase, Request, Role

NOT_TOLD = "nothing says on which GPUs it runs"


class Sender(NamedTuple):
    """What a request says about who served it."""

    service: str | None
    dialect: str
    gpus: tuple[str, ...]


class Charged(NamedTuple):
    """A request that is to be charged, as far as its times do not tell."""

    sender: Sender
    model: str | None
    output_tokens: int


def sender_of(request: Request) -> Sender:
    """Read who served a request."""
    span = request.span
    clues = clues_of(span.source)
    named = () if span.attributes.keys().isdisjoint(GPU_KEYS) else gpus_named(span.attributes)
    return Sender(clues.service, request.dialect, gpu_ids((*request.gpus, *named)) or clues.gpus)


def front_ends(requests: Sequence[Request]) -> list[bool]:
    """Tell the requests that others of the same trace do the work of: theirs is the energy."""
    worked = {one.span.trace_id for one in requests if one.role is Role.WORKER}
    return [one.role is Role.SERVER and one.phase is Phase.WHOLE and one.span.trace_id in worked for one in requests]


def placements(
    senders: Iterable[Sender],
    engines: Sequence[EngineConfig],
    recorded: Mapping[str, Sequence[str]],
    gpus: Sequence[Gpu],
) -> dict[Sender, Placement]:
    """Place senders on `gpus`, those whose energy is known. `recorded` are the GPUs of engines that an agent knew."""
    configured = {engine.service_name or engine.name: engine for engine in reversed(engines)}
    found = {sender: _placed(sender, configured, recorded, gpus) for sender in senders}
    names = {placement.engine for placement in found.values()}
    if len(names | recorded.keys() | {engine.name for engine in engines}) == 1:
        alone = {one: told._replace(gpus=tuple(gpus), reason=None) for one, told in found.items() if not told.gpus}
        found |= {one: told for one, told in alone.items() if found[one].reason == NOT_TOLD}
    return found


def _placed(
    sender: Sender, engines: Mapping[str, EngineConfig], recorded: Mapping[str, Sequence[str]], gpus: Sequence[Gpu]
) -> Placement:
    configured = engines.get(sender.service) if sender.service else None
    engine = configured.name if configured else engine_name(sender.service, sender.dialect)
    for words in (configured.gpus if configured else (), sender.gpus, recorded.get(engine, ())):
        if words:
            named = dict.fromkeys(gpu for word in words if isinstance(gpu := gpu_called(word, gpus), Gpu))
            # In the order of `gpus`, so that the same ones are the same engine however they were named.
            order = tuple(gpu for gpu in gpus if gpu in named)
            return Placement(engine, order) if order else Placement(engine, reason=Reason.UNKNOWN_GPU)
    return Placement(engine, reason=NOT_TOLD)

# SPDX-License-Identifier: Apache-2.0
"""What the metrics of serving engines are about, beside those entities that requests and engines share."""

from typing import Annotated, NamedTuple, TypeAlias

from agent.entity import Attr

EngineName: TypeAlias = Annotated[str, Attr("engine", "Name of the engine on this node")]
Model: TypeAlias = Annotated[str | None, Attr("gen_ai.request.model", "Model name as requested")]
Rank: TypeAlias = Annotated[str | None, Attr("engine.rank", "Data-parallel rank, where the engine has several")]


class EngineReason(NamedTuple):
    """Requests of an engine, by a reason of the engine's."""

    engine: EngineName
    model: Model
    reason: Annotated[str, Attr("reason", "Why, in the engine's word")]
    rank: Rank = None

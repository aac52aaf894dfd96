# SPDX-License-Identifier: Apache-2.0
"""How entities work: their fields are the attributes of their series.

An entity is a named tuple whose fields are annotated with the attribute they stand for; a field that
is itself an entity contributes that entity's attributes. A field that is None is left out. An entity that
is a piece of hardware has `hw.type` after its id.
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, NamedTuple, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

Entity: TypeAlias = tuple[Any, ...]
"""Any of the named tuples of agent.entities."""
E = TypeVar("E", bound=Entity)


class Attr(NamedTuple):
    """An attribute in OpenTelemetry's spelling, and what it says."""

    name: str
    brief: str


_HARDWARE: dict[type[Entity], str] = {}


def hardware(kind: str) -> Callable[[type[E]], type[E]]:
    """Mark an entity as a piece of hardware of this `hw.type`."""

    def mark(entity: type[E]) -> type[E]:
        _HARDWARE[entity] = kind
        return entity

    return mark


@cache
def _schema(entity: type[Entity]) -> tuple[tuple[int, Attr | None], ...]:
    hints = get_type_hints(entity, include_extras=True)
    fields = getattr(entity, "_fields")  # noqa: B009 - a named tuple's, which the alias cannot say
    return tuple(
        (index, get_args(hints[field])[1] if get_origin(hints[field]) is Annotated else None)
        for index, field in enumerate(fields)
    )


@cache
def attributes_of(entity: type[Entity]) -> tuple[Attr, ...]:
    """List the attributes that the series of this kind of entity can have, in order."""
    hints = get_type_hints(entity, include_extras=True)
    fields = tuple(getattr(entity, "_fields"))  # noqa: B009 - as above
    found: list[Attr] = []
    for (_, attr), field in zip(_schema(entity), fields, strict=True):
        found.extend(attributes_of(hints[field]) if attr is None else [attr])
    if kind := _HARDWARE.get(entity):
        found.insert(1, Attr("hw.type", kind))
    return tuple(found)


def attributes(entity: Entity) -> tuple[tuple[str, str], ...]:
    """Name the entity: pairs of attribute and value, absent ones left out, in the order of its fields."""
    pairs: list[tuple[str, str]] = []
    for index, attr in _schema(type(entity)):
        value = entity[index]
        if attr is None:
            pairs.extend(attributes(value))
        elif value is not None:
            pairs.append((attr.name, str(value)))
    if kind := _HARDWARE.get(type(entity)):
        pairs.insert(1, ("hw.type", kind))
    return tuple(pairs)

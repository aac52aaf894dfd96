# SPDX-License-Identifier: Apache-2.0
"""What the sender of a span says about where it runs: its service, process, container, pod and GPUs."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from agent.otlp.values import Value
from agent.spans import Peer, Source

GPU_KEYS = frozenset(
    {
        "gpu.uuid",
        "gpu.uuids",
        "hw.id",
        "nvidia.gpu.uuid",
        "cuda.visible_devices",
        "CUDA_VISIBLE_DEVICES",
        "joulespan.gpu.ids",
    }
)
"""Attributes, of a resource or a span, that can name GPUs. The last is what an agent nearer to them has written."""
_PID_KEYS = ("process.pid", "vllm.process_id")
_LONGEST = 256
MOST = 64
"""Ids or numbers of one sender that are looked at; no machine has more GPUs."""
# An index counts what one process was let see, so only what names a GPU everywhere counts: a UUID or the start of one.
_UUID = re.compile(r"(?:(?:GPU|MIG)-)?[0-9a-f]{8}(?:-[0-9a-f]{0,12}){0,4}", re.IGNORECASE)


class Clues(NamedTuple):
    """What is known of a sender. Two with equal clues are in the same place."""

    peer: Peer | None = None
    service: str | None = None
    instance: str | None = None
    container: str | None = None
    pod: str | None = None
    pids: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()


def clues_of(source: Source) -> Clues:
    """Read the clues in the attributes of a resource."""
    told = source.attributes
    container = _text(told.get("container.id"))
    pod = _text(told.get("k8s.pod.uid"))
    return Clues(
        source.peer,
        _text(told.get("service.name")),
        _text(told.get("service.instance.id")),
        # Kubernetes writes containerd://ID.
        container and container.rpartition("/")[2].lower(),
        pod and pod.lower(),
        tuple(_numbers(told.get(key) for key in _PID_KEYS)),
        gpus_named(told),
    )


def gpus_named(attributes: Mapping[str, Value]) -> tuple[str, ...]:
    """Read the ids of GPUs in attributes: lists, or texts with commas."""
    if attributes.keys().isdisjoint(GPU_KEYS):
        return ()
    words = (word for key in sorted(GPU_KEYS) for word in _words(attributes.get(key)))
    return gpu_ids(words)


def gpu_ids(words: Iterable[str]) -> tuple[str, ...]:
    """Keep what names a GPU everywhere, once each."""
    return tuple(dict.fromkeys(word for word in words if _UUID.fullmatch(word)))[:MOST]


def _words(value: Value) -> Iterator[str]:
    for one in value[:MOST] if isinstance(value, list) else [value]:
        if isinstance(one, str):
            yield from (word.strip() for word in one.split(",", MOST)[:MOST])


def _numbers(values: Iterable[Value]) -> Iterator[int]:
    for value in values:
        number = int(value) if isinstance(value, str) and len(value) <= MOST and value.isdecimal() else value
        if isinstance(number, int) and not isinstance(number, bool) and number > 0:
            yield number


def _text(value: Value) -> str | None:
    return value[:_LONGEST] or None if isinstance(value, str) else None

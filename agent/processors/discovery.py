# SPDX-License-Identifier: Apache-2.0
"""Which ports of this node may be those of serving engines, and what an engine is called.

Looked at are the processes that lead to a GPU, and those that sent spans, with or without one: a front end. What
listens there is a candidate; only its page tells whether it is an engine. An engine should be called as its request
spans are, so that the two are joined: see name_of.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from agent.config import Engine as EngineConfig
from agent.processors.clues import Clues
from agent.processors.kinship import Device, Kinship, Machine
from agent.processors.senders import Reason
from agent.processors.topology import Placement, Sender, gpu_called
from agent.spans import Peer
from agent.system.listening import Listener, Listening
from agent.system.sockets import is_loopback

_LOOKUPS = 16
"""Senders that name no process and are looked for in one go: each costs a look into every process."""
_MOST_SENDERS = 1024


class Node(Machine, Protocol):
    """Answers on processes and their sockets; see agent.system.machine.LocalMachine. Calls block and never raise."""

    def listening(self, pids: Iterable[int]) -> Listening:
        """Find the sockets on which these processes listen."""
        ...

    def service_name(self, pid: int) -> str | None:
        """Tell what OpenTelemetry calls a process by its environment."""
        ...

    def addresses(self) -> frozenset[str]:
        """List the addresses of the agent's own network."""
        ...


class Candidate(NamedTuple):
    """A port that may be an engine's, the GPUs that its process leads to, and what spans of it were called."""

    listener: Listener
    gpus: tuple[Device, ...] = ()
    placed: str | None = None


class Survey(NamedTuple):
    """What one look at the processes found, and how many of them could not be looked into for want of a right."""

    candidates: tuple[Candidate, ...] = ()
    refused: int = 0


class Senders:
    """The processes of who sent spans. Keeps what it found for as long as they are said to send."""

    def __init__(self) -> None:
        """Know nobody."""
        self._known: dict[Peer, tuple[int, ...]] = {}

    def processes(self, senders: Iterable[Sender], kinship: Kinship) -> dict[int, Placement]:
        """Find the process of each sender, and where its requests were placed; the last one counts."""
        found: dict[int, Placement] = {}
        known, self._known = self._known, {}
        lookups = 0
        for sender in list(senders)[-_MOST_SENDERS:]:
            peer = sender.clues.peer
            pids = _numbered(sender.clues, kinship) if _is_here(sender) else ()
            if not pids and peer is not None:
                pids = tuple(pid for pid in known.get(peer, ()) if pid in kinship.table)
                if not pids and lookups < _LOOKUPS:
                    lookups += 1
                    pids = _behind(peer, kinship)
                self._known[peer] = pids
            found.update(dict.fromkeys(pids, sender.placement))
        return found


def survey(
    node: Node, kinship: Kinship, sent: Mapping[int, Placement], placements: Iterable[Placement], known: Collection[int]
) -> Survey:
    """List the candidates, of the processes that lead to GPUs, of those that sent spans, and of those that are known.

    An engine that is known stays so while the GPUs cannot be read.
    """
    found = node.listening({*kinship.relatives, *sent, *known})
    placed = _ByGpus(placements)
    candidates: dict[tuple[int, bool, int], Candidate] = {}
    for listener in sorted(found.listeners, key=lambda one: (one.host.count(":"), one)):
        # A port that is open for IPv4 and IPv6, or for several workers, is one.
        known = (listener.port, listener.own_network, 0 if listener.own_network else listener.pid)
        gpus = kinship.gpus_of(listener.pid)
        name = _by_process(listener.pid, sent, kinship) or placed.name(gpus)
        candidates.setdefault(known, Candidate(listener, gpus, name))
    return Survey(tuple(candidates.values()), found.refused)


def name_of(candidate: Candidate, kind: str, service: str | None, engines: Sequence[EngineConfig]) -> str:
    """Name an engine: by the configuration; as its spans were placed; by its environment; by its kind and port."""
    for engine in engines:
        if service and (engine.service_name or engine.name) == service:
            return engine.name
        named = {gpu for word in engine.gpus if (gpu := gpu_called(word, candidate.gpus))}
        if len(named) == len(engine.gpus) and named and named == set(candidate.gpus):
            return engine.name
    return candidate.placed or service or f"{kind}:{candidate.listener.port}"


def unique_names(wanted: Mapping[str, str], kept: Mapping[str, str], first: Collection[str] = ()) -> dict[str, str]:
    """Give every engine a name of its own, by its address: what it wants, or that and its address.

    Those in `first` come first; then those that already had what they want: they keep it, whoever else comes to want
    it.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for address in sorted(wanted, key=lambda one: (one not in first, kept.get(one) != wanted[one], one)):
        name = next(name for name in _names(wanted[address], address) if name not in taken)
        found[address] = name
        taken.add(name)
    return found


def _names(name: str, address: str) -> Iterator[str]:
    yield name
    yield f"{name}:{urlsplit(address).port}"
    yield f"{name} at {address}"


def _by_process(pid: int, sent: Mapping[int, Placement], kinship: Kinship) -> str | None:
    """Find what the spans of a process were called, or those of its family, if these agree."""
    if pid in sent:
        return sent[pid].engine
    return _only({placement.engine for sender, placement in sent.items() if kinship.related(pid, sender)})


class _ByGpus:
    """What the spans of GPUs were called."""

    def __init__(self, placements: Iterable[Placement]) -> None:
        self._names: dict[tuple[Device, ...], set[str]] = {}
        for placement in placements:
            if placement.gpus:
                self._names.setdefault(placement.gpus, set()).add(placement.engine)

    def name(self, gpus: tuple[Device, ...]) -> str | None:
        """Give the one name of exactly these GPUs, or else of any of them."""
        touching = [names for others, names in self._names.items() if not set(gpus).isdisjoint(others)]
        return _only(self._names.get(gpus, ())) or _only({name for names in touching for name in names})


def _only(names: Collection[str]) -> str | None:
    return next(iter(names)) if len(names) == 1 else None


def _is_here(sender: Sender) -> bool:
    """Say whether the processes that a sender names are of this machine."""
    peer, placement = sender.clues.peer, sender.placement
    return (
        placement.source == "pid"
        or placement.reason == Reason.NO_GPU_HELD
        or (peer is not None and is_loopback(peer.host))
    )


def _numbered(clues: Clues, kinship: Kinship) -> tuple[int, ...]:
    """Give the processes that a sender names, where a number is that of one process alone."""
    found = (kinship.numbered(number) for number in clues.pids)
    return tuple(pids[0] for pids in found if len(pids) == 1 and pids[0] != 1)


def _behind(peer: Peer, kinship: Kinship) -> tuple[int, ...]:
    end = kinship.end_of(peer)
    if end is None or end.inode is None:
        return ()
    return kinship.owners(end.inode).pids or kinship.machine.owners(end.inode, kinship.table).pids

# SPDX-License-Identifier: Apache-2.0
"""What the LLDP daemon of this host heard at its interfaces, from `lldpcli`."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from agent.errors import NotSupported, Unavailable

COMMAND = ("lldpcli", "-f", "json0", "show", "neighbors")
"""Of json0 the structure is the same for one neighbour and for many; that of json is not."""
_MOST = 4 << 20
"""Bytes of an answer."""
_LONGEST = 5.0
"""Seconds until the command is ended: it waits for the daemon for as long as that hangs."""
_KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
"""What it needs of the environment. What is left out can hold the agent's own secrets."""
_TEXT = 256


class LldpNeighbour(NamedTuple):
    """What is at the other end of the cable of an interface."""

    interface: str
    system: str | None
    chassis: str | None
    port: str | None


def neighbours(command: Sequence[str] = COMMAND) -> list[LldpNeighbour]:
    """Ask the daemon. Raises NotSupported where there is no such command, Unavailable where it gives no answer."""
    if shutil.which(command[0]) is None:
        raise NotSupported(f"{command[0]}: no such command")
    return parse(_output(command))


def parse(answer: bytes) -> list[LldpNeighbour]:
    """Read an answer in the format json0. Raises Unavailable where it is none."""
    try:
        told = msgspec.json.decode(answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unavailable("lldpcli: its answer is no JSON") from error
    return [
        LldpNeighbour(name, _first(chassis, "name"), _first(chassis, "id"), _first(port, "id"))
        for lldp in _all(told, "lldp")
        for interface in _all(lldp, "interface")
        if (name := _word(interface, "name")) is not None
        for chassis in (*_all(interface, "chassis"), {})[:1]
        for port in (*_all(interface, "port"), {})[:1]
    ]


def _output(command: Sequence[str]) -> bytes:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's configuration names it
            [*command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=environment,
        )
    except OSError as error:
        raise Unavailable(f"{command[0]}: cannot be run: {error.strerror}") from error
    assert process.stdout is not None
    timer = threading.Timer(_LONGEST, process.kill)
    timer.start()
    try:
        answer = process.stdout.read(_MOST + 1)
        if len(answer) > _MOST:
            raise Unavailable(f"{command[0]}: an answer of more than {_MOST} bytes")
    finally:
        timer.cancel()
        process.stdout.close()
        process.kill()
        status = process.wait()
    if status != 0 and not answer:
        raise Unavailable(f"{command[0]}: no answer; is lldpd running, and may this user ask it?")
    return answer


def _all(told: Any, key: str) -> Iterator[dict[str, Any]]:
    some = told.get(key) if isinstance(told, dict) else None
    for one in some if isinstance(some, list) else ():
        if isinstance(one, dict):
            yield one


def _first(told: dict[str, Any], key: str) -> str | None:
    return next((word for one in _all(told, key) if (word := _word(one, "value")) is not None), None)


def _word(told: dict[str, Any], key: str) -> str | None:
    word = told.get(key)
    return word.strip()[:_TEXT] or None if isinstance(word, str) else None

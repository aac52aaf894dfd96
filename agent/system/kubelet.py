# SPDX-License-Identifier: Apache-2.0
"""Asks the kubelet of this node which devices pods have: its PodResources API, over a socket.

Each question opens a connection of its own: there is none to go stale when the kubelet restarts, and no pause after an
earlier failure. The folder of the socket, and not the socket, is what a container has to mount, for the same reason.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import NoPermission, NotSupported, Unavailable
from agent.system.pod_resources import Given, Offered, given, offered, request_of

SOCKET = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
T = TypeVar("T")
_SERVICE = "/v1.PodResourcesLister/"
_LARGEST = 16 << 20
"""Bytes of an answer, as the kubelet's own clients take."""
_LONGEST = 200
_OPTIONS = (
    ("grpc.max_receive_message_length", _LARGEST),
    # By default the name of the host is the path of the socket, with %2F in it, which servers in Go refuse.
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_http_proxy", 0),
    # A connection of its own, and not one that an earlier question has found broken and waits to open again.
    ("grpc.use_local_subchannel_pool", 1),
)


class Kubelet:
    """Asks. Every method blocks, at most for the deadline.

    They raise NotSupported where there is no socket now, NoPermission where it is not for us, Unavailable where no
    answer comes, or none that can be read.
    """

    def __init__(self, socket: Path = SOCKET, deadline: float = 2.0) -> None:
        """Ask at `socket`; `deadline` is in seconds."""
        self._socket = socket
        self._deadline = deadline

    def given(self) -> list[Given]:
        """Tell all devices that containers of this node have (List)."""
        return _read(given, self._ask("List", b""))

    def given_to(self, namespace: str, pod: str) -> list[Given]:
        """Tell the devices of one pod (Get). Kubelets before 1.34 do not answer it by default."""
        return _read(given, self._ask("Get", request_of(namespace, pod)))

    def offered(self) -> list[Offered]:
        """Tell all devices that there are for containers (GetAllocatableResources)."""
        return _read(offered, self._ask("GetAllocatableResources", b""))

    def _ask(self, method: str, body: bytes) -> bytes:
        import grpc  # noqa: PLC0415 - only where there is a kubelet

        self._look()
        with grpc.insecure_channel(f"unix:{self._socket}", options=_OPTIONS) as channel:
            try:
                answer: bytes = channel.unary_unary(_SERVICE + method)(body, timeout=self._deadline)
            except grpc.RpcError as error:
                raise Unavailable(f"{self._socket}: {method}: {_reason(error)}") from error
        return answer

    def _look(self) -> None:
        """See that there is a socket: gRPC says of a file that is not there only that it cannot connect."""
        try:
            self._socket.stat()
        except FileNotFoundError as error:
            raise NotSupported(f"{self._socket}: there is no kubelet") from error
        except OSError as error:
            raise _failure(self._socket, error) from error
        if not os.access(self._socket, os.W_OK):
            raise NoPermission(f"{self._socket}: not for this user: run as root, or CAP_DAC_OVERRIDE")


def _failure(path: Path, error: OSError) -> Unavailable:
    kind = NoPermission if isinstance(error, PermissionError) else Unavailable
    return kind(f"{path}: {error.strerror}")


def _reason(error: Any) -> str:
    return f"{error.code().name.lower()}: {(error.details() or '').partition(chr(10))[0][:_LONGEST]}"


def _read(decode: Callable[[bytes], list[T]], answer: bytes) -> list[T]:
    try:
        return decode(answer)
    except ValueError as error:
        raise Unavailable(f"the kubelet's answer cannot be read: {error}") from error

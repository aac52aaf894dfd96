# SPDX-License-Identifier: Apache-2.0
"""Who exports: the OpenTelemetry resource of this agent, the same in every signal and in target_info.

Written without opentelemetry-sdk, because an agent that is only scraped does not load it.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

log = logging.getLogger(__name__)

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64", "i686": "x86", "armv7l": "arm32"}
"""host.arch in the spelling of the semantic conventions, by the kernel's."""


def resource_attributes(environ: Mapping[str, str], *, root: Path = Path("/"), version: str) -> dict[str, str]:
    """Describe this agent and its host.

    OTEL_RESOURCE_ATTRIBUTES adds attributes and replaces detected ones, OTEL_SERVICE_NAME wins over both.
    service.instance.id, of which the label `instance` of pushed series is made, is the name of the host. What the host
    does not tell is absent.
    """
    found = {"service.name": "joulespan", "service.version": version, **dict(_host(root)), "os.type": "linux"}
    found |= dict(_given(environ.get("OTEL_RESOURCE_ATTRIBUTES", "")))
    if name := environ.get("OTEL_SERVICE_NAME"):
        found["service.name"] = name
    found.setdefault("service.instance.id", found["host.name"])
    return found


def _host(root: Path) -> Iterator[tuple[str, str]]:
    kernel = os.uname()
    yield "host.name", _line(root / "proc/sys/kernel/hostname") or kernel.nodename
    identity = _line(root / "etc/machine-id")
    # systemd writes "uninitialized" during a first boot.
    if identity and re.fullmatch("[0-9a-f]{32}", identity):
        yield "host.id", identity
    yield "host.arch", _ARCHITECTURES.get(kernel.machine, kernel.machine)


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _given(text: str) -> Iterator[tuple[str, str]]:
    """Read OTEL_RESOURCE_ATTRIBUTES: `key=value,key=value`, percent-encoded. A pair that is malformed is left out."""
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = pair.partition("=")
        try:
            name, content = _decode(key), _decode(value)
        except ValueError:
            name = ""
        if name and equals:
            yield name, content
        else:
            log.warning("OTEL_RESOURCE_ATTRIBUTES: %r is no percent-encoded key=value, left out", pair)


def _decode(text: str) -> str:
    if re.search("%(?![0-9a-fA-F]{2})", text):
        raise ValueError(text)
    return unquote(text.strip(), errors="strict")

# SPDX-License-Identifier: Apache-2.0
"""What values of the configuration look like: durations, addresses, sizes and URLs, as people write them."""

import math
import re
from urllib.parse import urlsplit

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_ADDRESS = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s:\[\]]+):(?P<port>[0-9]{1,5})")
_SHIFTS = {"KiB": 10, "MiB": 20, "GiB": 30}
_PAGE = re.compile(r"[!-~]{1,2048}")
_SIZE = re.compile(r"([0-9]{1,6}) ?(KiB|MiB|GiB)")


class Duration(float):
    """Seconds, written as 100ms, 1s, 15m, 2h."""

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Read a duration. Raises ValueError."""
        if isinstance(text, str) and (found := _DURATION.fullmatch(text.strip())):
            seconds = float(found[1]) * _UNITS[found[2]]
            if math.isfinite(seconds):
                return cls(seconds)
        message = f"`{text}` is no duration: write a number with its unit, as in 100ms, 1s, 15m"
        raise ValueError(message)


class Address(str):
    """HOST:PORT; an IPv6 host in brackets; port 0 takes a free one."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> "Address":
        """Read an address. Raises ValueError."""
        if (found := _ADDRESS.fullmatch(str(text))) and int(found["port"]) < 1 << 16:
            return cls(text)
        message = f"`{text}` is no address: write HOST:PORT, as in 127.0.0.1:9840"
        raise ValueError(message)

    @property
    def host(self) -> str:
        """Host, without brackets."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Port."""
        return int(self.rpartition(":")[2])


class OptionalAddress(Address):
    """An address, or nothing: then nobody listens."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> "OptionalAddress":
        """Read an address or an empty text. Raises ValueError."""
        return cls("") if text == "" else cls(Address.parse(text))


class Size(int):
    """Bytes, written as 64MiB, 512KiB, 1GiB."""

    @classmethod
    def parse(cls, text: object) -> "Size":
        """Read a size. Raises ValueError."""
        if (found := _SIZE.fullmatch(str(text).strip())) and int(found[1]):
            return cls(int(found[1]) << _SHIFTS[found[2]])
        message = f"`{text}` is no size: write a whole number with its unit, as in 64MiB"
        raise ValueError(message)


class PageUrl(str):
    """The URL of a page, http://HOST:PORT/PATH or https, without credentials: they are never sent."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> "PageUrl":
        """Read a URL. Raises ValueError."""
        try:
            parts = urlsplit(str(text).strip())
            whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if not whole or not _PAGE.fullmatch(str(text).strip()):
            message = f"`{text}` is no page: write http://HOST:PORT/metrics, other characters as %XX"
            raise ValueError(message)
        if parts.username is not None or parts.password is not None:
            message = "a URL with a name or password in it: they are never sent"
            raise ValueError(message)
        return cls(str(text).strip())

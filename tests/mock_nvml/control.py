# SPDX-License-Identifier: Apache-2.0
"""The fault switch of the mock library: the control file that running processes re-read."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class ControlFile:
    """The keys of one control file. Each change replaces the file at once; processes see it within 10 ms.

    Keys hold dots, so they are passed as a mapping: `control.set(**{"lost.2": 1})`.
    """

    path: Path
    keys: dict[str, object] = field(default_factory=dict)

    def set(self, **keys: object) -> None:
        """Add or change keys."""
        self.keys.update(keys)
        self._write()

    def clear(self, *keys: str) -> None:
        """Take keys back; without arguments, all of them."""
        for key in keys or tuple(self.keys):
            self.keys.pop(key, None)
        self._write()

    def _write(self) -> None:
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        aside.write_text(settings(self.keys, "\n") + "\n")
        aside.replace(self.path)


def settings(keys: Mapping[str, object], separator: str = ";") -> str:
    """Write keys as the library reads them, in MOCK_NVML_SET or in a file."""
    return separator.join(f"{key}={value}" for key, value in keys.items())


@dataclass(frozen=True)
class MockNvml:
    """A built mock library."""

    library_dir: Path

    def env(
        self,
        *,
        control: ControlFile | None = None,
        stats: Path | None = None,
        keys: Mapping[str, object] | None = None,
        **overrides: str,
    ) -> dict[str, str]:
        """Make the environment of a process that finds the mock as its NVML.

        `keys` are the start values, `control` the file it follows, `stats` where it counts its calls;
        `overrides` are environment variables.
        """
        env = {**os.environ, "LD_LIBRARY_PATH": str(self.library_dir)}
        if keys:
            env["MOCK_NVML_SET"] = settings(keys)
        if control:
            env["MOCK_NVML_FILE"] = str(control.path)
        if stats:
            env["MOCK_NVML_STATS"] = str(stats)
        return env | overrides

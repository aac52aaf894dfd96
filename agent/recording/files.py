# SPDX-License-Identifier: Apache-2.0
"""The files of a recording that is written: lines are appended, and what could not be written whole is cut off."""

import os
from contextlib import suppress
from pathlib import Path

from agent.errors import ConfigError, RecordingError
from agent.recording import METRICS, TRACES


class Files:
    """A new folder with its two files. For one thread."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and open the files. Raises ConfigError where it has something in it already."""
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise ConfigError(f"{folder}: is not empty; name a folder that is empty or does not exist")
            self._open = {name: (folder / name).open("xb", buffering=0) for name in (METRICS, TRACES)}
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be written to: {error.strerror}") from error
        self.written = dict.fromkeys(self._open, 0)
        """Bytes in each."""

    def append(self, name: str, data: bytes) -> None:
        """Add whole lines. Raises RecordingError; the file then ends with what it had before."""
        file, rest = self._open[name], memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) or 0 :]
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(file.fileno(), self.written[name])
            raise RecordingError(f"{self.folder / name}: cannot be written to: {error.strerror}") from error
        self.written[name] += len(data)

    def close(self) -> None:
        """Close them. Where nothing was written they go, so that the folder can be named again."""
        for name, file in self._open.items():
            file.close()
            if not any(self.written.values()):
                (self.folder / name).unlink(missing_ok=True)

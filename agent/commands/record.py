# SPDX-License-Identifier: Apache-2.0
"""`joulespan record DIR`: the agent, and what it sees written into a folder."""

import os
from collections.abc import Callable
from pathlib import Path

from agent.clock import SystemClock
from agent.commands.run import run
from agent.config import Config
from agent.recording.files import Files
from agent.recording.recorder import Recorder
from agent.resource import resource_attributes
from agent.version import VERSION

_GRACE = 10.0
"""Seconds in which what waits is written at the end."""


def record(load: Callable[[], Config], folder: Path, *, demo: bool = False, seconds: float | None = None) -> int:
    """Run until told to stop, and record. Raises ConfigError. Exit code 1 where the recording ended early."""
    load()  # What is wrong with the configuration is said before anything is made.
    recorder = Recorder(Files(folder), SystemClock(), resource_attributes(os.environ, version=VERSION))
    recorder.start()
    try:
        code = run(load, demo=demo, seconds=seconds, recorder=recorder)
    finally:
        recorder.stop(_GRACE)
    print(recorder.summary())
    return 1 if recorder.failure else code

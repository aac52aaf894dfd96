# SPDX-License-Identifier: Apache-2.0
"""The folder in which a batch system's prolog writes which jobs have which GPU, as dcgm-exporter reads it.

A file for each GPU, named by its index, or by the UUID of the GPU or MIG instance; in it a job's id in each line. What
comes after the id in a line, as the user's number, is not read.
"""

import re
from pathlib import Path

from agent.errors import NoPermission, NotSupported, Unavailable
from agent.system.processes import read

_MOST_FILES, _MOST_JOBS = 256, 64
_LIMIT = 64 << 10
_JOB = re.compile(r"[0-9A-Za-z_.+-]{1,64}")


def job_map(folder: Path) -> dict[str, list[str]]:
    """Read it: the ids of jobs by the name of the file. Raises NotSupported where there is no folder, Unavailable."""
    try:
        names = sorted(file.name for file in folder.iterdir())[:_MOST_FILES]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotSupported(f"{folder}: there is no such folder") from error
    except OSError as error:
        kind = NoPermission if isinstance(error, PermissionError) else Unavailable
        raise kind(f"{folder}: {error.strerror}") from error
    return {name: jobs for name in names if (jobs := jobs_in(read(folder / name, _LIMIT) or b""))}


def jobs_in(text: bytes) -> list[str]:
    """Read the ids of a file, once each."""
    words = (line.split(maxsplit=1) for line in text.decode("utf-8", "replace").splitlines())
    return list(dict.fromkeys(word[0] for word in words if word and _JOB.fullmatch(word[0])))[:_MOST_JOBS]

# SPDX-License-Identifier: Apache-2.0
"""Compiles the mock NVML library: `python -m tests.mock_nvml.build [OUT_DIR]`."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

SOURCES = Path(__file__).parent
DEFAULT_OUT = SOURCES.parents[1] / "build" / "mock_nvml"
LIBRARY = "libnvidia-ml.so.1"
"""The name that nvidia-ml-py loads."""
FLAGS = (
    "-std=c11",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Wmissing-prototypes",
    "-Werror",
    "-shared",
    "-fPIC",
    "-fvisibility=hidden",
)


class BuildError(Exception):
    """The compiler refused the sources. The message is what it said."""


class ToolMissing(BuildError):
    """There is no compiler or no header. The message says what to install."""


def header_dir() -> Path:
    """Find the folder of nvml.h in the installed package nvidia-nvml-dev."""
    try:
        files = metadata.files("nvidia-nvml-dev") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "nvml.h":
            return Path(str(file.locate())).parent
    message = "nvml.h not found: install the development dependency nvidia-nvml-dev"
    raise ToolMissing(message)


def is_fresh(library: Path) -> bool:
    """Whether the library is newer than everything it is made of."""
    if not library.exists():
        return False
    built = library.stat().st_mtime
    inputs = (*SOURCES.glob("*.[ch]"), Path(__file__))
    return all(path.stat().st_mtime < built for path in inputs)


def build(out_dir: Path = DEFAULT_OUT) -> Path:
    """Leave the library in `out_dir`, compiled anew only where a source is newer; return its path."""
    library = out_dir / LIBRARY
    if is_fresh(library):
        return library
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        message = "no C compiler: install one (cc) or name it in CC"
        raise ToolMissing(message)
    out_dir.mkdir(parents=True, exist_ok=True)
    sources = sorted(map(str, SOURCES.glob("*.c")))
    # Compiled aside and renamed: a process that has the old library mapped keeps it whole.
    with tempfile.TemporaryDirectory(dir=out_dir) as aside:
        fresh = Path(aside) / LIBRARY
        command = [compiler, *FLAGS, f"-I{header_dir()}", f"-Wl,-soname,{LIBRARY}", "-o", str(fresh), *sources]
        done = subprocess.run([*command, "-lm", "-lpthread"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(done.stderr)
        fresh.replace(library)
    return library


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{build(*map(Path, sys.argv[1:2]))}\n")
    except BuildError as error:
        sys.exit(f"mock NVML: {error}")

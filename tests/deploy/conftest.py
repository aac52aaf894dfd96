# SPDX-License-Identifier: Apache-2.0
"""The agent as it is packed: what the image and the Debian package hold."""

import os
import shutil
import subprocess
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "deploy" / "container"
PYTHON = Path("/usr/bin/python3")
PREFIX = "/usr/lib/joulespan"
COMMIT_TIME = 1_700_000_000


def ignored(path: PurePosixPath, rules: list[str]) -> bool:
    """Say whether a file stays out of the context of a build: the last rule that it or a folder of it matches."""
    out = False
    for rule in rules:
        pattern = rule.removeprefix("!")
        names = [str(path), *(str(parent) for parent in path.parents)][:-1]
        if pattern.startswith("**/"):
            names, pattern = list(path.parts), pattern.removeprefix("**/")
        if any(fnmatch(name, pattern) for name in names):
            out = not rule.startswith("!")
    return out


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an engine sends to the build of the image: the committed files that are not ignored."""
    rules = (CONTAINER / "Containerfile.dockerignore").read_text().split()
    folder = tmp_path_factory.mktemp("context")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    files = listed.stdout.split() or [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    for name in files:
        if not ignored(PurePosixPath(name), rules) and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def tree(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent laid by the same command as in the build of the image, from the context alone."""
    if subprocess.run(["dpkg", "--search", str(PYTHON)], capture_output=True, check=False).returncode:
        pytest.skip("this machine's Python is none of Debian's")
    root = tmp_path_factory.mktemp("tree")
    command = ["sh", str(context / "scripts" / "install.sh"), str(PYTHON), PREFIX, str(root)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, timeout=600, env=environment | {"SOURCE_DATE_EPOCH": str(COMMIT_TIME)})
    return root

# SPDX-License-Identifier: Apache-2.0
"""Serving engines that are installed beside the checkout: without them every test here is skipped and says why."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import model as tiny

_ENGINES = Path(__file__).parents[2] / "build/engines"
_ROUTES = Path("/proc/net/route")


@pytest.fixture(scope="session", autouse=True)
def alone() -> None:
    """Skip where there is a network: Dynamo's workers listen on every address, whatever they are told."""
    if len(_ROUTES.read_text().splitlines()) > 1:
        pytest.skip("engines are run in a network of their own: make test-engines")


@pytest.fixture(scope="session")
def venv(alone: None) -> Callable[[str], Path]:
    """Give the virtual environment of an engine."""

    def found(engine: str) -> Path:
        if not (_ENGINES / engine / "installed").exists():
            pytest.skip(f"{engine} is not installed in build/engines: make test-engines")
        return _ENGINES / engine

    return found


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the model that all engines serve."""
    folder = tmp_path_factory.mktemp("model") / tiny.NAME
    tiny.write(folder)
    return folder

# SPDX-License-Identifier: Apache-2.0
"""Fixtures that tests of several folders share."""

from pathlib import Path

import pytest

from tests.mock_nvml.build import ToolMissing, build
from tests.mock_nvml.control import ControlFile, MockNvml


@pytest.fixture(scope="session")
def mock_nvml() -> MockNvml:
    """Give the mock NVML library, built where its sources are newer."""
    try:
        return MockNvml(build().parent)
    except ToolMissing as error:
        pytest.skip(f"mock NVML: {error}")


@pytest.fixture
def nvml_control(tmp_path: Path) -> ControlFile:
    """Give each test a control file of its own."""
    return ControlFile(tmp_path / "nvml.control")

# SPDX-License-Identifier: Apache-2.0
"""Fixtures that tests of several folders share."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.mock_nvml.build import ToolMissing, build
from tests.mock_nvml.control import ControlFile, MockNvml

# A busy machine is no failure: no test is timed.
settings.register_profile("joulespan", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("joulespan")


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

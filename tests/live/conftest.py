# SPDX-License-Identifier: Apache-2.0
"""The installation that all tests of this folder look at."""

from collections.abc import Iterator

import pytest

from tests.live.stack import Stack, stack


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Give an installation after one round of faults."""
    with stack(tmp_path_factory.mktemp("live")) as running:
        yield running

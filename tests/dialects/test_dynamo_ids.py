# SPDX-License-Identifier: Apache-2.0
"""One worker has one id, in whichever way it is written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.dialects.dynamo_ids import decimal
from agent.dialects.forward_pass import decode
from agent.dialects.pages import Translator
from agent.entity import attributes
from agent.exposition import Parser
from tests.dialects.test_dynamo import RECORDINGS


@pytest.mark.parametrize(
    "worker", ["aggregated/worker-0", "aggregated/worker-1", "disaggregated/prefill-0", "disaggregated/decode-0"]
)
def test_a_workers_page_and_its_trace_name_the_same_worker(worker: str) -> None:
    mode, name = worker.split("/")
    folder = RECORDINGS / f"dynamo-{mode}"
    page = Parser().parse((folder / f"metrics_worker_{name}.prom").read_bytes())
    samples = Translator("engine", "dynamo").translate(page)
    scraped = {dict(attributes(one.series.entity)).get("worker") for one in samples} - {None}
    lines = (folder / f"forward_pass_{name}.jsonl").read_bytes().splitlines()
    traced = {str(one.worker) for line in lines if (one := decode(line))}
    assert scraped == traced
    assert len(traced) == 1


@given(st.integers(0, (1 << 64) - 1))
def test_every_id_is_the_same_however_it_is_written(worker: int) -> None:
    assert decimal(str(worker)) == decimal(worker) == worker


@pytest.mark.parametrize("text", ["", "-1", "1.0", "1e3", " 1", "18446744073709551616", "٣", "9" * 21, 1.0, True, None])
def test_what_is_no_decimal_id_is_none(text: object) -> None:
    assert decimal(text) is None

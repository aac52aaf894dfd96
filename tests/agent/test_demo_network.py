# SPDX-License-Identifier: Apache-2.0
"""The demo's NICs: shown, near to their GPUs, and told to the spans of the requests that these served."""

import json
import os
from pathlib import Path
from typing import Any

from agent.otlp.values import attributes
from tests.agent.collector import Collector
from tests.agent.running import Scrape, running
from tests.exporters.receivers import until

WAIT = 60.0


def shown(scrape: Scrape) -> bool:
    return bool(
        scrape.values("joulespan_rdma_io_bytes_total")
        and scrape.values("joulespan_nic_rdma_io_bytes_total")
        and scrape.values("joulespan_gpu_nic_info")
    )


def test_a_request_of_the_demo_is_told_what_its_nics_moved(tmp_path: Path) -> None:
    with Collector().running() as behind:
        file = tmp_path / "config.yaml"
        file.write_text(json.dumps({"exporters": {"traces": {"endpoint": behind.endpoint}}}))
        with running("demo", "--config", str(file), env=os.environ, log=tmp_path / "log") as agent:
            scrape = agent.until(shown, WAIT)

            def told() -> list[dict[str, Any]]:
                every: list[dict[str, Any]] = [dict(attributes(span.attributes)) for span in behind.spans()]
                return [one for one in every if one.get("joulespan.network.bytes")]

            until(lambda: len(told()) > 2, WAIT)
            found = told()
    near = [labels for labels in scrape.labels("joulespan_gpu_nic_info") if labels["nearest"] == "true"]
    nics = {labels["hw_id"]: labels["nic_id"] for labels in near}
    assert len(nics) == len(near) == 8
    assert {labels["path"] for labels in near} == {"PIX"}
    for one in found:
        gpus = one["joulespan.gpu.ids"]
        assert isinstance(gpus, list)
        assert one["joulespan.network.ids"] == [nics[gpu] for gpu in gpus]
        assert {"joulespan.network.congestion", "joulespan.network.retransmits"} <= one.keys()

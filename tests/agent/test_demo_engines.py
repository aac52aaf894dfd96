# SPDX-License-Identifier: Apache-2.0
"""The demo finds its simulated engines as it would find real ones, and says of them what they did."""

import os
from pathlib import Path

from agent.simulation import DEMO
from agent.simulation.batching import Batching, Step
from agent.simulation.workload import Workload
from tests.agent.running import Scrape, running

WAIT = 60.0


def both(scrape: Scrape) -> bool:
    names = ("joulespan_engine_iterations_total", "joulespan_engine_up", "joulespan_engine_gpu_info")
    return all(scrape.values(metric, engine=name) for metric in names for name in DEMO)


def test_engines_are_found_without_configuration_and_counts_are_those_of_the_simulation(tmp_path: Path) -> None:
    with running("demo", env=os.environ, log=tmp_path / "log") as agent:
        scrape = agent.until(both, WAIT)
    for name, deployment in DEMO.items():
        assert scrape.value("joulespan_engine_up", engine=name) == 1
        (info,) = [one for one in scrape.labels("joulespan_engine_scrape_info") if one["engine"] == name]
        assert (info["source"], info["engine_system"]) == ("process", "vllm")
        gpus = [one["hw_id"] for one in scrape.labels("joulespan_engine_gpu_info") if one["engine"] == name]
        assert len(gpus) == len(deployment.gpus)
        steps: list[Step] = []
        batching = Batching(deployment, Workload(deployment.traffic, deployment.seed), stepped=steps.append)
        done = int(scrape.value("joulespan_engine_iterations_total", engine=name))
        while len(steps) < done:
            batching.advance((steps[-1].end if steps else 0.0) + 1.0)
        step = steps[done - 1]
        tokens = {
            kind: scrape.value("joulespan_engine_tokens_total", engine=name, gen_ai_token_type=kind)
            for kind in ("input", "cached", "output")
        }
        assert tokens == {
            "input": step.computed_tokens,
            "cached": step.cached_tokens,
            "output": step.generated_tokens,
        }
        assert scrape.value("joulespan_engine_requests_running", engine=name) == step.running
        assert scrape.value("joulespan_engine_requests_waiting", engine=name) == step.waiting
    assert [agent.log.count(f"found vllm {name} at http://127.0.0.1:") for name in DEMO] == [1, 1]

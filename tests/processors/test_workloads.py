# SPDX-License-Identifier: Apache-2.0
"""What the names and the environment of pods tell of what they are of."""

import pytest

from agent.processors.workloads import Workload, workload


@pytest.mark.parametrize(
    ("pod", "found"),
    [
        ("llama-6b9d4f5c87-x2k4z", Workload(deployment="llama")),
        ("llama-3-70b-66b6c48dd5-7xh2p", Workload(deployment="llama-3-70b")),
        ("llama-0", Workload(stateful_set="llama")),
        ("deepseek-0-1", Workload(leader_worker_set="deepseek")),
        ("train-3-bqxzv", Workload(job="train")),
        ("nightly-29876400-x2k4z", Workload(job="nightly-29876400", cron_job="nightly")),
        ("nightly-29876400-0-x2k4z", Workload(job="nightly-29876400", cron_job="nightly")),
        # A Job's, a DaemonSet's or a bare ReplicaSet's: not told.
        ("exporter-x2k4z", Workload()),
        ("chat", Workload()),
        # Vowels are in no random end.
        ("llama-6b9d4f5c87-alpha", Workload()),
        ("model-20b", Workload()),
    ],
)
def test_the_form_of_a_name_tells_the_workload(pod: str, found: Workload) -> None:
    assert workload(pod) == found


def test_the_environment_of_a_leader_worker_set_is_certain_and_a_foreign_one_is_not_believed() -> None:
    told = {"LWS_LEADER_ADDRESS": "deepseek-0.deepseek.inference"}
    assert workload("deepseek-0", told) == Workload(leader_worker_set="deepseek")
    assert workload("deepseek-0-1", told) == Workload(leader_worker_set="deepseek")
    assert workload("other-0", told) == Workload(stateful_set="other")
    assert workload("other-0", {"LWS_LEADER_ADDRESS": "x" * 300}) == Workload(stateful_set="other")

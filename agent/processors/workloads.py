# SPDX-License-Identifier: Apache-2.0
"""Which Deployment, StatefulSet, Job, CronJob or LeaderWorkerSet a pod is of, without asking the API server.

The environment that a LeaderWorkerSet gives its pods is certain. The form of a name is a guess that Kubernetes makes
rather safe: the random end of a name is written without vowels and what looks alike, and the hash of a Deployment's
template, a decimal number, with ten signs only. What could be two things is told as none: NAME-xxxxx is a pod of a Job,
of a DaemonSet or of a bare ReplicaSet. Source of the alphabets: k8s.io/apimachinery/pkg/util/rand.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from agent.system.who import LEADER

_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]{5}"
_DEPLOYMENT = re.compile(rf"(.+)-[4-9bcdf]{{8,10}}-{_RANDOM}")
# The number is the minute for which it was scheduled, since 1970: the first digit is a 2 or 3 until 2046.
_CRON_JOB = re.compile(rf"((.+)-[23]\d{{7}})(?:-\d+)?-{_RANDOM}")
_INDEXED_JOB = re.compile(rf"(.+)-\d+-{_RANDOM}")
_GROUP = re.compile(r"(.+)-\d+-\d+")
_ORDINAL = re.compile(r"(.+)-\d+")
_LEADER = re.compile(r"(.+)-\d+\.\1(?:\..*)?")


class Workload(NamedTuple):
    """What a pod is of; at most one is known, or a CronJob together with its Job."""

    deployment: str | None = None
    stateful_set: str | None = None
    job: str | None = None
    cron_job: str | None = None
    leader_worker_set: str | None = None


def workload(pod: str, variables: Mapping[str, str] | None = None) -> Workload:
    """Tell the workload of a pod by its environment, as far as that is known, and else by its name."""
    leader = variables.get(LEADER, "") if variables else ""
    if (found := _LEADER.fullmatch(leader)) and pod.startswith(f"{found[1]}-"):
        return Workload(leader_worker_set=found[1])
    if found := _CRON_JOB.fullmatch(pod):
        return Workload(job=found[1], cron_job=found[2])
    if found := _DEPLOYMENT.fullmatch(pod):
        return Workload(deployment=found[1])
    if found := _INDEXED_JOB.fullmatch(pod):
        return Workload(job=found[1])
    if found := _GROUP.fullmatch(pod):
        return Workload(leader_worker_set=found[1])
    if found := _ORDINAL.fullmatch(pod):
        return Workload(stateful_set=found[1])
    return Workload()

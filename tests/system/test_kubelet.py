# SPDX-License-Identifier: Apache-2.0
"""The kubelet is asked over its socket, and what can be wrong with it is told apart."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.errors import NoPermission, NotSupported, Unavailable
from agent.system.kubelet import Kubelet
from agent.system.pod_resources import Given, Offered
from tests.system.pod_resources_server import TYPES, FakeKubelet, claim, pod, serving

GPU = "GPU-0d1e2f30-4152-6374-8596-a7b8c9dadbec"
MIG = "MIG-5f0c9a3e-7a1b-5c2d-9e4f-001122334455"


@pytest.fixture
def path() -> Iterator[Path]:
    """Give a socket's path that is short enough for one: pytest's own folders may be longer than 107 bytes."""
    with TemporaryDirectory(prefix="kubelet-") as folder:
        yield Path(folder) / "kubelet.sock"


def test_the_devices_of_all_pods_are_told(path: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.pods = [
        pod("llama-0", "ml", {"nvidia.com/gpu": [GPU, f"{GPU}::3"], "rdma/hca": ["mlx5_0"]}, container="vllm"),
        pod("tiny", "dev", {"nvidia.com/mig-1g.10gb": [MIG]}),
        pod("no-device", "dev", {}),
    ]
    with serving(kubelet, path):
        assert Kubelet(path).given() == [
            Given("ml", "llama-0", "vllm", "nvidia.com/gpu", GPU),
            Given("ml", "llama-0", "vllm", "nvidia.com/gpu", f"{GPU}::3"),
            Given("ml", "llama-0", "vllm", "rdma/hca", "mlx5_0"),
            Given("dev", "tiny", "main", "nvidia.com/mig-1g.10gb", MIG),
        ]


def test_devices_that_were_claimed_are_told_with_their_shares(path: Path) -> None:
    kubelet = FakeKubelet()
    cdi = ("k8s.gpu.nvidia.com/device=gpu-2", "k8s.gpu.nvidia.com/claim=6a6f-gpu-2")
    kubelet.pods = [pod("llama-0", "ml", {}, claims=[claim("llama-gpu", "gpu-2", cdi=cdi, share="s-17")])]
    with serving(kubelet, path):
        assert Kubelet(path).given() == [
            Given("ml", "llama-0", "main", "gpu.nvidia.com", "gpu-2", "llama-gpu", "s-17", cdi)
        ]


def test_one_pod_can_be_asked_for_where_the_kubelet_answers_that(path: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.pods = [pod("a", "ml", {"nvidia.com/gpu": [GPU]}), pod("b", "ml", {"nvidia.com/gpu": [MIG]})]
    with serving(kubelet, path):
        assert Kubelet(path).given_to("ml", "b") == [Given("ml", "b", "main", "nvidia.com/gpu", MIG)]
        with pytest.raises(Unavailable, match="not_found"):
            Kubelet(path).given_to("ml", "c")
        kubelet.get_served = False
        with pytest.raises(Unavailable, match="Get method disabled"):
            Kubelet(path).given_to("ml", "b")


def test_all_devices_that_a_node_offers_are_told(path: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.offered = [TYPES["ContainerDevices"](resource_name="nvidia.com/gpu", device_ids=[GPU, MIG])]
    with serving(kubelet, path):
        assert Kubelet(path).offered() == [Offered("nvidia.com/gpu", GPU), Offered("nvidia.com/gpu", MIG)]


def test_a_kubelet_that_restarts_is_asked_again_at_its_new_socket(path: Path) -> None:
    asker, kubelet = Kubelet(path), FakeKubelet()
    kubelet.pods = [pod("a", "ml", {"nvidia.com/gpu": [GPU]})]
    with pytest.raises(NotSupported, match="there is no kubelet"):
        asker.given()
    with serving(kubelet, path):
        assert len(asker.given()) == 1
    with pytest.raises(NotSupported):
        asker.given()
    with serving(kubelet, path):
        assert len(asker.given()) == 1


def test_a_socket_that_nobody_listens_at_any_more_is_unavailable(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(Unavailable, match="List: unavailable"):
        Kubelet(path).given()


def test_a_kubelet_that_hangs_is_given_up_at_the_deadline(path: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.hanging.set()
    with serving(kubelet, path), pytest.raises(Unavailable, match="deadline_exceeded"):
        Kubelet(path, deadline=0.05).given()


def test_a_socket_that_takes_connections_and_says_nothing_is_given_up_too(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen(1)
        with pytest.raises(Unavailable, match=r"deadline_exceeded|unavailable"):
            Kubelet(path, deadline=0.05).given()


def test_an_answer_that_is_no_message_is_unavailable(path: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.answer = b"\x0a\xff"
    with serving(kubelet, path), pytest.raises(Unavailable, match="cannot be read"):
        Kubelet(path).given()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_a_socket_that_is_not_for_us_needs_a_right(path: Path) -> None:
    with serving(FakeKubelet(), path):
        path.chmod(0o400)
        with pytest.raises(NoPermission, match="run as root"):
            Kubelet(path).given()


_ASK = "from pathlib import Path; from agent.system.kubelet import Kubelet; print(len(Kubelet(Path({path!r})).given()))"
_AS_IN_A_POD = """
mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} || exit 77
exec setpriv --bounding-set=-all --inh-caps=-all {python} -c "$ASK"
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="takes root, and util-linux")
def test_root_without_any_capability_may_ask_in_a_folder_that_is_mounted_read_only(path: Path) -> None:
    kubelet = FakeKubelet()
    kubelet.pods = [pod("a", "ml", {"nvidia.com/gpu": [GPU, MIG]})]
    with serving(kubelet, path):
        path.chmod(0o600)
        script = _AS_IN_A_POD.format(folder=path.parent, python=sys.executable)
        environ = {**os.environ, "ASK": _ASK.format(path=str(path))}
        asked = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], env=environ, capture_output=True, text=True, check=False
        )
    if asked.returncode == 77 or "unshare" in asked.stderr:
        pytest.skip("no mount namespace may be made here")
    assert (asked.returncode, asked.stdout.strip()) == (0, "2"), asked.stderr

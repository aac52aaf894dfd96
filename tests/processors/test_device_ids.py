# SPDX-License-Identifier: Apache-2.0
"""Every form in which a GPU or MIG instance is named by who gives it out."""

import pytest
from hypothesis import given as cases
from hypothesis import strategies as st

from agent.entities import Gpu, GpuInfo, MigInstance
from agent.processors.device_ids import Devices, Meant
from agent.system.pod_resources import Given

GPUS = [Gpu(f"GPU-{index:08x}-1111-2222-3333-444444444444", f"gpu{index}") for index in range(3)]
# The numbers of device files need not be those of NVML.
INFOS = [
    GpuInfo(gpu, nvml_index=index, minor=minor, pci=f"0000:{index + 1}b:00.0")
    for index, (gpu, minor) in enumerate(zip(GPUS, (2, 0, 1), strict=True))
]
MIGS = [
    MigInstance(f"MIG-{number:08x}-1111-2222-3333-444444444444", f"gpu1/{profile}/{gi}/{ci}", GPUS[1].id)
    for number, (profile, gi, ci) in enumerate((("3g.40gb", 1, 0), ("1g.10gb", 7, 0), ("1g.10gb", 7, 1)))
]
ALONE = MigInstance("MIG-0000000a-1111-2222-3333-444444444444", "gpu2/7g.80gb/0/0", GPUS[2].id)
DEVICES = Devices([*GPUS, *MIGS, ALONE], INFOS)


@pytest.mark.parametrize(
    ("id_", "meant"),
    [
        (GPUS[0].id, Meant((GPUS[0],))),
        (GPUS[0].id.lower(), Meant((GPUS[0],))),
        (MIGS[0].id, Meant((MIGS[0],))),
        (f"{GPUS[0].id}::0", Meant((GPUS[0],), share=True)),
        (f"{MIGS[1].id}::11", Meant((MIGS[1],), share=True)),
        (f"MIG-{GPUS[1].id}/7/1", Meant((MIGS[2],))),
        (f"MIG-{GPUS[1].id}/2/0", Meant()),
        ("nvidia0", Meant((GPUS[1],))),
        ("nvidia0/gi1", Meant((MIGS[0],))),
        ("nvidia0/gi7", Meant((MIGS[1], MIGS[2]))),
        ("nvidia2/vgpu3", Meant((GPUS[0],), share=True)),
        ("nvidia0/gi1/vgpu0", Meant((MIGS[0],), share=True)),
        ("0", Meant((GPUS[0],))),
        ("1::3", Meant((GPUS[1],), share=True)),
        ("0000:1b:00.0", Meant((GPUS[0],))),
        ("00000000:2B:00.0", Meant((GPUS[1],))),
        ("nvidia9", Meant()),
        ("9", Meant()),
        ("GPU-ffffffff-1111-2222-3333-444444444444::1", Meant((), share=True)),
        ("mlx5_0", Meant()),
        ("", Meant()),
    ],
)
def test_the_id_of_a_device_plugin_means_a_device(id_: str, meant: Meant) -> None:
    assert DEVICES.meant(id_) == meant


def claimed(id_: str, *cdi: str, share: str | None = None) -> Meant:
    return DEVICES.claimed(Given("ml", "a", "main", "gpu.nvidia.com", id_, "claim", share, cdi))


def test_the_name_of_a_claimed_gpu_is_the_number_of_its_file() -> None:
    assert claimed("gpu-0") == Meant((GPUS[1],))
    assert claimed("gpu-2", share="9d0c") == Meant((GPUS[0],), share=True)
    assert claimed("gpu-7") == claimed("channel-3") == Meant()


def test_a_claimed_instance_is_known_where_its_gpu_has_no_other_or_the_runtime_names_it() -> None:
    assert claimed("gpu-1-mig-0-0-8") == Meant((ALONE,))
    assert claimed("gpu-0-mig-19-4-1") == Meant()
    assert claimed("gpu-0-mig-19-4-1", "k8s.gpu.nvidia.com/claim=c-gpu-0", f"nvidia.com/gpu={MIGS[1].id}") == Meant(
        (MIGS[1],)
    )


_WORDS = st.sampled_from(
    ["GPU-", "MIG-", "::", "nvidia", "/gi", "/vgpu", "0", "7", "99999", "-", "mig", "gpu-", *(one.id for one in GPUS)]
)


@cases(st.lists(_WORDS, max_size=8).map("".join) | st.text(max_size=80))
def test_whatever_an_id_is_it_means_devices_of_this_node_or_none(id_: str) -> None:
    for meant in (DEVICES.meant(id_), claimed(id_, id_)):
        assert set(meant.devices) <= set(DEVICES.all)

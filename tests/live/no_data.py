# SPDX-License-Identifier: Apache-2.0
"""What has no data in a whole round of faults, and why. What does have data must not be here."""

from collections.abc import Mapping

ABSENT: Mapping[str, str] = {
    "joulespan_mig_.*": "the simulated GPUs are not split",
    "joulespan_c2c_.*|joulespan_gpu_power_module_watts": "of superchips; the simulated GPUs are H100",
    "joulespan_gpu_platform_info|joulespan_rack_.*": "of NVLink domains, from Blackwell on",
    "joulespan_nvlink_bit_error_rate_ratio": "from NVLink 5 on",
    "joulespan_gpu_remapped_banks_.*": "from Rubin on",
    "joulespan_gpu_retired_pages_.*": "before Ampere",
    "joulespan_gpu_ecc_sram_threshold_exceeded": "for root only, which the simulated reader is not",
    "joulespan_engine_requests_rejected_total": "the simulated vLLM does not turn requests away over HTTP",
    "joulespan_engine_requests_failed_total": "vLLM counts corrupted requests only",
    "joulespan_engine_prefix_cache_hit_ratio": "of engines that do not count hits",
    "joulespan_engine_(speculative|kv_transfer|kv_cache_offload)_.*": "the simulated vLLM does none of these",
    "joulespan_engine_(frontend|router|worker)_.*": "of Dynamo",
    "joulespan_nic_bond_members": "no simulated interface is part of a bond",
    "joulespan_nic_pause_storms_total": "the driver of the simulated NICs counts none",
    "joulespan_rdma_transmit_wait_total": "of InfiniBand; the simulated ports are RoCE",
    "joulespan_switch_(buffer_watermark_bytes|page_up)": "the simulated switch has none of it",
    "joulespan_switch_(port|priority)_pause_frames_total": "as above",
    "joulespan_request_slow_total": "not made yet",
}
"""Metrics, as regular expressions, that no node here has. A query of one of them may return nothing."""

DEPENDS: Mapping[str, str] = {
    "joulespan_engine_cgroup_.*": "there is none without a control group with a limit",
    "joulespan_tcp_.*|joulespan_host_.*|system_.*": "of the machine that the tests run on",
    "joulespan_cpu_.*|joulespan_node_energy_joules_total": "where the machine tells the power of its CPUs",
    "joulespan_owner_.*|joulespan_gpu_owner_info": "where a kubelet or Slurm tells whose a GPU is",
    "joulespan_collector_missed_total": "where the machine is too slow for the intervals",
    "joulespan_receiver_refusals_total": "only once a request was refused",
    "joulespan_nic_port_errors_total|joulespan_rdma_retransmits_total": "a simulated port has one now and then",
}
"""Metrics, as regular expressions, of which a query may return something or not."""

QUIET: Mapping[str, str] = {
    "fleet / Energy per output token, and a week ago / B": "there is no week ago",
    "network / PCIe did not take what came in / A": "the simulated NICs lose nothing",
    "network / Receivers not ready / A": "as above",
    "network / Discarded and dropped / A": "as above",
    "network / Discarded and dropped / B": "as above",
    "network / Discarded and dropped / C": "as above",
    "network / Errors of links / B": "as above",
    "network / Switches / C": "all ports of the simulated switch are up",
    "network / Switch ports: marked, discarded, in error / B": "the simulated switch loses nothing",
    "network / Switch ports: marked, discarded, in error / C": "as above",
    "node / Superchip modules / A": "of superchips; the simulated GPUs are H100",
}
"""Queries that return nothing although there are such metrics: `dashboard / panel / refId`, or what a rule records."""

NOT_PUSHED: Mapping[str, str] = {
    "DCGM_.*": "names of dcgm-exporter are on the scraped page only",
    "up": "Prometheus' own, of scrapes",
}
"""Metrics that are there when agents are scraped, and not when they push."""

LABELS: Mapping[str, str] = {
    "gen_ai_request_model": "vLLM's spans do not name the model",
    "reason": "of spans only where they were refused or dropped, and why",
    "engine_rank": "an engine without data parallelism has none",
}
"""Labels that some series have elsewhere, and none has here."""

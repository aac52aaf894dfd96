# SPDX-License-Identifier: Apache-2.0
"""What has no data in a whole round of faults, and why. What does have data must not be here."""

from collections.abc import Mapping

ABSENT: Mapping[str, str] = {
    "joulespan_mig_.*": "the simulated GPUs are not split",
    "joulespan_c2c_.*": "of superchips; the simulated GPUs are H100",
    "joulespan_gpu_platform_info": "of GPUs in a rack, from Blackwell on",
    "joulespan_nvlink_bit_error_rate_ratio": "from NVLink 5 on",
    "joulespan_gpu_remapped_banks_.*": "from Rubin on",
    "joulespan_gpu_retired_pages_.*": "before Ampere",
    "joulespan_engine_requests_rejected_total": "the simulated vLLM does not turn requests away over HTTP",
    "joulespan_engine_requests_failed_total": "vLLM counts corrupted requests only",
    "joulespan_engine_(speculative|kv_transfer|kv_cache_offload)_.*": "the simulated vLLM does none of these",
    "joulespan_engine_(frontend|router|worker)_.*": "of Dynamo",
    "joulespan_request_slow_total": "not made yet",
}
"""Metrics, as regular expressions, that no node here has. A query of one of them may return nothing."""

QUIET: Mapping[str, str] = {}
"""Queries that return nothing although there are such metrics: `dashboard / panel / refId`, or what a rule records."""

NOT_PUSHED: Mapping[str, str] = {
    "DCGM_.*": "names of dcgm-exporter are on the scraped page only",
    "up": "Prometheus' own, of scrapes",
    "scrape_.*": "as above",
}
"""Metrics that are there when agents are scraped, and not when they push."""

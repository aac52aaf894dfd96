# SPDX-License-Identifier: Apache-2.0
"""Triton's page of metrics, at :8002/metrics, also of its TensorRT-LLM backend. Read in its documents, not run.

Times are counters in microseconds. The first response of a model that does not stream is the whole answer: it is a
stage, and not called the first token. The vLLM backend adds its own names to the page.
"""

from typing import Any

from agent.catalogue import engine as to
from agent.dialects.rules import COMMON, LeftOut, PageDialect, Rule, rule
from agent.metric import Metric

_US, _MS = 1_000_000, 1000
_LABELS = {
    "request": "request_type",
    "kv_cache_block": "kv_cache_block_type",
    "runtime_memory": "memory_type",
    "inflight_batcher": "inflight_batcher_specific_metric",
    "general": "general_type",
}
"""The label that says which of several quantities a series of the TensorRT-LLM backend is."""


def _backend(metric: Metric[Any], family: str, which: str, **fixed: str) -> Rule:
    return rule(metric, f"nv_trt_llm_{family}_metrics", where={_LABELS[family]: (which,)}, fixed=fixed)


DIALECT = PageDialect(
    about=__doc__,
    name="triton",
    title="Triton",
    prefixes=("nv_inference_", "nv_trt_llm_"),
    labels={"model": "model"},
    hosts=("vllm", "tensorrt_llm"),
    entries=(
        _backend(to.REQUESTS_RUNNING, "request", "scheduled"),
        _backend(to.REQUESTS_WAITING, "request", "waiting"),
        rule(to.REQUESTS_WAITING, "nv_inference_pending_request_count"),
        _backend(to.REQUESTS_QUEUED, "inflight_batcher", "paused_requests", reason="paused"),
        _backend(to.REQUESTS_LIMIT, "request", "max"),
        rule(to.REQUESTS_FINISHED, "nv_inference_request_success"),
        rule(to.REQUESTS_FAILED, "nv_inference_request_failure", labels={"reason": "reason"}),
        _backend(to.KV_CACHE_UTILIZATION, "kv_cache_block", "fraction"),
        _backend(to.KV_CACHE_BLOCKS, "kv_cache_block", "used"),
        _backend(to.KV_CACHE_BLOCKS_LIMIT, "kv_cache_block", "max"),
        _backend(to.KV_CACHE_BLOCK_SIZE, "kv_cache_block", "tokens_per"),
        *(_backend(to.MEMORY, "runtime_memory", memory, memory=memory) for memory in ("gpu", "cpu", "pinned")),
        _backend(to.ITERATIONS, "general", "iteration_counter"),
        rule(to.STAGE_TIME, "nv_inference_request_duration_us", divide=_US, fixed={"stage": "request"}),
        rule(to.STAGE_TIME, "nv_inference_queue_duration_us", divide=_US, fixed={"stage": "queue"}),
        *(
            rule(to.STAGE_TIME, f"nv_inference_compute_{stage}_duration_us", divide=_US, fixed={"stage": stage})
            for stage in ("input", "infer", "output")
        ),
        rule(
            to.STAGE_DURATION,
            "nv_inference_first_response_histogram_ms",
            divide=_MS,
            fixed={"stage": "first_response"},
        ),
        rule(to.INPUT_TOKENS, "nv_llm_input_token_len"),
        rule(to.OUTPUT_TOKENS, "nv_llm_output_token_len"),
    ),
    left_out=(
        LeftOut("the agent reads the GPUs itself, with their energy", ("nv_gpu_*", "nv_energy_consumption")),
        LeftOut("tells of the host", ("nv_cpu_*", "nv_pinned_memory_pool_*")),
        LeftOut(
            "batches of any model: with a model that streams one of them is many forward passes",
            ("nv_inference_exec_count", "nv_inference_count"),
        ),
        LeftOut("quantiles, which cannot be added up", ("nv_inference_*_summary_us",)),
        LeftOut("the cache of whole answers", ("nv_cache_*",)),
        LeftOut(
            "without a word on what they count, or of the batcher before",
            ("nv_trt_llm_disaggregated_*", "nv_trt_llm_v1_*"),
        ),
        *COMMON,
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""TensorRT-LLM's page of metrics, at /prometheus/metrics. Read in its source and documents, not run.

trtllm-serve answers at /metrics with iterations as JSON, each of them once: that is no page, and reading it would take
them from whoever else does. Requests are on the page with `return_perf_metrics`, the rest with
`enable_iter_perf_stats`. There is no counter of iterations. Before 1.2 there are five metrics, which Dynamo called
`trtllm:`.
"""

from agent.catalogue import engine as to
from agent.dialects.rules import COMMON, LeftOut, PageDialect, rule

_HOST = {"tier": "host"}
_POSITION = {"position": "token_position"}

_REQUESTS = (
    rule(to.REQUESTS_RUNNING, "trtllm_num_requests_running"),
    rule(to.REQUESTS_WAITING, "trtllm_num_requests_waiting"),
    rule(to.REQUESTS_QUEUED, "trtllm_num_paused_requests", fixed={"reason": "paused"}),
    rule(to.REQUESTS_LIMIT, "trtllm_max_num_active_requests"),
    rule(
        to.REQUESTS_FINISHED,
        "trtllm_request_success_total",
        "trtllm:request_success_total",
        labels={"finish": "finished_reason"},
    ),
    rule(to.REQUESTS_ABORTED, "trtllm_num_aborted_requests_total"),
    rule(to.REQUESTS_FAILED, "trtllm_request_error_total", labels={"reason": "http_code"}),
)
_CACHE = (
    rule(to.KV_CACHE_UTILIZATION, "trtllm_kv_cache_utilization"),
    rule(to.KV_CACHE_BLOCKS, "trtllm_kv_cache_used_blocks"),
    rule(to.KV_CACHE_BLOCKS_LIMIT, "trtllm_kv_cache_max_blocks"),
    rule(to.KV_CACHE_BLOCK_SIZE, "trtllm_kv_cache_tokens_per_block"),
    rule(
        to.CACHE_INFO,
        "trtllm_kv_cache_config_info",
        labels={
            "dtype": "cache_dtype",
            "block_size": "page_size",
            "prefix_caching": "enable_block_reuse",
            "memory": "free_gpu_memory_fraction",
        },
    ),
    rule(to.OFFLOAD_UTILIZATION, "trtllm_kv_cache_host_utilization", fixed=_HOST),
    rule(to.OFFLOAD_IO, "trtllm_kv_cache_offload_bytes_total", fixed=_HOST | {"direction": "store"}),
    rule(to.OFFLOAD_IO, "trtllm_kv_cache_onboard_bytes_total", fixed=_HOST | {"direction": "load"}),
    rule(to.PREFIX_HIT_RATIO, "trtllm_kv_cache_hit_rate"),
    rule(to.PREFIX_BLOCK_HITS, "trtllm_kv_cache_reused_blocks_total"),
    rule(to.PREFIX_BLOCK_QUERIES, "trtllm_kv_cache_reused_blocks_total", plus="trtllm_kv_cache_missed_blocks_total"),
    rule(to.PREFIX_TOKENS, "trtllm_prompt_cache_hit_tokens_total", labels={"tier": "cache_tier"}),
    rule(to.MEMORY, "trtllm_gpu_memory_usage_bytes", fixed={"memory": "gpu"}),
    rule(to.MEMORY, "trtllm_cpu_memory_usage_bytes", fixed={"memory": "cpu"}),
    rule(to.MEMORY, "trtllm_pinned_memory_usage_bytes", fixed={"memory": "pinned"}),
)
_WORK = (
    rule(to.TOKENS, "trtllm_prompt_tokens_total", less="trtllm_prompt_cached_tokens_total", fixed={"type": "input"}),
    rule(to.TOKENS, "trtllm_prompt_cached_tokens_total", fixed={"type": "cached"}),
    rule(to.TOKENS, "trtllm_generation_tokens_total", fixed={"type": "output"}),
    rule(to.SPECULATIVE_DRAFTED, "trtllm_spec_decode_num_draft_tokens_total"),
    rule(to.SPECULATIVE_ACCEPTED, "trtllm_spec_decode_num_accepted_tokens_total"),
    rule(to.SPECULATIVE_POSITION_DRAFTED, "trtllm_spec_decode_drafted_tokens_total", labels=_POSITION),
    rule(to.SPECULATIVE_POSITION_ACCEPTED, "trtllm_spec_decode_accepted_tokens_total", labels=_POSITION),
    rule(to.SPECULATIVE_LENGTH, "trtllm_spec_decode_acceptance_length"),
    rule(to.CONTEXT_LIMIT, "trtllm_model_config_info", reads="max_model_len"),
)
_TIMES = (
    rule(to.TIME_TO_FIRST_TOKEN, "trtllm_time_to_first_token_seconds", "trtllm:time_to_first_token_seconds"),
    rule(to.TIME_PER_OUTPUT_TOKEN, "trtllm_time_per_output_token_seconds", "trtllm:time_per_output_token_seconds"),
    rule(to.REQUEST_DURATION, "trtllm_e2e_request_latency_seconds", "trtllm:e2e_request_latency_seconds"),
    rule(to.QUEUE_DURATION, "trtllm_request_queue_time_seconds", "trtllm:request_queue_time_seconds"),
    rule(to.PREFILL_DURATION, "trtllm_request_prefill_time_seconds"),
    rule(to.DECODE_DURATION, "trtllm_request_decode_time_seconds"),
    rule(to.INFERENCE_DURATION, "trtllm_request_inference_time_seconds"),
    rule(to.CACHED_TOKENS, "trtllm_prompt_cached_tokens_per_request"),
)
_TRANSFERS = (
    rule(to.TRANSFER_SIZE, "trtllm_kv_transfer_bytes"),
    rule(to.TRANSFER_DURATION, "trtllm_kv_transfer_latency_seconds"),
    rule(to.TRANSFER_OPERATIONS, "trtllm_kv_transfer_success_total", fixed={"step": "transfer"}),
)

DIALECT = PageDialect(
    about=__doc__,
    name="tensorrt_llm",
    title="TensorRT-LLM",
    prefixes=("trtllm_", "trtllm:"),
    labels={"model": "model_name"},
    identity={
        "backend": (("trtllm_request_success_total", "engine_type"), ("trtllm_num_requests_running", "engine_type")),
        "dtype": (("trtllm_model_config_info", "dtype"),),
        "quantization": (("trtllm_model_config_info", "quantization"),),
        "tensor_parallel": (("trtllm_parallel_config_info", "tensor_parallel_size"),),
        "pipeline_parallel": (("trtllm_parallel_config_info", "pipeline_parallel_size"),),
        "expert_parallel": (("trtllm_parallel_config_info", "expert_parallel_size"),),
        "gpus": (("trtllm_parallel_config_info", "gpu_count"),),
    },
    entries=(*_REQUESTS, *_CACHE, *_WORK, *_TIMES, *_TRANSFERS),
    left_out=(
        LeftOut(
            "of the last iteration only: a reading now and then says nothing of those between",
            (
                "trtllm_iteration_latency_seconds",
                "trtllm_num_context_requests",
                "trtllm_num_generation_requests",
                "trtllm_num_scheduled_requests",
                "trtllm_scheduled_batch_size",
                "trtllm_total_context_tokens",
                "trtllm_avg_decoded_tokens_per_iter",
                "trtllm_prefill_batch_*",
                "trtllm_kv_cache_iter_reuse_rate",
                "trtllm_kv_cache_free_blocks",
            ),
        ),
        LeftOut(
            "the same blocks once more, by iteration, and moves inside the GPU",
            (
                "trtllm_kv_cache_iter_*",
                "trtllm_kv_cache_gen_alloc_blocks",
                "trtllm_kv_cache_disk_prefetch_blocks",
                "trtllm_kv_cache_intra_device_copy_bytes",
            ),
        ),
        LeftOut("`requests.finished` counts them by why they ended", ("trtllm_num_requests_completed",)),
        LeftOut("how the batch and speculation are set up", ("trtllm_max_*", "trtllm_speculative_config_info")),
        LeftOut("of features too narrow for a common name", ("trtllm_request_type_*",)),
        LeftOut(
            "perplexity tells of answers, not of serving", ("trtllm_prefill_perplexity", "trtllm_generation_perplexity")
        ),
        LeftOut("a quotient of other metrics", ("trtllm_spec_decode_draft_overhead", "trtllm_kv_transfer_speed_gb_s")),
        *COMMON,
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""vLLM's page of metrics, at /metrics. Seen on vLLM 0.32; older names from its releases' documents.

`prompt_tokens_total` includes cached tokens; what was computed is `prompt_tokens_by_source_total` of `local_compute`,
or the difference. `iteration_tokens_total` is a histogram: its count is the number of forward passes. `engine` is the
data-parallel index. The page of several API servers is that of all.
"""

from agent.catalogue import engine as to
from agent.dialects.rules import COMMON, Entry, First, LeftOut, PageDialect, rule

_LOCAL, _EXTERNAL = {"tier": "local"}, {"tier": "external"}
_NIXL, _MOONCAKE = {"transport": "nixl"}, {"transport": "mooncake"}
_OPERATION = {"step": "operation"}
_TIER = {"tier": "tier"}
_STORE, _LOAD = {"direction": "store"}, {"direction": "load"}
_HOST = {"tier": "host"}

_OFFLOAD: tuple[Entry, ...] = tuple(
    [
        First(
            (
                rule(metric, f"vllm:kv_offload_{direction}_{what}_total", fixed=_HOST | {"direction": direction}),
                # The same under the name before, which went by the way it took.
                rule(
                    metric,
                    f"vllm:kv_offload_total_{what}_total",
                    where={"transfer_type": (way,)},
                    fixed=_HOST | {"direction": direction},
                ),
            )
        )
        for metric, what in ((to.OFFLOAD_IO, "bytes"), (to.OFFLOAD_DURATION, "time"))
        for direction, way in (("store", "GPU_to_CPU"), ("load", "CPU_to_GPU"))
    ]
)
_REQUESTS = (
    rule(to.REQUESTS_RUNNING, "vllm:num_requests_running"),
    rule(to.REQUESTS_WAITING, "vllm:num_requests_waiting"),
    rule(to.REQUESTS_QUEUED, "vllm:num_requests_waiting_by_reason", labels={"reason": "reason"}),
    rule(to.REQUESTS_SWAPPED, "vllm:num_requests_swapped"),
    rule(to.PREEMPTIONS, "vllm:num_preemptions_total"),
    rule(to.REQUESTS_FINISHED, "vllm:request_success_total", labels={"finish": "finished_reason"}),
    rule(to.REQUESTS_ABORTED, "vllm:request_success_total", where={"finished_reason": ("abort",)}),
    rule(to.REQUESTS_REJECTED, "vllm:admission_rejections_total", labels={"reason": "reason"}),
    rule(to.REQUESTS_FAILED, "vllm:corrupted_requests_total", fixed={"reason": "corrupted"}),
    rule(to.STATE, "vllm:engine_sleep_state", labels={"state": "sleep_state"}),
)
_CACHE = (
    rule(to.KV_CACHE_UTILIZATION, "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    rule(to.KV_CACHE_TOKENS_LIMIT, "vllm:cache_config_info", reads="kv_cache_size_tokens"),
    rule(to.KV_CACHE_BLOCKS_LIMIT, "vllm:cache_config_info", reads="num_gpu_blocks"),
    rule(to.KV_CACHE_BLOCK_SIZE, "vllm:cache_config_info", reads="block_size"),
    rule(
        to.CACHE_INFO,
        "vllm:cache_config_info",
        labels={
            "dtype": "cache_dtype",
            "block_size": "block_size",
            "prefix_caching": "enable_prefix_caching",
            "memory": "gpu_memory_utilization",
            "offload": "kv_offloading_backend",
        },
    ),
    rule(to.KV_CACHE_BLOCK_LIFETIME, "vllm:kv_block_lifetime_seconds"),
    rule(to.KV_CACHE_BLOCK_IDLE, "vllm:kv_block_idle_before_evict_seconds"),
    rule(to.KV_CACHE_BLOCK_REUSE, "vllm:kv_block_reuse_gap_seconds"),
    rule(
        to.OFFLOAD_UTILIZATION,
        "vllm:kv_offload_cpu_cache_usage_perc",
        "vllm:hisparse_host_cache_usage_perc",
        "vllm:cpu_cache_usage_perc",
        fixed=_HOST,
    ),
    *_OFFLOAD,
    rule(to.OFFLOAD_IO, "vllm:kv_offload_tiering_write_bytes_total", labels=_TIER, fixed=_STORE),
    rule(to.OFFLOAD_IO, "vllm:kv_offload_tiering_read_bytes_total", labels=_TIER, fixed=_LOAD),
    rule(to.OFFLOAD_DURATION, "vllm:kv_offload_tiering_write_time_total", labels=_TIER, fixed=_STORE),
    rule(to.OFFLOAD_DURATION, "vllm:kv_offload_tiering_read_time_total", labels=_TIER, fixed=_LOAD),
    rule(to.PREFIX_HITS, "vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total", fixed=_LOCAL),
    rule(to.PREFIX_QUERIES, "vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total", fixed=_LOCAL),
    rule(to.PREFIX_HITS, "vllm:external_prefix_cache_hits_total", fixed=_EXTERNAL),
    rule(to.PREFIX_QUERIES, "vllm:external_prefix_cache_queries_total", fixed=_EXTERNAL),
    rule(to.PREFIX_HIT_RATIO, "vllm:gpu_prefix_cache_hit_rate"),
    rule(to.PREFIX_TOKENS, "vllm:prompt_tokens_cached_by_source_total", labels={"tier": "source"}),
    rule(to.MULTIMODAL_HITS, "vllm:mm_cache_hits_total"),
    rule(to.MULTIMODAL_QUERIES, "vllm:mm_cache_queries_total"),
)
_WORK = (
    First(
        (
            rule(
                to.TOKENS,
                "vllm:prompt_tokens_by_source_total",
                where={"source": ("local_compute",)},
                fixed={"type": "input"},
            ),
            rule(
                to.TOKENS, "vllm:prompt_tokens_total", less="vllm:prompt_tokens_cached_total", fixed={"type": "input"}
            ),
            rule(to.TOKENS, "vllm:prompt_tokens_total", less="vllm:prefix_cache_hits_total", fixed={"type": "input"}),
            rule(
                to.TOKENS, "vllm:prompt_tokens_total", less="vllm:gpu_prefix_cache_hits_total", fixed={"type": "input"}
            ),
        )
    ),
    rule(
        to.TOKENS,
        "vllm:prompt_tokens_cached_total",
        "vllm:prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_hits_total",
        fixed={"type": "cached"},
    ),
    rule(to.TOKENS, "vllm:generation_tokens_total", fixed={"type": "output"}),
    rule(to.ITERATIONS, "vllm:iteration_tokens_total_count"),
    rule(to.ITERATION_TOKENS, "vllm:iteration_tokens_total"),
    rule(to.ESTIMATED_OPERATIONS, "vllm:estimated_flops_per_gpu_total"),
    rule(to.ESTIMATED_IO, "vllm:estimated_read_bytes_per_gpu_total", fixed={"access": "read"}),
    rule(to.ESTIMATED_IO, "vllm:estimated_write_bytes_per_gpu_total", fixed={"access": "write"}),
    rule(to.SPECULATIVE_DRAFTS, "vllm:spec_decode_num_drafts_total"),
    rule(to.SPECULATIVE_DRAFTED, "vllm:spec_decode_num_draft_tokens_total"),
    rule(to.SPECULATIVE_ACCEPTED, "vllm:spec_decode_num_accepted_tokens_total"),
    rule(
        to.SPECULATIVE_POSITION_ACCEPTED,
        "vllm:spec_decode_num_accepted_tokens_per_pos_total",
        labels={"position": "position"},
    ),
    rule(to.LORA_ADAPTERS, "vllm:lora_requests_info", words="running_lora_adapters", fixed={"state": "running"}),
    rule(to.LORA_ADAPTERS, "vllm:lora_requests_info", words="waiting_lora_adapters", fixed={"state": "waiting"}),
    rule(to.LORA_LIMIT, "vllm:lora_requests_info", reads="max_lora"),
)
_TIMES = (
    rule(to.TIME_TO_FIRST_TOKEN, "vllm:time_to_first_token_seconds"),
    # Called so before 0.11, when it was the time between two tokens too.
    rule(to.INTER_TOKEN_DURATION, "vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
    rule(to.TIME_PER_OUTPUT_TOKEN, "vllm:request_time_per_output_token_seconds"),
    rule(to.REQUEST_DURATION, "vllm:e2e_request_latency_seconds"),
    rule(to.QUEUE_DURATION, "vllm:request_queue_time_seconds"),
    rule(to.PREFILL_DURATION, "vllm:request_prefill_time_seconds"),
    rule(to.DECODE_DURATION, "vllm:request_decode_time_seconds"),
    rule(to.INFERENCE_DURATION, "vllm:request_inference_time_seconds"),
    rule(to.INPUT_TOKENS, "vllm:request_prompt_tokens"),
    rule(to.COMPUTED_TOKENS, "vllm:request_prefill_kv_computed_tokens"),
    rule(to.OUTPUT_TOKENS, "vllm:request_generation_tokens"),
)
_TRANSFERS = (
    rule(to.TRANSFER_SIZE, "vllm:nixl_bytes_transferred", fixed=_NIXL),
    rule(to.TRANSFER_DURATION, "vllm:nixl_xfer_time_seconds", fixed=_NIXL),
    rule(to.TRANSFER_STEP_DURATION, "vllm:nixl_post_time_seconds", fixed=_NIXL | {"step": "post"}),
    rule(to.TRANSFER_FAILURES, "vllm:nixl_num_failed_transfers_total", fixed=_NIXL | {"step": "transfer"}),
    rule(to.TRANSFER_FAILURES, "vllm:nixl_num_failed_notifications_total", fixed=_NIXL | {"step": "notification"}),
    rule(to.TRANSFER_FAILURES, "vllm:nixl_num_kv_expired_reqs_total", fixed=_NIXL | {"step": "expired"}),
    rule(to.TRANSFER_IO, "vllm:mooncake_store_operation_bytes_total", labels=_OPERATION, fixed=_MOONCAKE),
    rule(to.TRANSFER_OPERATIONS, "vllm:mooncake_store_operation_total", labels=_OPERATION, fixed=_MOONCAKE),
    rule(to.TRANSFER_STEP_DURATION, "vllm:mooncake_store_operation_time_seconds", labels=_OPERATION, fixed=_MOONCAKE),
    rule(to.TRANSFER_FAILURES, "vllm:mooncake_store_operation_failed_keys_total", labels=_OPERATION, fixed=_MOONCAKE),
)

DIALECT = PageDialect(
    about=__doc__,
    name="vllm",
    title="vLLM",
    prefixes=("vllm:",),
    labels={"model": "model_name", "rank": "engine"},
    entries=(*_REQUESTS, *_CACHE, *_WORK, *_TIMES, *_TRANSFERS),
    left_out=(
        LeftOut(
            "what requests asked for, not what they got",
            ("vllm:request_params_n", "vllm:request_params_max_tokens", "vllm:request_max_num_generation_tokens"),
        ),
        LeftOut("`preemptions` counts them, and spans tell which requests", ("vllm:request_num_preemptions",)),
        LeftOut(
            "counts of keys, descriptors and late notices, beside the bytes and times",
            (
                "vllm:nixl_num_descriptors",
                "vllm:nixl_num_notifications_after_expiry",
                "vllm:mooncake_store_operation_keys",
            ),
        ),
        LeftOut(
            "inner workings of one offloading connector",
            (
                "vllm:kv_offload_*",
                "vllm:hisparse_*",
                "vllm:hf3fs_*",
                "vllm:simple_kv_offload_*",
                "vllm:num_requests_kv_fetch_by_stage",
            ),
        ),
        LeftOut(
            "operations of an administrator, not of requests",
            ("vllm:sleep_mode_*", "vllm:rl_weight_update_*", "vllm:websocket_*"),
        ),
        LeftOut(
            "of features too narrow for a common name",
            (
                "vllm:diffusion_*",
                "vllm:tool_call_parser_*",
                "vllm:watermark_requests",
                "vllm:cpu_prefix_cache_hit_rate",
            ),
        ),
        *COMMON,
    ),
)

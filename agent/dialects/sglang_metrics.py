# SPDX-License-Identifier: Apache-2.0
"""SGLang's page of metrics, at /metrics with `--enable-metrics`. Read in the source of SGLang 0.5.23.

`prompt_tokens_total` includes cached tokens. `realtime_tokens_total` tells the three kinds of tokens by one rule, at
each log interval, and goes before the counters of finished requests. With priority scheduling, the scheduler's series
of the empty priority are those of all. Ranks that work on the same batch say the same.
"""

from agent.catalogue import engine as to
from agent.dialects.rules import COMMON, First, LeftOut, PageDialect, rule

_ALL = {"priority": ("",)}
_HOST = {"tier": "host"}
_CACHED = ({"cache_source": ("total",)}, {"cache_source": ("device", "host", "storage*")})
_GIB = float(1 << 30)
_MIB = float(1 << 20)

_REQUESTS = (
    rule(to.REQUESTS_RUNNING, "sglang:num_running_reqs", where=_ALL),
    rule(to.REQUESTS_WAITING, "sglang:num_queue_reqs", where=_ALL),
    *(
        rule(to.REQUESTS_QUEUED, f"sglang:num_{name}_reqs", where=_ALL, fixed={"reason": name.removesuffix("_queue")})
        for name in (
            "grammar_queue",
            "prefill_bootstrap_queue",
            "prefill_inflight_queue",
            "decode_prealloc_queue",
            "decode_transfer_queue",
            "decode_host_receive_queue",
            "decode_deferred_kv_release",
        )
    ),
    rule(to.PREEMPTIONS, "sglang:num_retracted_requests_total"),
    rule(to.REQUESTS_FINISHED, "sglang:num_requests_total"),
    rule(to.REQUESTS_ABORTED, "sglang:num_aborted_requests_total"),
)
_CACHE = (
    rule(to.KV_CACHE_UTILIZATION, "sglang:token_usage", where=_ALL),
    rule(to.KV_CACHE_TOKENS, "sglang:kv_used_tokens", "sglang:num_used_tokens", where=_ALL),
    rule(to.KV_CACHE_TOKENS_LIMIT, "sglang:max_total_num_tokens", where=_ALL),
    rule(to.KV_CACHE_BLOCKS_LIMIT, "sglang:num_pages", where=_ALL),
    rule(to.KV_CACHE_BLOCK_SIZE, "sglang:page_size", where=_ALL),
    rule(to.KV_CACHE_EVICTED, "sglang:evicted_tokens_total"),
    rule(to.OFFLOAD_TOKENS, "sglang:hicache_host_used_tokens", where=_ALL, fixed=_HOST),
    rule(to.OFFLOAD_TOKENS_LIMIT, "sglang:hicache_host_total_tokens", where=_ALL, fixed=_HOST),
    rule(to.OFFLOAD_IO, "sglang:hicache_backup_bytes_total", fixed=_HOST | {"direction": "store"}),
    rule(to.OFFLOAD_IO, "sglang:load_back_bytes_total", fixed=_HOST | {"direction": "load"}),
    rule(to.OFFLOAD_DURATION, "sglang:hicache_backup_duration_seconds_sum", fixed=_HOST | {"direction": "store"}),
    rule(to.OFFLOAD_DURATION, "sglang:load_back_duration_seconds_sum", fixed=_HOST | {"direction": "load"}),
    rule(
        to.PREFIX_HITS,
        "sglang:realtime_tokens_total",
        where=_ALL | {"mode": ("prefill_cache",)},
        fixed={"tier": "local"},
    ),
    rule(
        to.PREFIX_QUERIES,
        "sglang:realtime_tokens_total",
        where=_ALL | {"mode": ("prefill_cache", "prefill_compute")},
        fixed={"tier": "local"},
    ),
    rule(to.PREFIX_TOKENS, "sglang:cached_tokens_total", where=_CACHED[1], labels={"tier": "cache_source"}),
)
_WORK = (
    First(
        (
            rule(
                to.TOKENS,
                "sglang:realtime_tokens_total",
                where=_ALL | {"mode": ("prefill_compute",)},
                fixed={"type": "input"},
            ),
            *(
                rule(
                    to.TOKENS,
                    "sglang:prompt_tokens_total",
                    less="sglang:cached_tokens_total",
                    where=sources,
                    fixed={"type": "input"},
                )
                for sources in _CACHED
            ),
        )
    ),
    First(
        (
            rule(
                to.TOKENS,
                "sglang:realtime_tokens_total",
                where=_ALL | {"mode": ("prefill_cache",)},
                fixed={"type": "cached"},
            ),
            *(
                rule(to.TOKENS, "sglang:cached_tokens_total", where=sources, fixed={"type": "cached"})
                for sources in _CACHED
            ),
        )
    ),
    First(
        (
            rule(
                to.TOKENS, "sglang:realtime_tokens_total", where=_ALL | {"mode": ("decode",)}, fixed={"type": "output"}
            ),
            rule(to.TOKENS, "sglang:generation_tokens_total", fixed={"type": "output"}),
        )
    ),
    rule(to.ITERATIONS, "sglang:cuda_graph_passes_total", where=_ALL),
    rule(to.FORWARD_DURATION, "sglang:forward_execution_seconds_total", where=_ALL, labels={"stage": "category"}),
    rule(to.IDLE_DURATION, "sglang:scheduler_idle_seconds_total", where=_ALL),
    rule(to.ESTIMATED_OPERATIONS, "sglang:estimated_flops_per_gpu_total", where=_ALL),
    rule(to.ESTIMATED_IO, "sglang:estimated_read_bytes_per_gpu_total", where=_ALL, fixed={"access": "read"}),
    rule(to.ESTIMATED_IO, "sglang:estimated_write_bytes_per_gpu_total", where=_ALL, fixed={"access": "write"}),
    rule(to.SPECULATIVE_LENGTH, "sglang:spec_accept_length", where=_ALL),
    rule(to.SPECULATIVE_RATIO, "sglang:spec_accept_rate", where=_ALL),
    rule(to.LORA_ADAPTERS, "sglang:lora_pool_slots_used", where=_ALL, fixed={"state": "loaded"}),
    rule(to.LORA_LIMIT, "sglang:lora_pool_slots_total", where=_ALL),
    rule(to.MEMORY, "sglang:weight_memory_usage_gb", where=_ALL, times=_GIB, fixed={"memory": "weights"}),
    rule(to.MEMORY, "sglang:kv_cache_memory_usage_gb", where=_ALL, times=_GIB, fixed={"memory": "kv_cache"}),
    rule(to.MEMORY, "sglang:graph_memory_usage_gb", where=_ALL, times=_GIB, fixed={"memory": "graphs"}),
    rule(to.CONTEXT_LIMIT, "sglang:context_len", where=_ALL),
)
_TIMES = (
    rule(to.TIME_TO_FIRST_TOKEN, "sglang:time_to_first_token_seconds"),
    rule(to.INTER_TOKEN_DURATION, "sglang:inter_token_latency_seconds"),
    rule(
        to.TIME_PER_OUTPUT_TOKEN,
        "sglang:request_time_per_output_token_seconds",
        "sglang:time_per_output_token_seconds",
    ),
    rule(to.REQUEST_DURATION, "sglang:e2e_request_latency_seconds"),
    rule(to.QUEUE_DURATION, "sglang:queue_time_seconds", where=_ALL),
    rule(to.STAGE_DURATION, "sglang:per_stage_req_latency_seconds", where=_ALL, labels={"stage": "stage"}),
    rule(to.INPUT_TOKENS, "sglang:prompt_tokens_histogram"),
    rule(to.COMPUTED_TOKENS, "sglang:uncached_prompt_tokens_histogram"),
    rule(to.OUTPUT_TOKENS, "sglang:generation_tokens_histogram"),
)
_TRANSFERS = (
    rule(to.TRANSFER_SIZE, "sglang:kv_transfer_total_mb", where=_ALL, times=_MIB),
    rule(to.TRANSFER_DURATION, "sglang:kv_transfer_latency_ms", where=_ALL, divide=1000),
    *(
        rule(to.TRANSFER_STEP_DURATION, f"sglang:kv_transfer_{step}_ms", where=_ALL, divide=1000, fixed={"step": step})
        for step in ("bootstrap", "alloc")
    ),
    *(
        rule(to.TRANSFER_FAILURES, f"sglang:num_{step}_failed_reqs_total", where=_ALL, fixed={"step": step})
        for step in ("bootstrap", "transfer")
    ),
)

DIALECT = PageDialect(
    about=__doc__,
    name="sglang",
    title="SGLang",
    prefixes=("sglang:",),
    labels={"model": "model_name", "rank": "dp_rank"},
    once=("pp_rank", "tp_rank", "moe_ep_rank"),
    identity={"role": (("sglang:num_running_reqs", "engine_type"), ("sglang:prompt_tokens_total", "engine_type"))},
    entries=(*_REQUESTS, *_CACHE, *_WORK, *_TIMES, *_TRANSFERS),
    left_out=(
        LeftOut(
            "of the last batch, and 0 after each that was decode: hits and queries give it",
            ("sglang:cache_hit_rate",),
        ),
        LeftOut("set back to 0 each time they were told", ("sglang:num_retracted_reqs", "sglang:num_paused_reqs")),
        LeftOut(
            "averages of a log interval, which counters give too",
            (
                "sglang:gen_throughput",
                "sglang:utilization",
                "sglang:fwd_occupancy",
                "sglang:new_token_ratio",
                "sglang:is_cuda_graph",
                "sglang:kv_transfer_speed_gb_s",
                "sglang:lora_pool_utilization",
            ),
        ),
        LeftOut(
            "parts of the cache by kind of layer, and what of it could be evicted",
            (
                "sglang:full_token_usage",
                "sglang:swa_*",
                "sglang:mamba_*",
                "sglang:kv_available_tokens",
                "sglang:kv_evictable_tokens",
                "sglang:max_total_num_tokens_swa",
                "sglang:hicache_host_mamba_*",
                "sglang:pending_prealloc_token_usage",
                "sglang:prealloc_*",
                "sglang:decode_sum_seq_lens",
                "sglang:streaming_session_held_tokens",
            ),
        ),
        LeftOut(
            "details of retraction and disaggregation, beside the counts of both",
            (
                "sglang:num_retracted_*",
                "sglang:num_decode_host_receive_reqs",
                "sglang:decode_deferred_kv_release*",
                "sglang:num_prefill_retries",
                "sglang:failed_session_recoveries",
                "sglang:prefill_delayer_*",
            ),
        ),
        LeftOut(
            "the same tokens and times once more, by how the ranks worked together or with retraction taken off",
            (
                "sglang:prefill_effective_tokens",
                "sglang:dp_*",
                "sglang:scheduler_stage_seconds",
                "sglang:scheduler_process_cpu_seconds",
            ),
        ),
        LeftOut(
            "inner workings of the storage tiers, in tokens and pages",
            (
                "sglang:prefetched_tokens",
                "sglang:backuped_tokens",
                "sglang:storage_*",
                "sglang:hicache_*",
                "sglang:load_back_tokens",
                "sglang:prefetch_*",
                "sglang:backup_*",
                "sglang:eviction_duration_seconds",
            ),
        ),
        LeftOut("whether drafts or calls are counted is not told", ("sglang:spec_*",)),
        LeftOut(
            "of features too narrow for a common name",
            (
                "sglang:grammar_*",
                "sglang:num_grammar_*",
                "sglang:num_so_requests",
                "sglang:eplb_*",
                "sglang:encoder_*",
                "sglang:routing_key*",
                "sglang:num_unique_running_routing_keys",
                "sglang:num_streaming_sessions",
                "sglang:diffusion_*",
            ),
        ),
        LeftOut(
            "set at the start or by an administrator, and told to nobody's request",
            ("sglang:startup_*", "sglang:engine_*", "sglang:weight_load_*", "sglang:max_running_requests_under_SLO"),
        ),
        LeftOut(
            "tells of the program and its HTTP server, not of what it serves",
            ("sglang:process_*", "sglang:func_latency_seconds", "sglang:http_*", "sglang:get_loads_*"),
        ),
        *COMMON,
    ),
)

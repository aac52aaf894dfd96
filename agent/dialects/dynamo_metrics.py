# SPDX-License-Identifier: Apache-2.0
"""Dynamo's pages of metrics: front end and router, workers, planner, block manager. Seen on Dynamo 1.6.1.

Each process has a page of its own. A worker's has its engine's names too. Ids of workers are in hex on
`dynamo_component_*` and decimal elsewhere; on the front end's page the hex id is its own.
`dynamo_frontend_detokenize_token_count` is a counter, whatever its name ends in. Planner and block manager are read
from documents and source.
"""

from agent.catalogue import deployment as to
from agent.catalogue.engine import KV_CACHE_BLOCKS_LIMIT, KV_CACHE_UTILIZATION, PREFIX_HIT_RATIO
from agent.dialects.rules import COMMON, Hex, Is, LeftOut, PageDialect, rule

_MS = 1000
_HOUR = 3600
_SERVED = {"dynamo_endpoint": ("generate",)}
"""A worker has other endpoints, for the router's questions about its cache."""
_WORKER = {"worker": Hex("worker_id")}
_TARGET = {"worker": "worker_id", "role": "worker_type"}
_QUEUE = {"role": "worker_type"}
_STAGE = {"stage": "stage", "phase": "phase"}
_PATHS = {
    "offload": {"d2h": "device_host", "h2d": "host_disk", "d2d": "device_disk", "d2o": "device_object"},
    "onboard": {"h2d": "host_device", "d2d": "disk_device", "o2d": "object_device"},
}

_FRONTEND = (
    rule(to.REQUESTS_RUNNING, "dynamo_frontend_active_requests", "dynamo_frontend_inflight_requests"),
    rule(to.REQUESTS_WAITING, "dynamo_frontend_queued_requests"),
    rule(to.REQUESTS_STARTED, "dynamo_frontend_requests_started_total"),
    rule(to.REQUESTS_FINISHED, "dynamo_frontend_requests_total", labels={"outcome": "status", "error": "error_type"}),
    rule(to.REQUESTS_CANCELLED, "dynamo_frontend_model_cancellation_total"),
    rule(to.REQUESTS_FAILED, "dynamo_frontend_failures_total", labels={"outcome": "reason", "error": "class"}),
    rule(to.CLIENTS_DISCONNECTED, "dynamo_frontend_disconnected_clients"),
    rule(to.OUTPUT, "dynamo_frontend_output_tokens_total"),
    rule(to.REQUEST_DURATION, "dynamo_frontend_request_duration_seconds"),
    rule(to.TIME_TO_FIRST_TOKEN, "dynamo_frontend_time_to_first_token_seconds"),
    rule(to.INTER_TOKEN_DURATION, "dynamo_frontend_inter_token_latency_seconds"),
    rule(to.INPUT_TOKENS, "dynamo_frontend_input_sequence_tokens"),
    rule(to.CACHED_TOKENS, "dynamo_frontend_cached_tokens"),
    rule(to.OUTPUT_TOKENS, "dynamo_frontend_output_sequence_tokens"),
    rule(to.STAGE_REQUESTS, "dynamo_frontend_stage_requests", labels=_STAGE),
    rule(to.STAGE_DURATION, "dynamo_frontend_stage_duration_seconds", labels=_STAGE),
    rule(to.STAGE_DURATION, "dynamo_frontend_tokenize_seconds", fixed={"stage": "tokenize"}),
    rule(to.STAGE_DURATION, "dynamo_frontend_template_seconds", fixed={"stage": "template"}),
    rule(to.MODEL_READY, "dynamo_frontend_model_ready"),
    rule(to.MODEL_CONTEXT_LIMIT, "dynamo_frontend_model_context_length"),
    rule(to.MODEL_BLOCK_SIZE, "dynamo_frontend_model_kv_cache_block_size"),
    rule(to.MODEL_BLOCKS_LIMIT, "dynamo_frontend_model_total_kv_blocks"),
    rule(to.MODEL_BATCH_TOKENS_LIMIT, "dynamo_frontend_model_max_num_batched_tokens"),
    rule(to.MODEL_BATCH_REQUESTS_LIMIT, "dynamo_frontend_model_max_num_seqs"),
)
_ROUTER = (
    rule(to.ROUTER_REQUESTS_STARTED, "dynamo_component_router_requests_started_total"),
    rule(to.ROUTER_REQUESTS, "dynamo_component_router_requests_total"),
    rule(to.ROUTER_RECEIVED, "dynamo_frontend_router_admission_received_total", labels=_QUEUE),
    rule(to.ROUTER_REJECTED, "dynamo_frontend_router_admission_rejected_total", labels=_QUEUE | {"reason": "reason"}),
    rule(to.ROUTER_REJECTED, "dynamo_frontend_router_queue_backpressure_total", labels=_QUEUE | {"reason": "reason"}),
    rule(to.ROUTER_QUEUED, "dynamo_frontend_router_queue_pending_requests", labels=_QUEUE),
    rule(to.ROUTER_QUEUED_TOKENS, "dynamo_frontend_router_queue_pending_isl_tokens", labels=_QUEUE),
    rule(to.ROUTER_QUEUED_CACHED, "dynamo_frontend_router_queue_pending_cached_tokens", labels=_QUEUE),
    rule(
        to.ROUTER_CACHED,
        "dynamo_component_router_kv_best_eligible_cached_prefix_tokens_total",
        labels={"phase": "phase"},
        fixed={"found": "best"},
    ),
    rule(
        to.ROUTER_CACHED,
        "dynamo_component_router_kv_selected_cached_prefix_tokens_total",
        labels={"phase": "phase"},
        fixed={"found": "selected"},
    ),
    rule(
        to.ROUTER_CACHED,
        "dynamo_component_router_kv_worker_reused_tokens_total",
        labels={"phase": "phase"},
        fixed={"found": "reused"},
    ),
    rule(to.ROUTER_HIT_RATIO, "dynamo_component_router_kv_hit_rate"),
    rule(to.ROUTER_TRANSFER, "dynamo_component_router_kv_transfer_estimated_latency_seconds"),
    *(
        rule(to.ROUTER_OVERHEAD, f"dynamo_router_overhead_{step}_ms", divide=_MS, fixed={"stage": step})
        for step in (
            "block_hashing",
            "indexer_find_matches",
            "scheduling",
            "seq_hashing",
            "shared_cache_query",
            "total",
        )
    ),
    rule(
        to.WORKER_REGISTERED,
        "dynamo_component_router_worker_registered",
        labels={"worker": "router_worker_id", "role": "worker_type"},
    ),
    rule(to.WORKER_DECODE_BLOCKS, "dynamo_frontend_worker_active_decode_blocks", labels=_TARGET),
    rule(to.WORKER_PREFILL_TOKENS, "dynamo_frontend_worker_active_prefill_tokens", labels=_TARGET),
)
_WORKERS = (
    rule(to.WORKER_REQUESTS_RUNNING, "dynamo_component_inflight_requests", where=_SERVED, labels=_WORKER),
    rule(to.WORKER_REQUESTS_WAITING, "dynamo_request_queue", "dynamo_work_handler_queue_depth"),
    rule(to.WORKER_REQUESTS, "dynamo_component_requests_total", where=_SERVED, labels=_WORKER),
    rule(to.WORKER_CANCELLED, "dynamo_component_cancellation_total", where=_SERVED, labels=_WORKER),
    rule(to.WORKER_REJECTED, "dynamo_rejection_request_total"),
    rule(to.WORKER_FAILED, "dynamo_component_errors_total", where=_SERVED, labels=_WORKER | {"error": "error_type"}),
    rule(to.WORKER_REQUEST_DURATION, "dynamo_component_request_duration_seconds", where=_SERVED, labels=_WORKER),
    rule(to.WORKER_FIRST_RESPONSE, "dynamo_work_handler_time_to_first_response_seconds"),
    rule(to.WORKER_TRANSIT, "dynamo_work_handler_network_transit_seconds"),
    rule(to.WORKER_PERMIT, "dynamo_work_handler_permit_wait_seconds"),
    rule(
        to.WORKER_IO,
        "dynamo_component_request_bytes_total",
        where=_SERVED,
        labels=_WORKER,
        fixed={"direction": "receive"},
    ),
    rule(
        to.WORKER_IO,
        "dynamo_component_response_bytes_total",
        where=_SERVED,
        labels=_WORKER,
        fixed={"direction": "transmit"},
    ),
    rule(to.UPTIME, "dynamo_component_uptime_seconds", labels=_WORKER),
    rule(
        KV_CACHE_UTILIZATION,
        "dynamo_component_gpu_cache_usage_percent",
        "dynamo_component_kvstats_gpu_cache_usage_percent",
    ),
    rule(PREFIX_HIT_RATIO, "dynamo_component_kvstats_gpu_prefix_cache_hit_rate"),
    rule(KV_CACHE_BLOCKS_LIMIT, "dynamo_component_total_blocks"),
)
_PLANNER = (
    *(
        rule(to.PLANNER_REPLICAS, f"dynamo_planner_num_{role}_replicas", fixed={"role": role})
        for role in ("prefill", "decode")
    ),
    *(
        rule(to.PLANNER_WANTED, f"dynamo_planner_predicted_num_{role}_replicas", fixed={"role": role})
        for role in ("prefill", "decode")
    ),
    rule(to.PLANNER_GPU_DURATION, "dynamo_planner_gpu_hours", times=_HOUR),
    rule(to.PLANNER_POWER_LIMIT, "dynamo_planner_power_budget_total_watts"),
    rule(to.PLANNER_POWER_PROJECTED, "dynamo_planner_power_projected_watts"),
)
_MANAGER = (
    rule(to.MANAGER_MATCHED, "kvbm_matched_tokens", "kvbm_matched_tokens_total"),
    *(
        rule(
            to.MANAGER_BLOCKS,
            f"kvbm_{operation}_blocks_{short}",
            f"kvbm_{operation}_blocks_{short}_total",
            fixed={"operation": operation, "path": path},
        )
        for operation, paths in _PATHS.items()
        for short, path in paths.items()
    ),
    *(
        rule(to.MANAGER_HIT_RATIO, f"kvbm_{tier}_cache_hit_rate", fixed={"tier": tier})
        for tier in ("host", "disk", "object")
    ),
)

DIALECT = PageDialect(
    about=__doc__,
    name="dynamo",
    title="NVIDIA Dynamo",
    prefixes=("dynamo_", "kvbm_"),
    labels={"model": "model", "rank": "dp_rank"},
    page={"deployment": "dynamo_namespace", "worker": Hex("worker_id")},
    identity={
        "component": (
            ("dynamo_component_inflight_requests", "dynamo_component"),
            ("dynamo_frontend_requests_started_total", Is("frontend")),
            ("dynamo_frontend_disconnected_clients", Is("frontend")),
            ("dynamo_planner_num_decode_replicas", Is("planner")),
            ("kvbm_matched_tokens", Is("block_manager")),
        ),
    },
    hosts=("vllm", "sglang", "tensorrt_llm"),
    entries=(*_FRONTEND, *_ROUTER, *_WORKERS, *_PLANNER, *_MANAGER),
    left_out=(
        LeftOut(
            "of the last request only: a reading now and then says nothing of those between",
            ("dynamo_frontend_worker_last_*",),
        ),
        LeftOut(
            "parts of prompts that are no text",
            (
                "dynamo_frontend_audio_per_request",
                "dynamo_frontend_image_tokens_per_request",
                "dynamo_frontend_images_per_request",
                "dynamo_frontend_videos_per_request",
            ),
        ),
        LeftOut(
            "how the front end reads and writes text, beside its stages",
            (
                "dynamo_frontend_detokenize_token_count",
                "dynamo_frontend_detokenize_total_us",
                "dynamo_frontend_tokenizer_*",
                "dynamo_frontend_model_migration_limit",
            ),
        ),
        LeftOut(
            "the router's view of what front end and workers tell of themselves",
            (
                "dynamo_component_router_input_sequence_tokens",
                "dynamo_component_router_output_sequence_tokens",
                "dynamo_component_router_inter_token_latency_seconds",
                "dynamo_component_router_time_to_first_token_seconds",
                "dynamo_request_plane_*",
            ),
        ),
        LeftOut(
            "the router's bookkeeping of caches",
            (
                "dynamo_component_ckf_mutation",
                "dynamo_component_kv_cache_event*",
                "dynamo_component_kv_publisher_*",
                "dynamo_component_router_active_sequence_*",
                "dynamo_component_router_approximate_*",
                "dynamo_component_router_kv_event_source_mismatch_workers",
                "dynamo_component_router_non_max_overlap_selections",
                "dynamo_component_router_overlap_blocks_lost",
                "dynamo_component_router_shared_cache_*",
                "dynamo_router_shared_cache_errors",
            ),
        ),
        LeftOut(
            "the pool of a worker's handlers, and its requests once more",
            (
                "dynamo_work_handler_pool_*",
                "dynamo_work_handler_queue_capacity",
                "dynamo_work_handler_enqueue_rejected",
                "dynamo_engine_request",
            ),
        ),
        LeftOut("constants in some releases", ("dynamo_component_kvstats_*",)),
        LeftOut(
            "once in the life of a worker",
            (
                "dynamo_component_model_load_time_seconds",
                "dynamo_component_drain_time_seconds",
                "dynamo_component_cleanup_time_seconds",
            ),
        ),
        LeftOut(
            "tells of the program and its runtime, not of what it serves",
            ("dynamo_tokio_*", "dynamo_transport_*", "dynamo_component_nats_*", "dynamo_frontend_event_loop_*"),
        ),
        LeftOut(
            "what the planner observed, estimated and predicted, as averages of its intervals",
            ("dynamo_planner_*",),
        ),
        LeftOut("inner workings of the block manager's pools", ("kvbm_*",)),
        *COMMON,
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""LMDeploy's page of metrics, at /metrics. Read in its source, not run.

The names are vLLM's of some time ago. `engine` is the data-parallel rank. Prompt tokens include those from the prefix
cache, and nothing tells how many these are.
"""

from agent.catalogue import engine as to
from agent.dialects.rules import COMMON, LeftOut, PageDialect, rule

DIALECT = PageDialect(
    about=__doc__,
    name="lmdeploy",
    title="LMDeploy",
    prefixes=("lmdeploy:",),
    labels={"model": "model_name", "rank": "engine"},
    entries=(
        rule(to.REQUESTS_RUNNING, "lmdeploy:num_requests_running"),
        rule(to.REQUESTS_WAITING, "lmdeploy:num_requests_waiting"),
        rule(to.REQUESTS_QUEUED, "lmdeploy:num_api_requests_waiting", fixed={"reason": "api"}),
        rule(to.REQUESTS_FINISHED, "lmdeploy:request_success_total", labels={"finish": "finished_reason"}),
        rule(to.KV_CACHE_UTILIZATION, "lmdeploy:gpu_cache_usage_perc"),
        rule(to.TOKENS, "lmdeploy:generation_tokens_total", fixed={"type": "output"}),
        rule(to.ITERATIONS, "lmdeploy:iteration_tokens_total_count"),
        rule(to.ITERATION_TOKENS, "lmdeploy:iteration_tokens_total"),
        rule(to.TIME_TO_FIRST_TOKEN, "lmdeploy:time_to_first_token_seconds"),
        rule(to.INTER_TOKEN_DURATION, "lmdeploy:iter_token_latency"),
        rule(to.TIME_PER_OUTPUT_TOKEN, "lmdeploy:time_per_output_token_seconds"),
        rule(to.REQUEST_DURATION, "lmdeploy:e2e_request_latency_seconds"),
        rule(to.QUEUE_DURATION, "lmdeploy:request_queue_time_seconds"),
        rule(to.PREFILL_DURATION, "lmdeploy:request_prefill_time_seconds"),
        rule(to.DECODE_DURATION, "lmdeploy:request_decode_time_seconds"),
        rule(to.INFERENCE_DURATION, "lmdeploy:request_inference_time_seconds"),
        rule(to.INPUT_TOKENS, "lmdeploy:request_prompt_tokens"),
        rule(to.OUTPUT_TOKENS, "lmdeploy:request_generation_tokens"),
        rule(to.SPECULATIVE_DRAFTS, "lmdeploy:spec_decode_num_drafts_total"),
        rule(to.SPECULATIVE_DRAFTED, "lmdeploy:spec_decode_num_draft_tokens_total"),
        rule(to.SPECULATIVE_ACCEPTED, "lmdeploy:spec_decode_num_accepted_tokens_total"),
        rule(
            to.SPECULATIVE_POSITION_ACCEPTED,
            "lmdeploy:spec_decode_num_accepted_tokens_per_pos_total",
            labels={"position": "position"},
        ),
        rule(to.SPECULATIVE_LENGTH, "lmdeploy:spec_decode_mean_accept_length"),
        rule(to.SPECULATIVE_RATIO, "lmdeploy:spec_decode_mean_accept_rate"),
    ),
    left_out=(
        LeftOut(
            "prompt tokens with the cached among them; `request.input.tokens` has their sum too",
            ("lmdeploy:prompt_tokens",),
        ),
        LeftOut(
            "gauges of what only grows, and what is not running",
            (
                "lmdeploy:num_requests_finished",
                "lmdeploy:num_requests_unfinished",
                "lmdeploy:num_requests_failed",
                "lmdeploy:num_api_requests_*",
            ),
        ),
        LeftOut("a quotient of other metrics", ("lmdeploy:spec_decode_per_position_accept_rate",)),
        LeftOut("one label for the whole of the configuration", ("lmdeploy:backend_config_info",)),
        *COMMON,
    ),
)

# SPDX-License-Identifier: Apache-2.0
"""The page of metrics of llama.cpp, at /metrics with `--metrics`. Seen on its server of October 2026.

`prompt_tokens_total` is without cached tokens, unlike everywhere else. Passes that verify drafts or read images are
not among `n_decode_total`. There are no histograms, and since 2025 no occupancy of the KV cache. Some builds name the
model.
"""

from agent.catalogue import engine as to
from agent.dialects.rules import COMMON, LeftOut, PageDialect, rule

DIALECT = PageDialect(
    about=__doc__,
    name="llama_cpp",
    title="llama.cpp",
    prefixes=("llamacpp:",),
    labels={"model": "model"},
    entries=(
        rule(to.REQUESTS_RUNNING, "llamacpp:requests_processing"),
        rule(to.REQUESTS_WAITING, "llamacpp:requests_deferred"),
        rule(to.KV_CACHE_UTILIZATION, "llamacpp:kv_cache_usage_ratio"),
        rule(to.KV_CACHE_TOKENS, "llamacpp:kv_cache_tokens"),
        rule(to.TOKENS, "llamacpp:prompt_tokens_total", fixed={"type": "input"}),
        rule(to.TOKENS, "llamacpp:prompt_tokens_cached_total", fixed={"type": "cached"}),
        rule(to.TOKENS, "llamacpp:tokens_predicted_total", fixed={"type": "output"}),
        rule(to.ITERATIONS, "llamacpp:n_decode_total"),
        rule(to.STAGE_TIME, "llamacpp:prompt_seconds_total", fixed={"stage": "prefill"}),
        rule(to.STAGE_TIME, "llamacpp:tokens_predicted_seconds_total", fixed={"stage": "decode"}),
        rule(to.SPECULATIVE_DRAFTS, "llamacpp:spec_decode_num_drafts_total"),
        rule(to.SPECULATIVE_DRAFTED, "llamacpp:spec_decode_num_draft_tokens_total", "llamacpp:tokens_drafted_total"),
        rule(
            to.SPECULATIVE_ACCEPTED,
            "llamacpp:spec_decode_num_accepted_tokens_total",
            "llamacpp:tokens_drafted_accepted_total",
        ),
        rule(
            to.SPECULATIVE_POSITION_ACCEPTED,
            "llamacpp:spec_decode_num_accepted_tokens_per_pos_total",
            labels={"position": "position"},
        ),
    ),
    left_out=(
        LeftOut(
            "averages since the start or the last reading, which counters give too",
            (
                "llamacpp:prompt_tokens_seconds",
                "llamacpp:predicted_tokens_seconds",
                "llamacpp:n_busy_slots_per_decode",
            ),
        ),
        LeftOut("the longest context so far: a record, not a load", ("llamacpp:n_tokens_max", "llamacpp:n_past_max")),
        *COMMON,
    ),
)

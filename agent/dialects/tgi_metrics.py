# SPDX-License-Identifier: Apache-2.0
"""The page of metrics of Text Generation Inference, at /metrics. Read in its documents, not run.

No name says its unit: times are in seconds. `tgi_request_count` is a counter, whatever its name ends in. There is no
time to the first token, and prompt tokens include those from the prefix cache.
"""

from agent.catalogue import engine as to
from agent.dialects.rules import COMMON, LeftOut, PageDialect, rule

DIALECT = PageDialect(
    about=__doc__,
    name="tgi",
    title="Text Generation Inference",
    prefixes=("tgi_",),
    labels={"model": "model_name"},
    entries=(
        rule(to.REQUESTS_RUNNING, "tgi_batch_current_size"),
        rule(to.REQUESTS_WAITING, "tgi_queue_size"),
        rule(to.REQUESTS_FINISHED, "tgi_request_success", labels={"finish": "stop_reason"}),
        rule(to.REQUESTS_FAILED, "tgi_request_failure", labels={"reason": "err"}),
        rule(to.TOKENS, "tgi_request_generated_tokens_sum", fixed={"type": "output"}),
        rule(to.ITERATIONS, "tgi_batch_inference_count"),
        rule(to.ITERATION_DURATION, "tgi_batch_forward_duration", labels={"stage": "method"}),
        rule(to.REQUEST_DURATION, "tgi_request_duration"),
        rule(to.QUEUE_DURATION, "tgi_request_queue_duration"),
        rule(to.INFERENCE_DURATION, "tgi_request_inference_duration"),
        rule(to.STAGE_DURATION, "tgi_request_validation_duration", fixed={"stage": "validation"}),
        rule(to.INPUT_TOKENS, "tgi_request_input_length"),
        rule(to.OUTPUT_TOKENS, "tgi_request_generated_tokens"),
        rule(to.SPECULATIVE_ACCEPTED, "tgi_request_skipped_tokens_sum"),
    ),
    left_out=(
        LeftOut("those that came in; those that ended are counted", ("tgi_request_count",)),
        LeftOut(
            "time of the whole inference by token, prefill included", ("tgi_request_mean_time_per_token_duration",)
        ),
        LeftOut("what requests asked for, not what they got", ("tgi_request_max_new_tokens",)),
        LeftOut("lengths before they were checked", ("tgi_request_raw_input_length",)),
        LeftOut(
            "parts of an iteration beside its forward pass",
            (
                "tgi_batch_inference_duration",
                "tgi_batch_inference_success",
                "tgi_batch_decode_duration",
                "tgi_batch_filter_duration",
                "tgi_batch_concat*",
                "tgi_batch_next_*",
                "tgi_batch_current_max_tokens",
                "tgi_batch_inference_failure",
            ),
        ),
        *COMMON,
    ),
)

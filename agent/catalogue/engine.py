# SPDX-License-Identifier: Apache-2.0
"""What the serving engines say of themselves: their pages of metrics, translated into one language.

[engine-metrics.md](engine-metrics.md) says which name of which engine stands behind each. What a page does not say is
absent, and counters begin again when the engine does. Histograms keep the buckets of the engine, so quantiles over
several engines are as good as their buckets agree. Times are of all its requests, as the engine measured them;
`gen_ai.server.*` and `joulespan.request.*` are made of spans, and know tenants.
"""

from agent.engine_entities import (
    EngineAccess,
    EngineCacheInfo,
    EngineFinish,
    EngineInfo,
    EngineMemory,
    EnginePosition,
    EngineReason,
    EngineStage,
    EngineState,
    EngineTier,
    EngineTierIo,
    EngineTransfer,
    EngineTransferStep,
)
from agent.entities import Engine, EngineModel, EngineTokens
from agent.metric import Counter, Gauge, Histogram, Info
from agent.request_entities import RequestCause
from agent.unit import Unit

INFO = Info("joulespan.engine.info", EngineInfo, "What an engine is, as far as its page says.")
CACHE_INFO = Info("joulespan.engine.kv_cache.info", EngineCacheInfo, "How the KV cache of an engine is set up.")
STATE = Gauge("joulespan.engine.state", Unit.NONE, EngineState, "1 for the state that the engine is in, 0 for others.")

REQUESTS_RUNNING = Gauge(
    "joulespan.engine.requests.running", Unit.REQUESTS, EngineModel, "Requests in the engine's batch."
)
REQUESTS_WAITING = Gauge(
    "joulespan.engine.requests.waiting", Unit.REQUESTS, EngineModel, "Requests in the engine's queue."
)
REQUESTS_QUEUED = Gauge(
    "joulespan.engine.requests.queued",
    Unit.REQUESTS,
    EngineReason,
    "Requests that wait, by why or in which queue, where the engine tells them apart.",
)
REQUESTS_SWAPPED = Gauge(
    "joulespan.engine.requests.swapped", Unit.REQUESTS, EngineModel, "Requests whose KV cache was moved off the GPU."
)
REQUESTS_LIMIT = Gauge(
    "joulespan.engine.requests.limit", Unit.REQUESTS, EngineModel, "Requests that the engine runs at once at most."
)
PREEMPTIONS = Counter(
    "joulespan.engine.preemptions",
    Unit.EVENTS,
    EngineModel,
    "Requests put back into the queue because the KV cache was full; their prompts are computed again.",
)
REQUESTS_FINISHED = Counter(
    "joulespan.engine.requests.finished",
    Unit.REQUESTS,
    EngineFinish,
    "Finished requests, by why they ended. Engines leave out some of those that clients gave up.",
)
REQUESTS_ABORTED = Counter(
    "joulespan.engine.requests.aborted", Unit.REQUESTS, EngineModel, "Requests that were given up, by client or engine."
)
REQUESTS_REJECTED = Counter(
    "joulespan.engine.requests.rejected", Unit.REQUESTS, EngineReason, "Requests that were not taken, by why."
)
REQUESTS_FAILED = Counter(
    "joulespan.engine.requests.failed", Unit.REQUESTS, EngineReason, "Requests that ended in an error, by which."
)

KV_CACHE_UTILIZATION = Gauge(
    "joulespan.engine.kv_cache.utilization", Unit.RATIO, EngineModel, "Share of the KV cache in use."
)
KV_CACHE_TOKENS = Gauge(
    "joulespan.engine.kv_cache.tokens.usage",
    Unit.TOKENS,
    EngineModel,
    "Tokens that running requests hold in the cache.",
)
KV_CACHE_TOKENS_LIMIT = Gauge(
    "joulespan.engine.kv_cache.tokens.limit", Unit.TOKENS, EngineModel, "Tokens that the KV cache has room for."
)
KV_CACHE_BLOCKS = Gauge("joulespan.engine.kv_cache.blocks.usage", Unit.BLOCKS, EngineModel, "Blocks in use.")
KV_CACHE_BLOCKS_LIMIT = Gauge("joulespan.engine.kv_cache.blocks.limit", Unit.BLOCKS, EngineModel, "Blocks there are.")
KV_CACHE_BLOCK_SIZE = Gauge("joulespan.engine.kv_cache.block.size", Unit.TOKENS, EngineModel, "Tokens of a block.")
KV_CACHE_BLOCK_LIFETIME = Histogram(
    "joulespan.engine.kv_cache.block.lifetime",
    Unit.SECONDS,
    EngineModel,
    "Time from a block's allocation to its eviction, of a sample of blocks.",
)
KV_CACHE_BLOCK_IDLE = Histogram(
    "joulespan.engine.kv_cache.block.idle",
    Unit.SECONDS,
    EngineModel,
    "Time that a block was not used before its eviction, of a sample of blocks.",
)
KV_CACHE_BLOCK_REUSE = Histogram(
    "joulespan.engine.kv_cache.block.reuse",
    Unit.SECONDS,
    EngineModel,
    "Time between two uses of a block, of a sample of blocks.",
)
KV_CACHE_EVICTED = Counter(
    "joulespan.engine.kv_cache.evicted", Unit.TOKENS, Engine, "Tokens whose place in the cache was given to others."
)
OFFLOAD_UTILIZATION = Gauge(
    "joulespan.engine.kv_cache.offload.utilization", Unit.RATIO, EngineTier, "Share of a further tier in use."
)
OFFLOAD_TOKENS = Gauge(
    "joulespan.engine.kv_cache.offload.usage", Unit.TOKENS, EngineTier, "Tokens held in a further tier of the KV cache."
)
OFFLOAD_TOKENS_LIMIT = Gauge(
    "joulespan.engine.kv_cache.offload.limit", Unit.TOKENS, EngineTier, "Tokens that a further tier has room for."
)
OFFLOAD_IO = Counter(
    "joulespan.engine.kv_cache.offload.io", Unit.BYTES, EngineTierIo, "KV cache moved to and from a further tier."
)
OFFLOAD_DURATION = Counter(
    "joulespan.engine.kv_cache.offload.duration", Unit.SECONDS, EngineTierIo, "Time that it took to move it."
)

PREFIX_HITS = Counter(
    "joulespan.engine.prefix_cache.hits", Unit.TOKENS, EngineTier, "Prompt tokens that were found in a cache."
)
PREFIX_QUERIES = Counter(
    "joulespan.engine.prefix_cache.queries", Unit.TOKENS, EngineTier, "Prompt tokens that were looked up in a cache."
)
PREFIX_HIT_RATIO = Gauge(
    "joulespan.engine.prefix_cache.hit_ratio",
    Unit.RATIO,
    EngineModel,
    "Share of prompt tokens found in the cache of late, from engines that do not count both.",
)
PREFIX_TOKENS = Counter(
    "joulespan.engine.prefix_cache.tokens",
    Unit.TOKENS,
    EngineTier,
    "Prompt tokens that were not computed, by the tier that had them.",
)
PREFIX_BLOCK_HITS = Counter(
    "joulespan.engine.prefix_cache.block.hits", Unit.BLOCKS, EngineModel, "Blocks of prompts found in the cache."
)
PREFIX_BLOCK_QUERIES = Counter(
    "joulespan.engine.prefix_cache.block.queries", Unit.BLOCKS, EngineModel, "Blocks of prompts looked up in the cache."
)
MULTIMODAL_HITS = Counter(
    "joulespan.engine.multimodal_cache.hits", Unit.ITEMS, EngineModel, "Images and the like found in the cache."
)
MULTIMODAL_QUERIES = Counter(
    "joulespan.engine.multimodal_cache.queries", Unit.ITEMS, EngineModel, "Images and the like looked up in the cache."
)

TOKENS = Counter("joulespan.engine.tokens", Unit.TOKENS, EngineTokens, "Tokens, by what was done for them.")
ITERATIONS = Counter("joulespan.engine.iterations", Unit.ITERATIONS, Engine, "Forward passes.")
ITERATION_TOKENS = Histogram(
    "joulespan.engine.iteration.tokens", Unit.TOKENS, EngineModel, "Tokens computed in one forward pass."
)
ITERATION_DURATION = Histogram(
    "joulespan.engine.iteration.duration", Unit.SECONDS, EngineStage, "Time of one forward pass, by what it was for."
)
FORWARD_DURATION = Counter(
    "joulespan.engine.forward.duration", Unit.SECONDS, EngineStage, "Time in forward passes, by what they were for."
)
IDLE_DURATION = Counter(
    "joulespan.engine.idle.duration", Unit.SECONDS, Engine, "Time in which the engine had nothing to run."
)
ESTIMATED_OPERATIONS = Counter(
    "joulespan.engine.estimated.operations",
    Unit.OPERATIONS,
    EngineModel,
    "Floating-point operations of one of its GPUs, as the engine estimates them from the model's shape.",
)
ESTIMATED_IO = Counter(
    "joulespan.engine.estimated.io",
    Unit.BYTES,
    EngineAccess,
    "Memory traffic of one of its GPUs, as the engine estimates it from the model's shape.",
)

TIME_TO_FIRST_TOKEN = Histogram(
    "joulespan.engine.time_to_first_token", Unit.SECONDS, EngineModel, "Time from arrival to the first token."
)
INTER_TOKEN_DURATION = Histogram(
    "joulespan.engine.inter_token.duration", Unit.SECONDS, EngineModel, "Time from one token of a request to the next."
)
TIME_PER_OUTPUT_TOKEN = Histogram(
    "joulespan.engine.time_per_output_token",
    Unit.SECONDS,
    EngineModel,
    "Mean time for each token of a request after the first.",
)
REQUEST_DURATION = Histogram(
    "joulespan.engine.request.duration", Unit.SECONDS, EngineModel, "Time from arrival to the last token."
)
QUEUE_DURATION = Histogram(
    "joulespan.engine.request.queue.duration", Unit.SECONDS, EngineModel, "Time that requests waited."
)
PREFILL_DURATION = Histogram(
    "joulespan.engine.request.prefill.duration", Unit.SECONDS, EngineModel, "Time that requests spent in prefill."
)
DECODE_DURATION = Histogram(
    "joulespan.engine.request.decode.duration", Unit.SECONDS, EngineModel, "Time that requests spent in decode."
)
INFERENCE_DURATION = Histogram(
    "joulespan.engine.request.inference.duration",
    Unit.SECONDS,
    EngineModel,
    "Time that requests were running, in prefill or decode.",
)
STAGE_DURATION = Histogram(
    "joulespan.engine.request.stage.duration", Unit.SECONDS, EngineStage, "Time that requests spent in a stage."
)
STAGE_TIME = Counter(
    "joulespan.engine.request.stage.time",
    Unit.SECONDS,
    EngineStage,
    "Time that requests spent in a stage, added up, from engines that have no histogram of it.",
)
INPUT_TOKENS = Histogram(
    "joulespan.engine.request.input.tokens", Unit.TOKENS, EngineModel, "Prompt tokens of a request, cached ones too."
)
COMPUTED_TOKENS = Histogram(
    "joulespan.engine.request.computed.tokens",
    Unit.TOKENS,
    EngineModel,
    "Prompt tokens of a request that were computed.",
)
CACHED_TOKENS = Histogram(
    "joulespan.engine.request.cached.tokens", Unit.TOKENS, EngineModel, "Prompt tokens of a request that were cached."
)
OUTPUT_TOKENS = Histogram(
    "joulespan.engine.request.output.tokens", Unit.TOKENS, EngineModel, "Tokens that a request generated."
)

SPECULATIVE_DRAFTS = Counter(
    "joulespan.engine.speculative.drafts", Unit.ITEMS, EngineModel, "Drafts of speculative decoding that were verified."
)
SPECULATIVE_DRAFTED = Counter(
    "joulespan.engine.speculative.drafted", Unit.TOKENS, EngineModel, "Tokens that were drafted."
)
SPECULATIVE_ACCEPTED = Counter(
    "joulespan.engine.speculative.accepted", Unit.TOKENS, EngineModel, "Drafted tokens that were accepted."
)
SPECULATIVE_POSITION_DRAFTED = Counter(
    "joulespan.engine.speculative.position.drafted", Unit.TOKENS, EnginePosition, "Tokens drafted, by their position."
)
SPECULATIVE_POSITION_ACCEPTED = Counter(
    "joulespan.engine.speculative.position.accepted",
    Unit.TOKENS,
    EnginePosition,
    "Drafted tokens that were accepted, by their position.",
)
SPECULATIVE_LENGTH = Gauge(
    "joulespan.engine.speculative.acceptance.length",
    Unit.TOKENS,
    EngineModel,
    "Tokens gained by one verification of late, from engines that do not count them.",
)
SPECULATIVE_RATIO = Gauge(
    "joulespan.engine.speculative.acceptance.ratio",
    Unit.RATIO,
    EngineModel,
    "Share of drafted tokens that were accepted of late, from engines that do not count them.",
)

TRANSFER_SIZE = Histogram(
    "joulespan.engine.kv_transfer.size", Unit.BYTES, EngineTransfer, "KV cache moved by one transfer between engines."
)
TRANSFER_DURATION = Histogram(
    "joulespan.engine.kv_transfer.duration", Unit.SECONDS, EngineTransfer, "Time of one transfer of KV cache."
)
TRANSFER_STEP_DURATION = Histogram(
    "joulespan.engine.kv_transfer.step.duration",
    Unit.SECONDS,
    EngineTransferStep,
    "Time of one step or operation of transfers of KV cache.",
)
TRANSFER_IO = Counter(
    "joulespan.engine.kv_transfer.io", Unit.BYTES, EngineTransferStep, "KV cache moved, by operation on a shared store."
)
TRANSFER_OPERATIONS = Counter(
    "joulespan.engine.kv_transfer.operations", Unit.EVENTS, EngineTransferStep, "Transfers of KV cache, by operation."
)
TRANSFER_FAILURES = Counter(
    "joulespan.engine.kv_transfer.failures", Unit.EVENTS, EngineTransferStep, "Transfers of KV cache that failed."
)

LORA_ADAPTERS = Gauge("joulespan.engine.lora.adapters", Unit.ITEMS, EngineState, "LoRA adapters, by state.")
LORA_LIMIT = Gauge("joulespan.engine.lora.limit", Unit.ITEMS, EngineModel, "LoRA adapters that a batch can have.")
MEMORY = Gauge(
    "joulespan.engine.memory.usage", Unit.BYTES, EngineMemory, "Memory that the engine took, by its own word."
)
CONTEXT_LIMIT = Gauge("joulespan.engine.context.limit", Unit.TOKENS, EngineModel, "Longest context of a request.")
REQUEST_SLOW = Counter("joulespan.request.slow", Unit.REQUESTS, RequestCause, "Slow requests, by what made them slow.")

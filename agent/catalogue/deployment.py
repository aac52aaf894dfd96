# SPDX-License-Identifier: Apache-2.0
"""What deployments say of themselves: the front end, router, workers, planner and block manager of Dynamo.

They are counted apart from the engines, as each request is in the front end and in one or more workers: never add
the two up. A worker's engine tells of itself under the names above, and `joulespan.engine.info` says which worker of
which deployment that is.
"""

from agent.engine_entities import (
    BlockMove,
    DeploymentWorker,
    EngineTier,
    Frontend,
    FrontendOutcome,
    FrontendStage,
    RouterQueue,
    RouterTokens,
    WorkerError,
    WorkerIo,
)
from agent.entities import Engine
from agent.metric import Counter, Gauge, Histogram
from agent.unit import Unit

REQUESTS_RUNNING = Gauge(
    "joulespan.engine.frontend.requests.running", Unit.REQUESTS, Frontend, "Requests that the front end has taken."
)
REQUESTS_WAITING = Gauge(
    "joulespan.engine.frontend.requests.waiting", Unit.REQUESTS, Frontend, "Those of them that have no first token yet."
)
REQUESTS_STARTED = Counter(
    "joulespan.engine.frontend.requests.started", Unit.REQUESTS, Frontend, "Requests that came in."
)
REQUESTS_FINISHED = Counter(
    "joulespan.engine.frontend.requests.finished", Unit.REQUESTS, FrontendOutcome, "Requests, by how they ended."
)
REQUESTS_CANCELLED = Counter(
    "joulespan.engine.frontend.requests.cancelled", Unit.REQUESTS, Frontend, "Requests that the client gave up."
)
REQUESTS_FAILED = Counter(
    "joulespan.engine.frontend.requests.failed", Unit.REQUESTS, FrontendOutcome, "Requests that failed, by why."
)
CLIENTS_DISCONNECTED = Gauge(
    "joulespan.engine.frontend.clients.disconnected", Unit.ITEMS, Engine, "Clients that went away, since its start."
)
OUTPUT = Counter("joulespan.engine.frontend.output", Unit.TOKENS, Frontend, "Tokens that were sent to clients.")
REQUEST_DURATION = Histogram(
    "joulespan.engine.frontend.request.duration", Unit.SECONDS, Frontend, "Time from arrival to the last token."
)
TIME_TO_FIRST_TOKEN = Histogram(
    "joulespan.engine.frontend.time_to_first_token", Unit.SECONDS, Frontend, "Time from arrival to the first token."
)
INTER_TOKEN_DURATION = Histogram(
    "joulespan.engine.frontend.inter_token.duration", Unit.SECONDS, Frontend, "Time from one token to the next."
)
INPUT_TOKENS = Histogram(
    "joulespan.engine.frontend.request.input.tokens", Unit.TOKENS, Frontend, "Prompt tokens of a request."
)
CACHED_TOKENS = Histogram(
    "joulespan.engine.frontend.request.cached.tokens", Unit.TOKENS, Frontend, "Those of them that were cached."
)
OUTPUT_TOKENS = Histogram(
    "joulespan.engine.frontend.request.output.tokens", Unit.TOKENS, Frontend, "Tokens that a request generated."
)
STAGE_REQUESTS = Gauge(
    "joulespan.engine.frontend.stage.requests", Unit.REQUESTS, FrontendStage, "Requests in a stage of the front end."
)
STAGE_DURATION = Histogram(
    "joulespan.engine.frontend.stage.duration", Unit.SECONDS, FrontendStage, "Time that requests spent in a stage."
)
MODEL_READY = Gauge("joulespan.engine.frontend.model.ready", Unit.NONE, Frontend, "1 while there is a worker for it.")
MODEL_CONTEXT_LIMIT = Gauge(
    "joulespan.engine.frontend.model.context.limit", Unit.TOKENS, Frontend, "Longest context of a request."
)
MODEL_BLOCK_SIZE = Gauge(
    "joulespan.engine.frontend.model.kv_cache.block.size",
    Unit.TOKENS,
    Frontend,
    "Tokens of a block of a worker's cache.",
)
MODEL_BLOCKS_LIMIT = Gauge(
    "joulespan.engine.frontend.model.kv_cache.blocks.limit", Unit.BLOCKS, Frontend, "Blocks of a worker's KV cache."
)
MODEL_BATCH_TOKENS_LIMIT = Gauge(
    "joulespan.engine.frontend.model.batch.tokens.limit", Unit.TOKENS, Frontend, "Tokens of a worker's batch at most."
)
MODEL_BATCH_REQUESTS_LIMIT = Gauge(
    "joulespan.engine.frontend.model.batch.requests.limit",
    Unit.REQUESTS,
    Frontend,
    "Requests of a worker's batch at most.",
)

ROUTER_REQUESTS_STARTED = Counter(
    "joulespan.engine.router.requests.started", Unit.REQUESTS, RouterQueue, "Requests that the router sent to a worker."
)
ROUTER_REQUESTS = Counter(
    "joulespan.engine.router.requests.finished", Unit.REQUESTS, RouterQueue, "Requests that came back to the router."
)
ROUTER_RECEIVED = Counter(
    "joulespan.engine.router.requests.received",
    Unit.REQUESTS,
    RouterQueue,
    "Attempts that came to the router's admission, retries too.",
)
ROUTER_REJECTED = Counter(
    "joulespan.engine.router.requests.rejected", Unit.REQUESTS, RouterQueue, "Attempts that were not let in, by why."
)
ROUTER_QUEUED = Gauge(
    "joulespan.engine.router.queue.requests", Unit.REQUESTS, RouterQueue, "Requests that wait for a worker."
)
ROUTER_QUEUED_TOKENS = Gauge(
    "joulespan.engine.router.queue.tokens",
    Unit.TOKENS,
    RouterQueue,
    "Prompt tokens of requests that wait for a worker.",
)
ROUTER_QUEUED_CACHED = Gauge(
    "joulespan.engine.router.queue.cached_tokens", Unit.TOKENS, RouterQueue, "Those of them expected to be cached."
)
ROUTER_CACHED = Counter(
    "joulespan.engine.router.cached_tokens",
    Unit.TOKENS,
    RouterTokens,
    "Prompt tokens in the caches of workers, as the router saw them.",
)
ROUTER_HIT_RATIO = Histogram(
    "joulespan.engine.router.hit_ratio", Unit.RATIO, RouterQueue, "Share of a prompt that was expected to be cached."
)
ROUTER_OVERHEAD = Histogram(
    "joulespan.engine.router.overhead.duration",
    Unit.SECONDS,
    FrontendStage,
    "Time it took to choose a worker, by step.",
)
ROUTER_TRANSFER = Histogram(
    "joulespan.engine.router.kv_transfer.duration",
    Unit.SECONDS,
    RouterQueue,
    "Time from the end of prefill to the first token: no transfer of KV cache took longer.",
)
WORKER_REGISTERED = Gauge(
    "joulespan.engine.router.worker.registered", Unit.NONE, DeploymentWorker, "1 while the router knows the worker."
)
WORKER_DECODE_BLOCKS = Gauge(
    "joulespan.engine.router.worker.blocks",
    Unit.BLOCKS,
    DeploymentWorker,
    "KV blocks of requests on a worker, as the router counts them.",
)
WORKER_PREFILL_TOKENS = Gauge(
    "joulespan.engine.router.worker.prefill_tokens",
    Unit.TOKENS,
    DeploymentWorker,
    "Prompt tokens that a worker has before it, as the router counts them.",
)

WORKER_REQUESTS_RUNNING = Gauge(
    "joulespan.engine.worker.requests.running", Unit.REQUESTS, DeploymentWorker, "Requests that the worker has taken."
)
WORKER_REQUESTS_WAITING = Gauge(
    "joulespan.engine.worker.requests.waiting",
    Unit.REQUESTS,
    DeploymentWorker,
    "Requests in the worker that its engine has not taken yet.",
)
WORKER_REQUESTS = Counter(
    "joulespan.engine.worker.requests.finished", Unit.REQUESTS, DeploymentWorker, "Requests that the worker served."
)
WORKER_CANCELLED = Counter(
    "joulespan.engine.worker.requests.cancelled", Unit.REQUESTS, DeploymentWorker, "Requests that were given up."
)
WORKER_REJECTED = Counter(
    "joulespan.engine.worker.requests.rejected", Unit.REQUESTS, DeploymentWorker, "Requests it had no room for."
)
WORKER_FAILED = Counter(
    "joulespan.engine.worker.requests.failed", Unit.REQUESTS, WorkerError, "Requests that failed, by where."
)
WORKER_REQUEST_DURATION = Histogram(
    "joulespan.engine.worker.request.duration",
    Unit.SECONDS,
    DeploymentWorker,
    "Time that a request was in the worker, waiting included.",
)
WORKER_FIRST_RESPONSE = Histogram(
    "joulespan.engine.worker.first_response.duration",
    Unit.SECONDS,
    DeploymentWorker,
    "Time until the worker began to answer.",
)
WORKER_TRANSIT = Histogram(
    "joulespan.engine.worker.transit.duration",
    Unit.SECONDS,
    DeploymentWorker,
    "Time from front end to worker, by the clocks of both.",
)
WORKER_PERMIT = Histogram(
    "joulespan.engine.worker.permit.duration", Unit.SECONDS, DeploymentWorker, "Time that a request waited to be taken."
)
WORKER_IO = Counter("joulespan.engine.worker.io", Unit.BYTES, WorkerIo, "Bytes of requests and answers.")
UPTIME = Gauge("joulespan.engine.worker.uptime", Unit.SECONDS, DeploymentWorker, "Time since the process started.")

PLANNER_REPLICAS = Gauge(
    "joulespan.engine.planner.replicas", Unit.ITEMS, RouterQueue, "Workers of a role that there are."
)
PLANNER_WANTED = Gauge(
    "joulespan.engine.planner.replicas.wanted",
    Unit.ITEMS,
    RouterQueue,
    "Workers of a role that the planner decided on.",
)
PLANNER_GPU_DURATION = Gauge(
    "joulespan.engine.planner.gpu.duration", Unit.SECONDS, Engine, "GPU time of the deployment, by the planner's count."
)
PLANNER_POWER_LIMIT = Gauge(
    "joulespan.engine.planner.power.limit", Unit.WATTS, Engine, "Power that the planner may plan with."
)
PLANNER_POWER_PROJECTED = Gauge(
    "joulespan.engine.planner.power.projected",
    Unit.WATTS,
    Engine,
    "Workers times their declared power caps: nothing measured.",
)

MANAGER_MATCHED = Counter(
    "joulespan.engine.block_manager.matched", Unit.TOKENS, Engine, "Prompt tokens that the block manager found."
)
MANAGER_BLOCKS = Counter(
    "joulespan.engine.block_manager.blocks", Unit.BLOCKS, BlockMove, "KV blocks that the block manager moved."
)
MANAGER_HIT_RATIO = Gauge(
    "joulespan.engine.block_manager.hit_ratio", Unit.RATIO, EngineTier, "Share of lookups of late that a tier answered."
)

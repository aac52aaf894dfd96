# SPDX-License-Identifier: Apache-2.0
"""A simulated engine's own metrics, as vLLM 0.32 has them on its page: the same names, labels, buckets and library."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.metrics_core import Metric

from agent.simulation.batching import Finished, Step
from agent.simulation.deployment import Deployment
from agent.simulation.spans import times

_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560)  # fmt: skip  # noqa: E501
_NEXT = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_WHOLE = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)


class _Registry(CollectorRegistry):
    """Brings its metrics up to date when it is asked for them, and gives all of one moment."""

    updated: Callable[[], AbstractContextManager[None]] = nullcontext

    def collect(self) -> Iterator[Metric]:
        with self.updated():
            found = list(super().collect())
        yield from found


class EngineMetrics:
    """Counts what an engine does. Steps and sequences are told early and counted when they are over."""

    def __init__(self, deployment: Deployment) -> None:
        """Count from 0."""
        self.registry = _Registry()
        self._steps: deque[Step] = deque()
        self._ends: deque[Finished] = deque()
        self._last = Step(0.0, 0.0, 0, 0, 0, 0, 0, 0, 0)
        self._deployment = deployment
        self._cache = deployment.limits.kv_tokens
        self._labels = ("0", deployment.model)
        self._running = self._gauge("num_requests_running", "Number of requests in model execution batches.")
        self._waiting = self._gauge("num_requests_waiting", "Number of requests waiting to be processed.")
        self._usage = self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.")
        self._prompt = self._counter("prompt_tokens", "Number of prefill tokens processed.")
        self._hits = self._counter("prompt_tokens_cached", "Number of cached prompt tokens (local + external).")
        self._looked_up = self._counter("prefix_cache_queries", "Prefix cache queries, in number of queried tokens.")
        self._found = self._counter("prefix_cache_hits", "Prefix cache hits, in number of cached tokens.")
        self._generated = self._counter("generation_tokens", "Number of generation tokens processed.")
        self._preempted = self._counter("num_preemptions", "Cumulative number of preemption from the engine.")
        source = Counter("vllm:prompt_tokens_by_source", "Number of prompt tokens by source.",
                         ("engine", "model_name", "source"), registry=self.registry)  # fmt: skip
        self._sources = [source.labels(*self._labels, name) for name in ("local_compute", "local_cache_hit")]
        self._success = Counter("vllm:request_success", "Count of successfully processed requests.",
                                ("engine", "finished_reason", "model_name"), registry=self.registry)  # fmt: skip
        step = "Histogram of number of tokens per engine_step."
        self._iterations = self._histogram("iteration_tokens_total", step, _TOKENS)
        self._gaps = self._histogram("inter_token_latency_seconds", "Histogram of inter-token latency.", _NEXT)
        self._first = self._histogram("time_to_first_token_seconds", "Histogram of time to first token.", _FIRST)
        self._requests = [
            self._histogram(f"{name}_seconds", f"Histogram of {name}.", _NEXT if "token" in name else _WHOLE)
            for name in ("e2e_request_latency", "request_queue_time", "request_prefill_time", "request_decode_time",
                         "request_inference_time", "request_time_per_output_token")
        ]  # fmt: skip

    def again(self) -> "EngineMetrics":
        """Give the metrics of the same engine after it has begun again: from 0, and what comes from now on."""
        fresh = EngineMetrics(self._deployment)
        fresh._steps, fresh._ends, fresh._last = self._steps, self._ends, self._last
        return fresh

    def stepped(self, step: Step) -> None:
        """Take note of an iteration, which may not be over."""
        self._steps.append(step)

    def finished(self, finished: Finished) -> None:
        """Take note of a sequence that is done, or will be."""
        self._ends.append(finished)

    def until(self, now: float) -> None:
        """Count what is over by now, s since the start."""
        while self._steps and self._steps[0].end <= now:
            self._step(self._steps.popleft())
        while self._ends and self._ends[0].last_token <= now:
            self._end(self._ends.popleft())

    def show(self, updated: Callable[[], AbstractContextManager[None]], port: int = 0) -> WSGIServer:
        """Serve the page on a port of loopback, by default a free one, from a thread.

        Each page is written inside of `updated`, which brings the metrics up to now and keeps them there meanwhile.
        """
        self.registry.updated = updated
        server, _ = start_http_server(port, "127.0.0.1", self.registry)
        return server

    def _step(self, step: Step) -> None:
        computed = step.computed_tokens - self._last.computed_tokens
        cached = step.cached_tokens - self._last.cached_tokens
        generated = step.generated_tokens - self._last.generated_tokens
        self._preempted.inc(step.preempted - self._last.preempted)
        self._last = step
        self._running.set(step.running)
        self._waiting.set(step.waiting)
        self._usage.set(min(1.0, step.context / self._cache))
        self._prompt.inc(computed + cached)
        self._hits.inc(cached)
        self._looked_up.inc(computed + cached)
        self._found.inc(cached)
        self._sources[0].inc(computed)
        self._sources[1].inc(cached)
        self._generated.inc(generated)
        self._iterations.observe(computed + generated)

    def _end(self, finished: Finished) -> None:
        request, seen = finished.request, times(finished)
        reason = "length" if finished.output_tokens >= request.max_tokens else "stop"
        reason = "error" if finished.failed else reason
        self._success.labels(self._labels[0], reason, self._labels[1]).inc()
        decode, later = finished.last_token - finished.first_token, finished.output_tokens - 1
        self._first.observe(seen.first_token - seen.arrival)
        for _ in range(later):
            self._gaps.observe(decode / later)
        took = (
            seen.last_token - seen.arrival,
            finished.scheduled - finished.queued,
            finished.first_token - finished.scheduled,
            decode,
            finished.last_token - finished.scheduled,
            decode / later if later else 0.0,
        )
        for histogram, seconds in zip(self._requests, took, strict=True):
            histogram.observe(seconds)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"vllm:{name}", text, ("engine", "model_name"), registry=self.registry).labels(*self._labels)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"vllm:{name}", text, ("engine", "model_name"), registry=self.registry).labels(*self._labels)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        whole = Histogram(f"vllm:{name}", text, ("engine", "model_name"), registry=self.registry, buckets=buckets)
        return whole.labels(*self._labels)

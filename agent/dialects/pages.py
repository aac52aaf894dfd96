# SPDX-License-Identifier: Apache-2.0
"""Reads the pages of metrics of serving engines, whichever engine wrote them, in the names of the catalogue."""

from typing import Any

from agent.catalogue import engine as catalogue
from agent.entities import Engine, EngineModel, EngineTokens
from agent.exposition import Page
from agent.metric import Distribution, Sample

_PREFIXES = {
    "dynamo_": "dynamo",
    "nv_inference_": "triton",
    "vllm:": "vllm",
    "sglang:": "sglang",
    "trtllm_": "tensorrt_llm",
    "tgi_": "tgi",
    "llamacpp:": "llama_cpp",
    "lmdeploy:": "lmdeploy",
}


def recognise(page: Page) -> str | None:
    """Tell which engine wrote a page, by the names on it; None where no engine is known to."""
    for prefix, kind in _PREFIXES.items():
        if any(key.name.startswith(prefix) for key in page.keys):
            return kind
    return None


class Translator:
    """Translates the pages of one engine. Not to be shared between threads."""

    def __init__(self, engine: str, kind: str) -> None:
        """Translate for the engine of this name on the node, which is of this kind; see recognise."""
        self._engine, self._kind = engine, kind

    def translate(self, page: Page) -> list[Sample | Distribution]:
        """Give what the page says, as far as the catalogue has names for it."""
        found: list[Sample | Distribution] = []
        for (name, labels), value in zip(page.keys, page.values, strict=True):
            one = self._one(name, dict(labels), value)
            if one is not None:
                found.append(one)
        return found

    def _one(self, name: str, labels: dict[str, str], value: float) -> Sample | None:
        engine, model = self._engine, labels.get("model_name")
        gauges: dict[str, Any] = {
            "vllm:num_requests_running": catalogue.REQUESTS_RUNNING,
            "vllm:num_requests_waiting": catalogue.REQUESTS_WAITING,
            "vllm:kv_cache_usage_perc": catalogue.KV_CACHE_UTILIZATION,
        }
        if name in gauges:
            return Sample(gauges[name].series(EngineModel(engine, model)), value)
        if name == "vllm:iteration_tokens_total_count":
            return catalogue.ITERATIONS(Engine(engine), value)
        tokens = {
            ("vllm:generation_tokens_total", None): "output",
            ("vllm:prompt_tokens_cached_total", None): "cached",
            ("vllm:prompt_tokens_by_source_total", "local_compute"): "input",
        }
        kind = tokens.get((name, labels.get("source")))
        return None if kind is None else catalogue.TOKENS(EngineTokens(engine, model, kind), value)

# SPDX-License-Identifier: Apache-2.0
"""Pages of metrics, as recorded from real engines or written from their sources, in the names of the catalogue."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.catalogue import deployment, engine, metrics
from agent.dialects.layout import layout
from agent.dialects.pages import DIALECTS, Translator, recognise
from agent.dialects.rules import PageDialect, Rule
from agent.engine_entities import EngineInfo, EngineTier, Frontend
from agent.entities import Engine, EngineModel, EngineTokens
from agent.exposition import Page, Parser
from agent.metric import Distribution, Exemplar, Histogram, Info, Metric, Sample
from agent.snapshot import Snapshots, Source
from exporters.prometheus import Format, PrometheusWriter

TESTS = Path(__file__).parents[1]
FOLDER = TESTS / "fixtures" / "telemetry"
GOLDEN = TESTS / "golden"
PAGES = sorted(FOLDER.rglob("*.prom"))
KINDS = {"vllm": "vllm", "dynamo-aggregated": "dynamo", "dynamo-disaggregated": "dynamo"}
each = pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}-{path.stem}")


@cache
def page(path: Path) -> Page:
    return Parser().parse(path.read_bytes())


def kind_of(path: Path) -> str:
    return KINDS.get(path.parent.name, path.stem)


def translated(text: str | Page, kind: str | None = None) -> list[Sample | Distribution]:
    made = text if isinstance(text, Page) else Parser().parse(text.encode())
    kind = kind or recognise(made)
    assert kind is not None
    return Translator("e", kind).translate(made)


def values(told: Sequence[Sample | Distribution], metric: Metric[Any]) -> dict[Any, float]:
    return {one.series.entity: one.value for one in told if isinstance(one, Sample) and one.series.metric is metric}


def distributions(told: Sequence[Sample | Distribution], metric: Metric[Any]) -> dict[Any, Distribution]:
    return {one.series.entity: one for one in told if isinstance(one, Distribution) and one.series.metric is metric}


@each
def test_a_page_is_recognised_by_its_names(path: Path) -> None:
    assert recognise(page(path)) == kind_of(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[{"gpuMemUsage": 1, "iter": 7}]',
        "DCGM_FI_DEV_POWER_USAGE 300",
        "process_cpu_seconds_total 1",
        "<html></html>",
    ],
)
def test_a_page_of_no_engine_is_none(text: str) -> None:
    assert recognise(Parser().parse(text.encode())) is None


@each
def test_every_name_of_a_page_is_translated_or_left_out_for_a_reason(path: Path) -> None:
    translator = Translator("e", kind_of(path))
    assert translator.translate(page(path))
    assert translator.unknown == ()
    assert translator.dropped == 0


def test_a_name_that_nobody_has_heard_of_is_news() -> None:
    translator = Translator("e", "vllm")
    translator.translate(Parser().parse(b"vllm:num_requests_running 1\nvllm:something_new 1\nother:thing_total 2\n"))
    assert translator.unknown == ("other:thing_total", "vllm:something_new")


SPARED = {
    "vllm:prompt_tokens_total": "goes by its source",
    "vllm:prompt_tokens_by_source_total": "of other sources: those are cached",
    "vllm:gpu_cache_usage_perc": "the old name beside the new one",
    "dynamo_frontend_inflight_requests": "beside dynamo_frontend_active_requests",
    "dynamo_work_handler_queue_depth": "beside dynamo_request_queue",
    "sglang:prompt_tokens_total": "goes by realtime_tokens_total",
    "sglang:generation_tokens_total": "the same",
    "sglang:num_used_tokens": "beside kv_used_tokens",
    "sglang:cached_tokens_total": "the total of what is told by its source",
    "nv_trt_llm_request_metrics": "of types that say nothing more",
    "nv_trt_llm_kv_cache_block_metrics": "free blocks are the rest",
    "nv_trt_llm_inflight_batcher_metrics": "of the last iteration",
    "nv_trt_llm_general_metrics": "a time",
    "trtllm_model_config_info": "in joulespan.engine.info",
    "trtllm_parallel_config_info": "in joulespan.engine.info",
}
"""Samples of names that are translated which are not, and why. The endpoints of a worker that serve no request, too."""


@each
def test_every_sample_of_a_translated_name_is_used_or_spared_for_a_reason(path: Path) -> None:
    dialects = [DIALECTS[kind_of(path)], *(DIALECTS[name] for name in DIALECTS[kind_of(path)].hosts)]
    keys = page(path).keys
    made = layout(keys, "e", dialects, 4096)
    used = {place for one in made.numbers for place in (*one.places, *one.less)}
    used |= {place for one in made.fixed if one.series.metric is not engine.INFO for place in one.values}
    used |= {place for one in made.histograms for part in one.parts for place in part}
    mapped = {name for dialect in dialects for rule in dialect.rules() for name in rule.names}
    spared = {
        key.name
        for place, key in enumerate(keys)
        if place not in used
        and key.name in mapped
        and not key.name.endswith("_count")
        and not dict(key.labels).get("dynamo_endpoint", "").startswith("worker_kv_query_source")
    }
    assert spared - SPARED.keys() == set()


@each
def test_what_engines_counted_is_what_they_said(path: Path) -> None:
    """A distribution has the count and the sum of the page."""
    said = {
        (key.name, frozenset(key.labels)): value for key, value in zip(page(path).keys, page(path).values, strict=True)
    }
    sums = {round(value, 6) for (name, _), value in said.items() if name.endswith("_sum")}
    counts = {value for (name, _), value in said.items() if name.endswith("_count")}
    told = [one for one in translated(page(path)) if isinstance(one, Distribution)]
    for one in told:
        assert len(one.counts) == len(one.buckets) + 1
        assert list(one.buckets) == sorted(one.buckets)
        scaled = {round(total / scale, 6) for total in sums for scale in (1, 1000)} | {total * 2**20 for total in sums}
        # SGLang's requests are counted apart by whether they stream.
        if kind_of(path) != "sglang":
            assert round(one.total or 0.0, 6) in scaled
            assert one.observations in counts


WHOLE = {
    "vllm": FOLDER / "vllm" / "metrics_all_options.prom",
    "dynamo-frontend": FOLDER / "dynamo-disaggregated" / "metrics_frontend.prom",
    "dynamo-worker": FOLDER / "dynamo-aggregated" / "metrics_worker_worker-1.prom",
    **{path.stem: path for path in PAGES if path.parent.name == "pages"},
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_page_becomes_the_golden_file(name: str) -> None:
    path = WHOLE[name]
    snapshots = Snapshots()
    told = Translator(name, kind_of(path)).translate(page(path))
    snapshots.put_samples(Source("engine", name), told, 0)
    text = PrometheusWriter({}).write(snapshots.current, Format.OPENMETRICS).decode()
    lines = [line for line in text.splitlines() if line.startswith("joulespan_engine_")]
    golden = GOLDEN / f"engine-{name}.txt"
    if not golden.exists():
        golden.write_text("\n".join(lines) + "\n")
        pytest.fail(f"{golden.name} was missing and has been written: read it, and run again")
    assert lines == golden.read_text().splitlines()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: make install-tools")
def test_promtool_has_nothing_to_say_of_histograms_with_the_buckets_of_several_engines() -> None:
    snapshots = Snapshots()
    for name, path in WHOLE.items():
        snapshots.put_samples(Source("engine", name), Translator(name, kind_of(path)).translate(page(path)), 0)
    text = PrometheusWriter({}).write(snapshots.current, Format.TEXT)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_vllms_tokens_are_those_that_the_clients_counted() -> None:
    """A recording: 2062 prompt tokens of which 128 were cached, 1842 generated, in 1280 forward passes."""
    told = translated(page(WHOLE["vllm"]))
    tokens = values(told, engine.TOKENS)
    assert tokens == {
        EngineTokens("e", "tiny-llama", "input"): 2062 - 128,
        EngineTokens("e", "tiny-llama", "cached"): 128,
        EngineTokens("e", "tiny-llama", "output"): 1842,
    }
    assert values(told, engine.ITERATIONS) == {Engine("e"): 1280}
    passes = distributions(told, engine.ITERATION_TOKENS)[EngineModel("e", "tiny-llama")]
    # Each prompt token that was computed, and each token but the first of a request, was in a forward pass.
    assert (passes.observations, passes.total) == (1280, 1934 + 1842)


def test_llama_cpps_tokens_are_those_that_the_client_was_told() -> None:
    """A recording of three requests: 11, 11 and 9 prompt tokens, of which 0, 6 and 0 were cached; 20, 8 and 12 more."""
    told = translated(page(WHOLE["llama_cpp"]))
    tokens = {entity.type: value for entity, value in values(told, engine.TOKENS).items()}
    assert tokens == {"input": 11 + 5 + 9, "cached": 6, "output": 20 + 8 + 12}
    # One for each token, and one more for each of the prompts.
    assert values(told, engine.ITERATIONS) == {Engine("e"): 43}


@pytest.mark.parametrize("path", [path for path in PAGES if "worker" in path.stem], ids=lambda path: path.stem)
def test_a_dynamo_worker_is_joined_with_its_engine_by_its_decimal_id(path: Path) -> None:
    told = translated(page(path))
    (info,) = values(told, engine.INFO)
    (worker,) = {one.worker for one in values(told, deployment.WORKER_REQUESTS)}
    assert info.worker == worker
    assert (info.system, info.deployment) == ("dynamo", "dynamo")
    seen = {
        dict(key.labels)["worker_id"] for key in page(path).keys if key.name.startswith("dynamo_component_requests")
    }
    assert seen == {f"{int(worker):x}"}
    front = path.with_name("metrics_frontend.prom")
    known = values(translated(page(front)), deployment.WORKER_REGISTERED)
    assert worker in {one.worker for one in known}
    assert values(told, engine.REQUESTS_RUNNING) or info.component == "prefill"


def test_old_names_are_the_new_ones_and_count_once() -> None:
    old = translated('vllm:gpu_cache_usage_perc{model_name="m"} 0.5\nvllm:cpu_cache_usage_perc{model_name="m"} 0.25\n')
    assert values(old, engine.KV_CACHE_UTILIZATION) == {EngineModel("e", "m"): 0.5}
    assert values(old, engine.OFFLOAD_UTILIZATION) == {EngineTier("e", "host", "m"): 0.25}
    both = translated('vllm:gpu_cache_usage_perc{model_name="m"} 0.5\nvllm:kv_cache_usage_perc{model_name="m"} 0.5\n')
    assert values(both, engine.KV_CACHE_UTILIZATION) == {EngineModel("e", "m"): 0.5}


@pytest.mark.parametrize(
    ("text", "computed", "cached"),
    [
        ("vllm:prompt_tokens_total 100\nvllm:prompt_tokens_cached_total 30\n", 70, 30),
        ("vllm:prompt_tokens_total 100\nvllm:prefix_cache_hits_total 40\n", 60, 40),
        ("vllm:prompt_tokens_total 100\nvllm:gpu_prefix_cache_hits_total 45\n", 55, 45),
        ("vllm:prompt_tokens_total 100\n", None, None),
        ("sglang:prompt_tokens_total 100\nsglang:cached_tokens_total 30\n", 70, 30),
        ('sglang:prompt_tokens_total 9\nsglang:cached_tokens_total{cache_source="device"} 4\n', 5, 4),
        ("trtllm_prompt_tokens_total 100\ntrtllm_prompt_cached_tokens_total 30\n", 70, 30),
        ("trtllm_prompt_tokens_total 100\n", None, None),
        ("llamacpp:prompt_tokens_total 100\nllamacpp:prompt_tokens_cached_total 30\n", 100, 30),
        ("llamacpp:prompt_tokens_total 100\n", 100, None),
        ("lmdeploy:prompt_tokens_total 100\nlmdeploy:num_requests_running 1\n", None, None),
    ],
)
def test_input_is_what_prefill_computed_or_unknown(text: str, computed: float | None, cached: float | None) -> None:
    told = values(translated(text), engine.TOKENS)
    assert told.get(EngineTokens("e", None, "input")) == computed
    assert told.get(EngineTokens("e", None, "cached")) == cached


@pytest.mark.parametrize(
    "text",
    [
        "vllm:kv_offload_store_bytes_total 7\nvllm:kv_offload_load_bytes_total 3\n",
        (
            'vllm:kv_offload_total_bytes_total{transfer_type="GPU_to_CPU"} 7\n'
            'vllm:kv_offload_total_bytes_total{transfer_type="CPU_to_GPU"} 3\n'
        ),
        (
            'vllm:kv_offload_total_bytes_total{transfer_type="GPU_to_CPU"} 7\n'
            "vllm:kv_offload_store_bytes_total 7\nvllm:kv_offload_load_bytes_total 3\n"
        ),
    ],
)
def test_bytes_that_are_told_under_two_names_count_once(text: str) -> None:
    told = {entity.direction: value for entity, value in values(translated(text), engine.OFFLOAD_IO).items()}
    assert told == {"store": 7, "load": 3}


def test_a_difference_falls_only_when_the_engine_starts_again() -> None:
    translator, parser = Translator("e", "vllm"), Parser()
    found = []
    # At the third reading the engine had counted cached tokens, and not yet the prompts that they are of.
    for whole, part in ((100, 30), (200, 60), (200, 90), ("NaN", 90), (300, 90), (10, 3), (20, 6)):
        text = f"vllm:prompt_tokens_total {whole}\nvllm:prompt_tokens_cached_total {part}\n"
        told = translator.translate(parser.parse(text.encode()))
        found.append(values(told, engine.TOKENS).get(EngineTokens("e", None, "input")))
    assert found == [70, 140, 140, None, 210, 7, 14]


def test_a_counter_that_starts_again_is_passed_on() -> None:
    translator, parser = Translator("e", "vllm"), Parser()
    for value in (500, 600, 4):
        told = translator.translate(parser.parse(f"vllm:generation_tokens_total {value}\n".encode()))
        assert [*values(told, engine.TOKENS).values()] == [value]


def test_data_parallel_ranks_are_told_apart_and_one_alone_has_no_rank() -> None:
    line = (
        'vllm:num_requests_running{{engine="{0}",model_name="m"}} {0}\n'
        'vllm:iteration_tokens_total_count{{engine="{0}"}} {0}\n'
    )
    one = translated(line.format(3))
    assert values(one, engine.REQUESTS_RUNNING) == {EngineModel("e", "m"): 3}
    two = translated(line.format(3) + line.format(4))
    assert values(two, engine.REQUESTS_RUNNING) == {EngineModel("e", "m", "3"): 3, EngineModel("e", "m", "4"): 4}
    assert values(two, engine.ITERATIONS) == {Engine("e", "3"): 3, Engine("e", "4"): 4}


def test_several_models_on_one_port_are_told_apart() -> None:
    text = "".join(
        f'vllm:generation_tokens_total{{model_name="{name}",engine="0"}} {count}\n'
        f'vllm:iteration_tokens_total_count{{model_name="{name}",engine="0"}} {count}\n'
        for name, count in (("a", 3), ("b", 4))
    )
    told = translated(text)
    assert values(told, engine.TOKENS) == {EngineTokens("e", "a", "output"): 3, EngineTokens("e", "b", "output"): 4}
    assert values(told, engine.ITERATIONS) == {Engine("e"): 7}
    assert [*values(told, engine.INFO)] == [EngineInfo("e", "vllm")]


def test_ranks_that_work_on_the_same_batch_count_once() -> None:
    """SGLang with attention that is data parallel: the ranks of one data-parallel rank say the same."""
    text = "".join(
        f'sglang:num_running_reqs{{dp_rank="{dp}",tp_rank="{tp}",pp_rank="0"}} {running}\n'
        f'sglang:realtime_tokens_total{{dp_rank="{dp}",tp_rank="{tp}",pp_rank="0",mode="decode"}} {running * 10}\n'
        for dp, tp, running in ((0, 0, 5), (0, 1, 5), (1, 2, 7), (1, 10, 7))
    )
    told = translated(text)
    assert values(told, engine.REQUESTS_RUNNING) == {EngineModel("e", None, "0"): 5, EngineModel("e", None, "1"): 7}
    assert [*values(told, engine.TOKENS).values()] == [50, 70]


def test_with_priorities_the_scheduler_tells_all_and_each() -> None:
    text = "".join(
        f'sglang:num_queue_reqs{{priority="{name}"}} {count}\n' for name, count in (("", 3), ("1", 1), ("2", 2))
    )
    assert values(translated(text), engine.REQUESTS_WAITING) == {EngineModel("e"): 3}
    requests = 'sglang:generation_tokens_total{priority=""} 3\nsglang:generation_tokens_total{priority="1"} 4\n'
    assert values(translated(requests), engine.TOKENS) == {EngineTokens("e", None, "output"): 7}


HISTOGRAM = """vllm:time_to_first_token_seconds_bucket{{le="0.5",model_name="m"}} {}
vllm:time_to_first_token_seconds_bucket{{le="1.0",model_name="m"}} {}
vllm:time_to_first_token_seconds_bucket{{le="+Inf",model_name="m"}} {}
vllm:time_to_first_token_seconds_sum{{model_name="m"}} {}
vllm:time_to_first_token_seconds_count{{model_name="m"}} {}
"""


def test_histograms_keep_their_buckets_and_are_the_same_object_while_nothing_is_observed() -> None:
    translator, parser = Translator("e", "vllm"), Parser()

    def read(*numbers: float) -> Distribution | None:
        told = translator.translate(parser.parse(HISTOGRAM.format(*numbers).encode()))
        return distributions(told, engine.TIME_TO_FIRST_TOKEN).get(EngineModel("e", "m"))

    first = read(1, 3, 4, 2.5, 4)
    assert first == engine.TIME_TO_FIRST_TOKEN.distribution(
        EngineModel("e", "m"), [1, 2, 1], 2.5, [None] * 3, (0.5, 1.0)
    )
    assert read(1, 3, 4, 2.5, 4) is first
    more = read(1, 3, 5, 9.5, 5)
    assert more is not None
    assert (more.counts, more.total) == ([1, 2, 2], 9.5)
    # Buckets that were written at different instants contradict each other: for this page it is absent.
    assert read(4, 3, 5, 9.5, 5) is None
    assert read(1, 3, 5, float("nan"), 5) is None
    assert read(1, 3, 5, 9.5, 5) == more


def test_buckets_in_other_units_come_out_in_base_units_to_the_last_digit() -> None:
    text = "".join(
        f'sglang:kv_transfer_{name}_bucket{{le="{le}"}} {count}\n'
        for name in ("latency_ms", "total_mb")
        for le, count in (("0.03", 1), ("5.0", 2), ("+Inf", 3))
    )
    told = translated(text + "sglang:kv_transfer_latency_ms_sum 700\nsglang:kv_transfer_total_mb_sum 3\n")
    (duration,) = distributions(told, engine.TRANSFER_DURATION).values()
    assert (duration.buckets, duration.total) == ((0.00003, 0.005), 0.7)
    (size,) = distributions(told, engine.TRANSFER_SIZE).values()
    assert (size.buckets, size.total) == ((31457.28, 5 * 2**20), 3 * 2**20)


def test_histograms_that_differ_in_what_is_not_told_add_up_where_their_buckets_agree() -> None:
    text = "".join(
        f'sglang:time_to_first_token_seconds_bucket{{is_streaming="{streaming}",le="{le}"}} {count}\n'
        f'sglang:time_to_first_token_seconds_sum{{is_streaming="{streaming}"}} 1.5\n'
        for streaming, les in (("true", ("1.0", "+Inf")), ("false", ("1.0", "+Inf")), ("other", ("2.0", "+Inf")))
        for le, count in zip(les, (2, 5), strict=True)
    )
    (told,) = distributions(translated(text), engine.TIME_TO_FIRST_TOKEN).values()
    assert (told.counts, told.total, told.buckets) == ([4, 6], 3.0, (1.0,))


def test_exemplars_are_kept_with_their_span() -> None:
    trace, span = "0123456789abcdef" * 2, "0123456789ABCDEF"
    text = HISTOGRAM.format(
        f'1 # {{trace_id="{trace}",span_id="{span}"}} 0.25 1795555491.5',
        f'3 # {{trace_id="{trace}"}} 0.75',
        '4 # {trace_id="not one",span_id="x"} 2',
        2.5,
        4,
    )
    (told,) = distributions(translated(text + "# EOF\n"), engine.TIME_TO_FIRST_TOKEN).values()
    assert told.exemplars == [
        Exemplar(0.25, trace, span.lower(), 1795555491_500_000_000),
        Exemplar(0.75, trace, "", 0),
        None,
    ]


def test_what_is_not_a_number_is_absent() -> None:
    told = translated("vllm:num_requests_running NaN\nvllm:num_requests_waiting 1\nvllm:generation_tokens_total +Inf\n")
    assert values(told, engine.REQUESTS_RUNNING) == values(told, engine.TOKENS) == {}
    assert values(told, engine.REQUESTS_WAITING) == {EngineModel("e"): 1}


def test_of_adapters_the_series_that_was_written_last_counts() -> None:
    def line(running: str, waiting: str, when: float) -> str:
        labels = f'max_lora="4",running_lora_adapters="{running}",waiting_lora_adapters="{waiting}"'
        return f"vllm:lora_requests_info{{{labels}}} {when}\n"

    told = translated(line("a,b", "", 200) + line("", "", 100) + line("a", "c, d,e", 300))
    states = {entity.state: value for entity, value in values(told, engine.LORA_ADAPTERS).items()}
    assert states == {"running": 1, "waiting": 3}
    assert [*values(told, engine.LORA_LIMIT).values()] == [4]


def test_a_long_label_is_cut_and_there_is_room_for_so_many_series() -> None:
    text = "".join(f'vllm:num_requests_running{{model_name="{number:05}{"x" * 500}"}} 1\n' for number in range(5000))
    translator = Translator("e", "vllm")
    told = translator.translate(Parser().parse(text.encode()))
    assert (len(told), translator.dropped) == (4096, 5001 - 4096)
    assert {len(entity.model) for entity in values(told, engine.REQUESTS_RUNNING)} == {256}


def test_the_deployment_is_what_all_of_a_page_say() -> None:
    text = 'dynamo_frontend_active_requests{model="m"} 1\n'
    one = text + 'dynamo_component_uptime_seconds{dynamo_namespace="prod",worker_id="ff"} 1\n'
    assert [*values(translated(one), deployment.REQUESTS_RUNNING)] == [Frontend("e", "prod", "m")]
    two = one + 'dynamo_component_inflight_requests{dynamo_namespace="test"} 1\n'
    assert [*values(translated(two), deployment.REQUESTS_RUNNING)] == [Frontend("e", None, "m")]


def test_planner_and_block_manager_are_parts_of_a_deployment() -> None:
    planner = translated(
        "dynamo_planner_num_decode_replicas 3\ndynamo_planner_gpu_hours 0.5\ndynamo_planner_estimated_itl_ms 4\n"
    )
    assert [*values(planner, deployment.PLANNER_REPLICAS).values()] == [3]
    assert [*values(planner, deployment.PLANNER_GPU_DURATION).values()] == [1800]
    assert {info.component for info in values(planner, engine.INFO)} == {"planner"}
    manager = translated(
        'kvbm_offload_blocks_d2h{dp_rank="0"} 1166\nkvbm_matched_tokens 7\nkvbm_host_cache_hit_rate 0.5\n'
    )
    (moved,) = values(manager, deployment.MANAGER_BLOCKS)
    assert (moved.operation, moved.path) == ("offload", "device_host")


def rules() -> Iterator[tuple[PageDialect, Rule]]:
    for dialect in DIALECTS.values():
        for rule in dialect.rules():
            yield dialect, rule


def test_every_rule_fills_the_fields_that_its_entity_needs() -> None:
    for dialect, rule in rules():
        kind: Any = rule.metric.entity
        told = {*rule.labels, *rule.fixed}
        assert told <= set(kind._fields), (dialect.name, rule.sources)
        needed = set(kind._fields) - kind._field_defaults.keys() - {"engine", "model"}
        assert needed <= told | dialect.labels.keys() | dialect.page.keys(), (dialect.name, rule.sources)


def test_every_metric_of_an_engine_is_told_by_some_page() -> None:
    told = {rule.metric for _, rule in rules()} | {engine.INFO}
    every = {*metrics(engine), *metrics(deployment)} - {engine.REQUEST_SLOW}
    assert {metric.name for metric in every - told} == set()
    assert all(isinstance(metric, Histogram | Info) or metric.unit for metric in told)


def test_nothing_is_both_translated_and_left_out() -> None:
    for dialect in DIALECTS.values():
        exact = {name for left in dialect.left_out for name in left.names if not name.endswith("*")}
        assert exact & {name for rule in dialect.rules() for name in rule.names} == set(), dialect.name


LINES = sorted({line for path in PAGES for line in path.read_text().splitlines() if not line.startswith("#")})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=40), st.sampled_from([*DIALECTS]), st.randoms(use_true_random=False))
def test_no_page_raises(lines: list[str], kind: str, random: Any) -> None:
    for _ in range(len(lines) // 4):
        line = random.choice(lines)
        cut = random.randrange(len(line))
        lines.append(line[:cut] + random.choice(["", " ", "NaN", "-1", '"', ",", "1e300", 'le="x"']) + line[cut + 1 :])
    translator, parser = Translator("e", kind), Parser()
    for part in (lines, lines[1:], lines):
        told = translator.translate(parser.parse("\n".join(part).encode()))
        assert len({one.series for one in told}) == len(told)

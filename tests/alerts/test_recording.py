# SPDX-License-Identifier: Apache-2.0
"""The recording rules are right by Prometheus' own tools."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from alerts import Options, documents, subjects

LABELS = 'engine="e",gen_ai_request_model="m"'
UNIT_TEST = """
rule_files: [joulespan-energy.yaml, joulespan-inference.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'joulespan_energy_attributed_joules_total{%s,tenant="a",phase="prefill"}', values: '0+60x10'}
      - {series: 'joulespan_energy_attributed_joules_total{%s,tenant="b",phase="prefill"}', values: '0+60x10'}
      - {series: 'joulespan_energy_attributed_joules_total{%s,phase="decode"}', values: '0+600x10'}
      - {series: 'joulespan_request_tokens_total{%s,gen_ai_token_type="input"}', values: '0+240x10'}
      - {series: 'joulespan_request_tokens_total{%s,gen_ai_token_type="output"}', values: '0+1200x10'}
      - {series: 'joulespan_energy_measured_joules_total{hw_id="G"}', values: '0+1000x10'}
      - {series: 'joulespan_energy_idle_joules_total{hw_id="G"}', values: '0+250x10'}
      - {series: 'joulespan_energy_measured_joules_total{hw_id="off"}', values: '0+0x10'}
      - {series: 'joulespan_energy_idle_joules_total{hw_id="off"}', values: '0+0x10'}
      - {series: 'gen_ai_server_time_to_first_token_seconds_bucket{%s,le="2.5"}', values: '0+120x10'}
      - {series: 'gen_ai_server_time_per_output_token_seconds_bucket{%s,le="0.1"}', values: '0+60x10'}
      - {series: 'gen_ai_server_time_to_first_token_seconds_bucket{engine="one",le="2.5"}', values: '0+120x10'}
      - {series: 'joulespan_engine_tokens_total{instance="n",%s,gen_ai_token_type="output"}', values: '0+2400x10'}
      - {series: 'joulespan_engine_gpu_info{instance="n",engine="e",hw_id="G"}', values: '1x10'}
      - {series: 'joulespan_engine_gpu_info{instance="n",engine="e",hw_id="H"}', values: '1x10'}
    promql_expr_test:
      - expr: engine_model:joulespan_prefill_joules_per_token:rate5m
        eval_time: 10m
        exp_samples: [{labels: 'engine_model:joulespan_prefill_joules_per_token:rate5m{%s}', value: 0.5}]
      - expr: engine_model:joulespan_decode_joules_per_token:rate5m
        eval_time: 10m
        exp_samples: [{labels: 'engine_model:joulespan_decode_joules_per_token:rate5m{%s}', value: 0.5}]
      - expr: gpu:joulespan_energy_idle:ratio_rate5m
        eval_time: 10m
        exp_samples: [{labels: 'gpu:joulespan_energy_idle:ratio_rate5m{hw_id="G"}', value: 0.25}]
      - expr: engine_model:joulespan_joules_per_token:rate5m
        eval_time: 10m
        exp_samples: [{labels: 'engine_model:joulespan_joules_per_token:rate5m{%s}', value: 0.6}]
      - expr: cluster:joulespan_energy_idle:ratio_rate5m
        eval_time: 10m
        exp_samples: [{labels: 'cluster:joulespan_energy_idle:ratio_rate5m', value: 0.25}]
      - expr: engine_model:joulespan_goodput:rate5m
        eval_time: 10m
        exp_samples:
          - {labels: 'engine_model:joulespan_goodput:rate5m{%s}', value: 1}
          - {labels: 'engine_model:joulespan_goodput:rate5m{engine="one"}', value: 2}
      - expr: engine_model:joulespan_goodput_per_watt:rate5m * 12
        eval_time: 10m
        exp_samples: [{labels: '{%s}', value: 1}]
      - expr: instance_engine:joulespan_tokens_per_gpu:rate5m
        eval_time: 10m
        exp_samples: [{labels: 'instance_engine:joulespan_tokens_per_gpu:rate5m{instance="n",engine="e"}', value: 20}]
""".replace("%s", LABELS)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: make install-tools")
def test_the_rules_give_joules_per_token_and_shares_and_nothing_where_nothing_was_done(tmp_path: Path) -> None:
    for subject in ("energy", "inference"):
        name = f"joulespan-{subject}.yaml"
        (tmp_path / name).write_text(documents(Options())[f"alerts/rules/{name}"])
    (tmp_path / "test.yaml").write_text(UNIT_TEST)
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_an_alert_asks_for_is_recorded() -> None:
    every = subjects(Options())
    recorded = {rule.record for subject in every for rule in subject.records}
    asked = {name for subject in every for alert in subject.alerts for name in _records(str(alert.expr))}
    assert asked
    assert asked <= recorded


def test_rules_are_recorded_after_those_they_are_made_of() -> None:
    for subject in subjects(Options()):
        known: set[str] = set()
        for rule in subject.records:
            assert _records(str(rule.expr)) <= known
            known.add(rule.record)


def _records(query: str) -> set[str]:
    return set(re.findall(r"\w+:\w+:\w+", query))


RACK_TEST = """
rule_files: [joulespan-rack.yaml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'joulespan_rack_gpus{instance="a",%s,state="healthy"}', values: '4x9 3x10'}
      - {series: 'joulespan_rack_gpus{instance="a",%s,state="degraded"}', values: '0x9 1x10'}
      - {series: 'joulespan_rack_gpus{instance="a",%s,state="missing"}', values: '1x20'}
      - {series: 'joulespan_rack_gpus{instance="b",%s,state="healthy"}', values: '4x9 stale'}
      - {series: 'joulespan_rack_gpus_expected{instance="a",%s}', values: '4x20'}
      - {series: 'joulespan_rack_gpus_expected{instance="b",%s}', values: '4x9 stale'}
    promql_expr_test:
      - {expr: 'domain:joulespan_rack_gpus:sum', eval_time: 5m, exp_samples: [{labels: '%s', value: 8}]}
      - {expr: 'domain:joulespan_rack_gpus_expected:sum', eval_time: 5m, exp_samples: [{labels: '%s', value: 8}]}
      - {expr: 'domain:joulespan_rack_nodes:count', eval_time: 15m, exp_samples: [{labels: '%s', value: 1}]}
      - {expr: 'domain:joulespan_rack_gpus:sum', eval_time: 15m, exp_samples: [{labels: '%s', value: 4}]}
      - {expr: 'domain:joulespan_rack_gpus_healthy:sum', eval_time: 15m, exp_samples: [{labels: '%s', value: 3}]}
"""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: make install-tools")
def test_a_domain_is_the_sum_of_its_nodes(tmp_path: Path) -> None:
    labels = 'cluster="c",fabric_cluster_uuid="U",fabric_clique="1"'
    text = RACK_TEST
    for line in RACK_TEST.splitlines():
        name = line.partition("expr: '")[2].partition("'")[0]
        told = f"{name}{{{labels}}}" if name else labels
        text = text.replace(line, line.replace("%s", told))
    (tmp_path / "test.yaml").write_text(text, "utf-8")
    rules = documents(Options())["alerts/rules/joulespan-rack.yaml"]
    (tmp_path / "joulespan-rack.yaml").write_text(rules, "utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

# SPDX-License-Identifier: Apache-2.0
"""The recording rules are right by Prometheus' own tools."""

import subprocess
from pathlib import Path

import pytest

from alerts.recording import GROUPS, rules_file

LABELS = 'engine="e",gen_ai_request_model="m"'
UNIT_TEST = """
rule_files: [joulespan-energy.yaml]
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
""".replace("%s", LABELS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for group in GROUPS:
        (tmp_path / f"{group.name}.yaml").write_text(rules_file(group))
    return tmp_path


def promtool(*arguments: str, folder: Path) -> str:
    done = subprocess.run(["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_nothing_wrong(folder: Path) -> None:
    for group in GROUPS:
        assert "SUCCESS" in promtool("check", "rules", f"{group.name}.yaml", folder=folder)


def test_the_rules_give_joules_per_token_and_shares_and_nothing_where_nothing_was_done(folder: Path) -> None:
    (folder / "test.yaml").write_text(UNIT_TEST)
    assert "SUCCESS" in promtool("test", "rules", "test.yaml", folder=folder)

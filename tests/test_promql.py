# SPDX-License-Identifier: Apache-2.0
"""Queries are built from metrics: what is built is valid PromQL and means what was built."""

import operator
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.catalogue.cpu_power import MODULE_ENERGY
from agent.catalogue.energy import ENERGY_IDLE as ENERGY
from agent.catalogue.gpu import GPU_INFO, GPU_UTILIZATION, POWER_LIMIT, TEMPERATURE
from agent.catalogue.gpu import POWER as BOARD_POWER
from agent.catalogue.gpu import POWER_MODULE as POWER
from agent.catalogue.health import XID
from agent.catalogue.requests import REQUEST_DURATION, TIME_TO_FIRST_TOKEN
from agent.promql import Expr, Not, NotRegex, Regex, Scope, absent, increase, now, of, quantile, rate

Tree: TypeAlias = "str | int | tuple[str, Tree, Tree]"
OPERATORS: dict[str, tuple[int, Callable[[Any, Any], Expr]]] = {
    "*": (5, operator.mul),
    "/": (5, operator.truediv),
    "+": (4, operator.add),
    "-": (4, operator.sub),
    ">": (3, operator.gt),
    ">=": (3, operator.ge),
    "<": (3, operator.lt),
    "<=": (3, operator.le),
    "==": (3, Expr.equals),
    "!=": (3, Expr.differs),
    "and": (2, operator.and_),
    "unless": (2, Expr.unless),
    "or": (1, operator.or_),
}
"""Binding as Prometheus documents it, the strongest highest; all of these are left-associative."""
LEAVES = ("joulespan_gpu_power_module_watts", "joulespan_energy_idle_joules_total", "up")
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: (
        st.tuples(st.sampled_from(sorted(OPERATORS)), inner, inner)
        | st.tuples(st.sampled_from(["*", "/", "+", "-", ">", "<=", "=="]), inner, st.integers(0, 99))
    ),
    max_leaves=12,
)


def build(tree: Tree) -> Expr | int:
    """Build the expression of a tree."""
    if isinstance(tree, tuple):
        name, left, right = tree
        return OPERATORS[name][1](build(left), build(right))
    return Expr(tree) if isinstance(tree, str) else tree


class Parser:
    """Reads binary operators as Prometheus does, by precedence climbing."""

    def __init__(self, text: str) -> None:
        self._tokens = re.findall(r"[()]|[a-z_]+|\d+|[-+*/]|[<>=!]=?", text)

    def parse(self, least: int = 0) -> Tree:
        token = self._tokens.pop(0)
        tree: Tree = int(token) if token.isdigit() else token
        if token == "(":
            tree = self.parse()
            assert self._tokens.pop(0) == ")"
        while self._tokens and self._tokens[0] != ")" and (binding := OPERATORS[self._tokens[0]][0]) > least:
            tree = (self._tokens.pop(0), tree, self.parse(binding))
        return tree


@settings(deadline=None)
@given(TREES)
def test_an_expression_is_read_back_as_it_was_built(tree: Tree) -> None:
    assert Parser(str(build(tree))).parse() == tree


def test_parentheses_stand_only_where_they_are_needed() -> None:
    a, b, c = Expr("a"), Expr("b"), Expr("c")
    assert str(a + b * c - a) == "a + b * c - a"
    assert str((a + b) * c) == "(a + b) * c"
    assert str(a - (b - c)) == "a - (b - c)"
    assert str((a > 1) & (b < 2) | c) == "a > 1 and b < 2 or c"
    assert str(a.unless(b | c)) == "a unless (b or c)"
    assert str((a + b).over_time("max", "1h")) == "max_over_time((a + b)[1h:])"
    assert str((a / b).sum() / 2) == "sum(a / b) / 2"


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1"), (0.05, "0.05"), (1.5e9, "1500000000"), (123456789, "123456789"), (-2, "-2"), (1e-9, "1e-09")],
)
def test_a_number_keeps_all_its_digits(number: float, text: str) -> None:
    assert str(of(POWER) > number) == f"joulespan_gpu_power_module_watts > {text}"


@given(st.floats(allow_nan=False))
def test_any_number_is_read_back_as_itself(number: float) -> None:
    assert float(str(of(POWER) + number).removeprefix("joulespan_gpu_power_module_watts + ")) == number


def test_a_selector_writes_attributes_as_labels() -> None:
    assert str(of(GPU_UTILIZATION, {"hw.gpu.task": "general"})) == 'hw_gpu_utilization_ratio{hw_gpu_task="general"}'
    assert str(rate(XID, {"xid": Regex("48|79")}, "5m")) == 'rate(joulespan_gpu_xid_total{xid=~"48|79"}[5m])'
    assert (
        str(increase(ENERGY).sum("hw.id"))
        == "sum by (hw_id) (increase(joulespan_energy_idle_joules_total[$__rate_interval]))"
    )
    assert str(absent(POWER, {"job": "node"})) == 'absent(joulespan_gpu_power_module_watts{job="node"})'


def test_a_label_value_is_escaped() -> None:
    selected = str(of(POWER, {"hw.name": 'a"b\\c\nd', "hw.id": Regex(r"GPU-\d+")}))
    assert selected == r'joulespan_gpu_power_module_watts{hw_name="a\"b\\c\nd",hw_id=~"GPU-\\d+"}'


def test_only_a_counter_has_a_rate() -> None:
    with pytest.raises(TypeError, match=r"rate\(\) of hw\.temperature, which is no counter"):
        rate(TEMPERATURE)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"increase\(\) of joulespan\.gpu\.info"):
        increase(GPU_INFO)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "build_it",
    [
        lambda: of(POWER, {"hw.gpu.task": "general"}),
        lambda: of(POWER, {"hw_id": "GPU-1"}),
        lambda: rate(ENERGY, {"xid": "79"}),
        lambda: absent(POWER, {"link": "3"}),
        lambda: of(POWER).sum("xid"),
        lambda: of(POWER).sum("hw.id").max("hw.name"),
        lambda: of(POWER).unless(of(POWER), "xid"),
        lambda: of(POWER).times(of(GPU_INFO), ["hw.id"], ["xid"]),
        lambda: of(POWER).sum("hw.name").times(of(GPU_INFO), ["hw.id"], ["hw.model"]),
        lambda: quantile(0.9, REQUEST_DURATION, "hw.id"),
    ],
)
def test_an_attribute_that_the_series_do_not_have_is_refused(build_it: Callable[[], Expr]) -> None:
    with pytest.raises(ValueError, match="no attribute `"):
        build_it()


NODES = Scope({"cluster": Regex("$cluster"), "instance": Regex("$instance")})
MATCHERS = 'cluster=~"$cluster",instance=~"$instance"'


def test_a_scope_is_in_every_selector() -> None:
    assert str(NODES.of(POWER)) == f"joulespan_gpu_power_module_watts{{{MATCHERS}}}"
    assert str(NODES.rate(XID, {"xid": "79"}, "5m")) == f'rate(joulespan_gpu_xid_total{{xid="79",{MATCHERS}}}[5m])'
    assert str(NODES.increase(ENERGY, window="1h")) == f"increase(joulespan_energy_idle_joules_total{{{MATCHERS}}}[1h])"
    assert str(NODES.resets(ENERGY, window="1h")) == f"resets(joulespan_energy_idle_joules_total{{{MATCHERS}}}[1h])"
    assert str(NODES.absent(POWER)) == f"absent(joulespan_gpu_power_module_watts{{{MATCHERS}}})"
    assert str(NODES.recorded("a:b:c", "hw.id")) == f"a:b:c{{{MATCHERS}}}"
    family = "gen_ai_server_request_duration_seconds"
    assert str(NODES.quantile(0.5, REQUEST_DURATION, window="5m")) == (
        f"histogram_quantile(0.5, sum by (le) (rate({family}_bucket{{{MATCHERS}}}[5m])))"
    )
    assert str(NODES.observed("count", REQUEST_DURATION, window="5m")) == f"rate({family}_count{{{MATCHERS}}}[5m])"


def test_several_metrics_are_selected_by_their_names() -> None:
    both = NODES.narrow({"hw.id": "a"}).any(POWER, ENERGY)
    assert (
        str(both)
        == f'{{__name__=~"joulespan_gpu_power_module_watts|joulespan_energy_idle_joules_total",hw_id="a",{MATCHERS}}}'
    )
    assert "hw.limit_type" not in Scope().any(POWER, POWER_LIMIT).attributes


def test_an_empty_scope_adds_nothing() -> None:
    assert str(Scope().of(POWER)) == str(of(POWER)) == "joulespan_gpu_power_module_watts"


def test_a_scope_narrows_only_the_metrics_that_have_the_attribute() -> None:
    one = Scope().narrow({"hw.id": Regex("$gpu"), "engine": "a"})
    assert str(one.of(POWER)) == 'joulespan_gpu_power_module_watts{hw_id=~"$gpu"}'
    assert str(one.recorded("a:b:c", "engine")) == 'a:b:c{engine="a"}'
    assert str(one.of(POWER, {"hw.id": "GPU-1"})) == 'joulespan_gpu_power_module_watts{hw_id="GPU-1"}'


def test_a_scope_takes_any_label_that_prometheus_may_add_and_nothing_else() -> None:
    assert str(Scope({"datacenter": "x"}).of(POWER).sum("instance")) == (
        'sum by (instance) (joulespan_gpu_power_module_watts{datacenter="x"})'
    )
    with pytest.raises(ValueError, match=r"`data\.center` is no label name"):
        Scope({"data.center": "x"})


def test_what_must_not_match_is_written_so() -> None:
    assert str(of(POWER, {"hw.id": Not("a"), "hw.name": NotRegex("b|c")})) == (
        'joulespan_gpu_power_module_watts{hw_id!="a",hw_name!~"b|c"}'
    )


def test_series_with_other_attributes_are_compared_on_those_they_share() -> None:
    used, limit = of(POWER), of(POWER_LIMIT, {"hw.limit_type": "enforced"})
    text = 'joulespan_gpu_power_module_watts / on (hw_id) joulespan_gpu_power_limit_watts{hw_limit_type="enforced"}'
    assert str(used.per(limit, "hw.id")) == text
    assert str(used.minus(limit, "hw.id", many=True)) == (text.replace("/ on (hw_id)", "- on (hw_id) group_left ()"))
    assert str(used.where(limit, "hw.id")) == text.replace("/", "and")
    with pytest.raises(ValueError, match="no attribute `xid`"):
        used.per(limit, "xid")


QUERIES = [
    of(POWER).sum("hw.id") / 1000 > 0.5,
    (of(POWER) - of(POWER).avg("hw.id")) * (of(POWER) + 1) / 2,
    rate(ENERGY, window="5m").sum().over_time("max", "1h"),
    of(POWER).times(of(GPU_INFO), ["hw.id", "instance"], ["hw.model"]).max("hw.model").topk(3),
    (of(POWER) > 700) & (of(TEMPERATURE, {"hw.sensor_location": "gpu"}).max("hw.id") < 30) | of(GPU_INFO),
    of(POWER).unless(of(GPU_UTILIZATION, {"hw.gpu.task": Regex(r"gen\w+|encoder")}), "hw.id"),
    quantile(0.99, REQUEST_DURATION, "engine", where={"tenant": 'o"dd\\\n'}, window="10m"),
    absent(POWER, {"job": "joulespan"}),
    (now() - of(TEMPERATURE)).min("hw.id").equals(-1),
    of(POWER).count("cluster").differs(123456789.25),
    of(POWER).per(of(POWER_LIMIT, {"hw.limit_type": "enforced"}), "hw.id", "instance").bottomk(3),
    of(POWER_LIMIT).minus(of(POWER), "hw.id", many=True) > 0,
    of(POWER, {"hw.id": Not("a"), "hw.name": NotRegex("b|c")}).where(of(POWER_LIMIT), "hw.id"),
    Scope({"instance": Regex(".*")}).buckets(REQUEST_DURATION, "engine", window="5m"),
    Scope().observed("sum", REQUEST_DURATION, window="5m").sum() / Scope().resets(ENERGY, window="5m").sum(),
]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: make install-tools")
def test_prometheus_takes_what_is_built(tmp_path: Path) -> None:
    rules = [{"record": f"test:query_{number}", "expr": str(query)} for number, query in enumerate(QUERIES)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "test", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(QUERIES)} rules found" in done.stdout


def test_a_metric_that_shares_its_name_selects_its_own_kind_of_hardware() -> None:
    assert str(of(BOARD_POWER)) == 'hw_power_watts{hw_type="gpu"}'
    assert str(rate(MODULE_ENERGY).sum()) == 'sum(rate(hw_energy_joules_total{hw_type="module"}[$__rate_interval]))'
    assert str(of(BOARD_POWER, {"hw.type": Regex("gpu|cpu")})) == 'hw_power_watts{hw_type=~"gpu|cpu"}'


def test_what_is_stored_can_be_looked_at_over_a_window_and_as_it_was() -> None:
    power = NODES.of(POWER)
    assert str(power.over("max", "1h")) == f"max_over_time(joulespan_gpu_power_module_watts{{{MATCHERS}}}[1h])"
    assert str(power.ago("1w")) == f"joulespan_gpu_power_module_watts{{{MATCHERS}}} offset 1w"
    assert (
        str(power.ago("1w").over("avg", "6h"))
        == f"avg_over_time(joulespan_gpu_power_module_watts{{{MATCHERS}}}[6h] offset 1w)"
    )
    assert str(power.slope("15m")) == f"deriv(joulespan_gpu_power_module_watts{{{MATCHERS}}}[15m])"
    assert str(Scope().recorded("a:b:c").ago("1w").over("avg", "1h")) == "avg_over_time(a:b:c[1h] offset 1w)"
    assert str(power.ago("1h") + power.slope("5m").sum("hw.id")).startswith("joulespan_gpu_power_module_watts")
    with pytest.raises(ValueError, match="no attribute `xid`"):
        power.over("max", "1h").sum("xid")


def test_a_graph_keeps_the_series_that_lead_at_its_end() -> None:
    power = of(POWER).sum("instance")
    assert str(power.leaders(3, "instance")) == (
        f"{power} and on (instance) topk(3, last_over_time({power}[5m:] @ end()))"
    )


def test_the_targets_of_prometheus_are_selected_by_the_scope_too() -> None:
    assert str(NODES.up()) == f"up{{{MATCHERS}}}"
    assert str(Scope().up().equals(0)) == "up == 0"


def test_values_within_a_bound_are_those_of_a_bucket_however_its_bound_is_written() -> None:
    family = "gen_ai_server_request_duration_seconds_bucket"
    assert str(Scope().within(REQUEST_DURATION, 0.64, window="5m")) == f'rate({family}{{le=~"0\\\\.64"}}[5m])'
    whole = Scope().within(TIME_TO_FIRST_TOKEN, 1.0, window="5m")
    assert 'le=~"1|1\\\\.0"' in str(whole)


def test_a_bound_that_no_bucket_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no bucket of gen_ai\.server\.request\.duration ends at 2; there are 0"):
        Scope().within(REQUEST_DURATION, 2.0)

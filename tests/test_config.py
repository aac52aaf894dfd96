# SPDX-License-Identifier: Apache-2.0
"""The configuration: what is accepted, what overrides what, and how a mistake is named."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config import OWNER_LABELS, Config, Section
from agent.config_file import load
from agent.config_values import Address, Duration, OptionalAddress, Size
from agent.entity import attributes_of
from agent.errors import ConfigError
from agent.owner_entities import Owner

CONTRACT = """
listen: 127.0.0.1:9840
receivers: { otlp: { grpc: 127.0.0.1:4317, http: 127.0.0.1:4318 } }
collectors: { gpu: { interval: 1s }, energy: { interval: 100ms }, nic: { include: [], exclude: [] } }
engines:                                 # found without configuration where possible; this overrides
  - { name: llama, service_name: vllm-a, metrics_url: http://127.0.0.1:8000/metrics, gpus: [GPU-1, 3] }
attribution: { lateness: 10s, retention: 15m }
exporters:
  prometheus: { dcgm_names: false }
  otlp: { endpoint: "", interval: 15s }         # metrics
  traces: { endpoint: "" }                      # annotated spans, forwarded
"""


def written(folder: Path, text: str) -> Config:
    """Load a file with this text."""
    file = folder / "config.yaml"
    file.write_text(text)
    return load(file, {})


def mistake(folder: Path, text: str) -> str:
    """What is said of a file with this text: one line that names the file."""
    with pytest.raises(ConfigError) as error:
        written(folder, text)
    said = str(error.value)
    assert "\n" not in said
    assert said.startswith(f"{folder / 'config.yaml'}: ")
    return said.removeprefix(f"{folder / 'config.yaml'}: ")


def complaint(path: Path | None, environ: dict[str, str], flags: Sequence[str] = ()) -> str:
    """What is said of a configuration; nothing when it is taken."""
    try:
        load(path, environ, flags)
    except ConfigError as error:
        return str(error)
    return ""


def test_the_contract_is_accepted_and_is_what_the_defaults_are(tmp_path: Path) -> None:
    config = written(tmp_path, CONTRACT)
    defaults = load(None, {})
    assert config.listen == defaults.listen == "127.0.0.1:9840"
    assert config.collectors == defaults.collectors
    assert config.receivers == defaults.receivers
    assert config.attribution == defaults.attribution
    assert float(config.attribution.retention) == 900
    assert config.exporters.otlp.interval == Duration(15)
    (engine,) = config.engines
    assert (engine.name, engine.service_name, engine.gpus) == ("llama", "vllm-a", ("GPU-1", 3))
    assert engine.metrics_url == "http://127.0.0.1:8000/metrics"
    assert (config.collectors.gpu.interval, config.collectors.energy.interval) == (1.0, 0.1)
    assert (config.receivers.otlp.grpc, config.receivers.otlp.http) == ("127.0.0.1:4317", "127.0.0.1:4318")
    assert written(tmp_path, "") == defaults


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lisen: 1", "unknown key `lisen`; did you mean `listen`?"),
        ("collectors: { gpu: { intervall: 1s } }", "unknown key `collectors.gpu.intervall`; did you mean `interval`?"),
        ("exporters: { otlpp: {} }", "unknown key `exporters.otlpp`; did you mean `otlp`?"),
        ("engines: [{ service_name: a }]", "engines[0]: Object missing required field `name`"),
        ("engines: [{ name: a }, { nam: b }]", "unknown key `engines[1].nam`; did you mean `name`?"),
        ("web: { x: 1 }", "unknown key `web.x`; known are bearer_token_file, certificate, client_ca, key"),
        ("collectors: { gpu: { interval: 1 } }", "collectors.gpu.interval: `1` is no duration"),
        (
            "collectors: { energy: { interval: 1ms } }",
            "collectors.energy.interval: 0.001s is too short; at least 0.05s",
        ),
        ("listen: 9840", "listen: `9840` is no address"),
        ("listen: ::1:80", "listen: `::1:80` is no address"),
        ("collectors: 3", "collectors: Expected `object`, got `int`"),
        ("exporters: { otlp: { protocol: udp } }", "exporters.otlp.protocol: `udp` is neither"),
        ("exporters: { otlp: { queue: 64 } }", "exporters.otlp.queue: `64` is no size"),
        ("exporters: { spool: { size: 0 } }", "exporters.spool.size: `0` is no size"),
        ("web: { certificate: a.pem }", "web: certificate and key go together"),
        ("engines: [{ name: a }, { name: a }]", "engines: two engines have the same name"),
        ("engines: [{ name: a, metrics_url: 127.0.0.1:8000 }]", "engines[0].metrics_url: `127.0.0.1:8000` is no page"),
        ("engines: [{ name: a, metrics_url: 'ftp://a/m' }]", "engines[0].metrics_url: `ftp://a/m` is no page"),
        ("engines: [{ name: a, metrics_url: 'http://a:x/m' }]", "engines[0].metrics_url: `http://a:x/m` is no page"),
        ("engines: [{ name: a, metrics_url: 'http://a/ü' }]", "engines[0].metrics_url: `http://a/ü` is no page"),
        (
            "engines: [{ name: a, metrics_url: 'http://me:pw@a/m' }]",
            "engines[0].metrics_url: a URL with a name or password in it: they are never sent",
        ),
        (
            "engines: [{ name: a, metrics_url: 'http://a/m' }, { name: b, metrics_url: 'http://a/m' }]",
            "engines: two engines have the same metrics_url",
        ),
        (
            "engines: [{ name: a, forward_pass_files: [dynamo-fpm.*] }]",
            "engines[0].forward_pass_files: `dynamo-fpm.*` must begin with /",
        ),
        (
            "collectors: { neuron: { command: [neuron-monitor], file: /a } }",
            "collectors.neuron: either command or file",
        ),
        ("collectors: { groq: { endpoint: 'http://example.com' } }", "collectors.groq.endpoint: `http://example.com`"),
        ("collectors: { groq: { interval: 1s } }", "collectors.groq.interval: 1s is too short; at least 15s"),
        ("- 1", "must be a mapping of keys, is a list"),
        ("a: [", "is no YAML: "),
        ("listen: 2026-99-99", "is no YAML: month must be in 1..12"),
        ("listen: !!timestamp soon", "is no YAML: "),
        ("listen: " + "1" * 5000, "is no YAML: "),
        ("[" * 2000, "is no YAML: "),
        ("collectors:", "collectors: Expected `object`, got `null`"),
        ("1: 2", "Expected `str` - at `key` in `$`"),
        (r'"li\nsten": 1', "unknown key `li sten`"),
        (r'listen: "a\nb"', "listen: `a b` is no address"),
        (f"attribution: {{ retention: {'9' * 400}d }}", "attribution.retention: `999"),
    ],
)
def test_a_mistake_is_one_line_with_place_fault_and_cure(text: str, said: str, tmp_path: Path) -> None:
    assert mistake(tmp_path, text).startswith(said)


def sections(kind: type[Section] = Config, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all sections there are."""
    yield path
    for field in msgspec.structs.fields(kind):
        if isinstance(field.type, type) and issubclass(field.type, Section):
            yield from sections(field.type, (*path, field.name))


@pytest.mark.parametrize("path", list(sections()), ids=".".join)
def test_an_unknown_key_is_a_mistake_in_every_section(path: tuple[str, ...], tmp_path: Path) -> None:
    tree: dict[str, object] = {"zzz": 1}
    for name in reversed(path):
        tree = {name: tree}
    assert mistake(tmp_path, yaml.safe_dump(tree)).startswith(f"unknown key `{'.'.join([*path, 'zzz'])}`; known are ")


@pytest.mark.parametrize(
    ("key", "least"),
    [
        ("collectors.energy.interval", 50),
        ("collectors.gpu.interval", 200),
        ("collectors.gpu.slow_interval", 200),
        ("collectors.gpu.processes_interval", 200),
        ("collectors.engines.interval", 200),
        ("collectors.engines.timeout", 100),
        ("collectors.groq.interval", 15_000),
        ("exporters.otlp.interval", 100),
    ],
)
def test_an_interval_that_tells_no_more_is_too_short(key: str, least: int) -> None:
    load(None, {}, [f"{key}={least}ms"])
    with pytest.raises(ConfigError, match=f"{key}: .* is too short; at least {least / 1000:g}s"):
        load(None, {}, [f"{key}={least - 1}ms"])
    with pytest.raises(ConfigError, match=f"{key}: 0s is too short"):
        load(None, {}, [f"{key}=0s"])


KEYS = ("listen", "collectors", "gpu", "interval", "detail", "engines", "name", "exporters", "otlp", "headers", "queue")
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(TREES.map(yaml.safe_dump) | st.text("[]{}:,-!&*?|>'\"%@` \n\tab1.~<=", max_size=30))
def test_no_file_is_worse_than_a_mistake_of_one_line(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_text(text, encoding="utf-8")
    assert len(complaint(file, {}).splitlines()) <= 1


@settings(deadline=None)
@given(st.sampled_from(["listen", "engines", "exporters.otlp.queue", "exporters.otlp.headers"]) | st.text(), st.text())
def test_no_variable_and_no_flag_is_worse_either(key: str, value: str) -> None:
    variable = {"JOULESPAN_" + key.upper().replace(".", "_"): value}
    for environ, flags in ((variable, []), ({}, [f"{key}={value}"]), ({}, [key + value])):
        assert len(complaint(None, environ, flags).splitlines()) <= 1


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "missing.yaml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no YAML"):
        load(binary, {})


def test_a_variable_overrides_the_file_and_a_flag_overrides_both(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("collectors: { gpu: { interval: 2s, slow_interval: 20s, processes_interval: 40s } }")
    variables = {
        "JOULESPAN_COLLECTORS_GPU_SLOW_INTERVAL": "21s",
        "JOULESPAN_COLLECTORS_GPU_PROCESSES_INTERVAL": "41s",
        "JOULESPAN_COLLECTORS_GPU_DETAIL": "true",
        "JOULESPAN_COLLECTORS_NIC_INCLUDE": "eth0, ib1",
        "JOULESPAN_EXPORTERS_OTLP_HEADERS": "a=1,b=2=3",
        "HOME": "/",
    }
    config = load(file, variables, ["collectors.gpu.processes_interval=42s", "exporters.otlp.queue=9MiB"])
    gpu = config.collectors.gpu
    assert [float(one) for one in (gpu.interval, gpu.slow_interval, gpu.processes_interval)] == [2, 21, 42]
    assert gpu.detail
    assert config.collectors.nic.include == ("eth0", "ib1")
    assert config.exporters.otlp.headers == {"a": "1", "b": "2=3"}
    assert config.exporters.otlp.queue == 9 << 20


def test_a_flag_fills_a_heading_that_has_nothing_under_it(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("collectors:\n  # gpu: { interval: 5s }\n")
    assert load(file, {}, ["collectors.gpu.interval=2s"]).collectors.gpu.interval == Duration(2)
    file.write_text("collectors: 3\n")
    with pytest.raises(ConfigError, match="`collectors` is no section in the configuration file"):
        load(file, {}, ["collectors.gpu.interval=2s"])


def test_unknown_variables_and_flags_are_mistakes_too() -> None:
    with pytest.raises(ConfigError, match="JOULESPAN_LISTN: unknown variable; did you mean `JOULESPAN_LISTEN`"):
        load(None, {"JOULESPAN_LISTN": "x"})
    with pytest.raises(ConfigError, match="unknown key `listn`; did you mean `listen`"):
        load(None, {}, ["listn=3"])
    with pytest.raises(ConfigError, match="--set listen: write KEY=VALUE"):
        load(None, {}, ["listen"])
    with pytest.raises(ConfigError, match=r"owners\.max: Expected `int`"):
        load(None, {"JOULESPAN_OWNERS_MAX": "9" * 5000})


@given(st.integers(0, 10**9), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_is_a_number_with_its_unit(number: int, unit: str) -> None:
    seconds = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    assert Duration.parse(f" {number}{unit} ") == pytest.approx(number * seconds)


@given(st.text())
def test_no_text_ends_the_reading_of_durations_and_addresses(text: str) -> None:
    for kind in (Duration, Address, OptionalAddress, Size):
        if kind is OptionalAddress and not text:
            continue
        with suppress(ValueError):
            assert str(kind.parse(text))


@given(st.ip_addresses() | st.from_regex(r"[a-z0-9.-]+", fullmatch=True), st.integers(0, 65535))
def test_an_address_is_read_back_as_host_and_port(host: object, port: int) -> None:
    name = str(host)
    address = Address.parse(f"[{name}]:{port}" if ":" in name else f"{name}:{port}")
    assert (address.host, address.port) == (name, port)


@pytest.mark.parametrize(
    "text", ["", ":80", "[]:80", "[::1:80", "::1:80", "a b:80", "\n:80", "a:", "a:²", "a:-1", "[a]b:1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no address: write HOST:PORT"):
        Address.parse(text)


@pytest.mark.parametrize("value", ["", "1", "1 s", "-1s", "1us", "1s1s", ".5s", "nan s", "9" * 400 + "s", 1, None, 1.5])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is no duration: write a number with its unit"):
        Duration.parse(value)


def test_an_address_has_host_and_port() -> None:
    assert (Address.parse("[::1]:9840").host, Address.parse("[::1]:9840").port) == ("::1", 9840)
    assert (Address.parse("0.0.0.0:0").host, Address.parse("localhost:80").port) == ("0.0.0.0", 80)
    with pytest.raises(ValueError, match="is no address"):
        Address.parse("127.0.0.1:65536")


@given(st.integers(1, 999_999), st.sampled_from(["KiB", "MiB", "GiB"]))
def test_a_size_is_a_whole_number_with_its_unit(number: int, unit: str) -> None:
    assert Size.parse(f"{number}{unit}") == number * {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}[unit]


@pytest.mark.parametrize("value", ["", "64", "64MB", "1.5MiB", "-1MiB", "0MiB", "9999999KiB", 64, None])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is no size: write a whole number with its unit"):
        Size.parse(value)


def test_engines_are_found_and_scraped_each_second_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    engines = load(None, {}).collectors.engines
    assert (engines.discover, engines.interval, engines.timeout, engines.max_page) == (True, 1.0, 3.0, 8 << 20)
    given = "collectors: { engines: { discover: false, interval: 5s, timeout: 1s, max_page: 1MiB } }"
    engines = written(tmp_path, given).collectors.engines
    assert (engines.discover, engines.interval, engines.timeout, engines.max_page) == (False, 5.0, 1.0, 1 << 20)


def test_an_empty_address_switches_a_receiver_off() -> None:
    config = load(None, {"JOULESPAN_RECEIVERS_OTLP_GRPC": ""}, ["receivers.otlp.http="])
    assert not config.receivers.otlp.grpc
    assert not config.receivers.otlp.http
    with pytest.raises(ConfigError, match="listen"):
        load(None, {}, ["listen="])


def test_names_and_tenants_are_bounded_and_can_be_set() -> None:
    config = load(None, {}, ["requests.max_tenants=5", "requests.tenant_attributes=a, b"])
    assert (config.requests.max_tenants, config.requests.tenant_attributes) == (5, ("a", "b"))
    with pytest.raises(ConfigError, match=r"requests\.max_models: must be from 1 to 10000"):
        load(None, {}, ["requests.max_models=0"])


def test_pages_that_tell_of_switches_are_named_and_of_a_kind_that_is_known(tmp_path: Path) -> None:
    page = "{ name: rack, metrics_url: http://10.0.7.2:9352/xcset/nvlink_domain_telemetry, kind: nvlink }"
    (found,) = written(tmp_path, f"switches: [{page}]").switches
    assert [found.kind, found.interval, found.data_unit, found.include] == ["nvlink", 30, "words", ()]
    assert mistake(tmp_path, f"switches: [{page}, {page}]") == "switches: two pages have the same name"
    assert "kind" in mistake(tmp_path, f"switches: [{page.replace('nvlink }', 'spectrum }')}]")
    assert mistake(tmp_path, f"switches: [{page.replace(' }', ', interval: 10ms }')}]").startswith(
        "switches[0].interval"
    )
    assert "did you mean `kind`" in mistake(tmp_path, f"switches: [{page.replace('kind', 'kinds')}]")
    assert "max_series" in mistake(tmp_path, "collectors: { switches: { max_series: 0 } }")
    flagged = load(None, {"JOULESPAN_COLLECTORS_SWITCHES_MAX_SERIES": "5000"}, ["collectors.lldp.command=lldpctl,-f"])
    assert (flagged.collectors.switches.max_series, flagged.collectors.lldp.command) == (5000, ("lldpctl", "-f"))


def test_labels_of_owners_are_attributes_that_owners_have(tmp_path: Path) -> None:
    assert tuple(attribute.name for attribute in attributes_of(Owner)) == OWNER_LABELS
    assert written(tmp_path, "owners: { labels: [slurm.job.id], max: 5 }").owners.labels == ("slurm.job.id",)
    assert "owners.labels: `k8s.pod` is no attribute of owners; did you mean `k8s.pod." in mistake(
        tmp_path, "owners: { labels: [k8s.pod] }"
    )
    assert "owners.max" in mistake(tmp_path, "owners: { max: 0 }")
    given = load(None, {"JOULESPAN_OWNERS_MAX": "7"}, ["owners.labels=slurm.job.id, process.owner"]).owners
    assert (given.max, given.labels) == (7, ("slurm.job.id", "process.owner"))
    assert load(None, {}, ["owners.labels="]).owners.labels == ()

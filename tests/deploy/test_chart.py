# SPDX-License-Identifier: Apache-2.0
"""The Helm chart: both Helms take it, Kubernetes' schemas hold, and it asks a node for nothing beyond its list."""

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from agent.config import Config
from agent.config_file import load
from agent.version import VERSION
from tests.deploy.helm import CHART, ROOT, VALUES, VERSIONS, helm, objects, one, rendered, tool, validated

KUBERNETES = ("1.30", "1.34", "1.37")
ALL = ["", *(str(path) for path in VALUES)]
HOST_PATHS = {"/var/lib/joulespan", "/var/lib/kubelet/pod-resources"}
LOGS = {"/var/log/pods", "/var/log/containers"}
CAPABILITIES = {"SYS_PTRACE", "DAC_READ_SEARCH"}
CUSTOM = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}
MISTAKES = [
    "gpu.access=privileged",
    "podresources.enabled=true",
    "ports.http=70000",
    "config.listen=0.0.0.0:1",
    "config.receivers.otlp.grpc=0.0.0.0:1",
    "config.exporter.traces.endpoint=x",
    "image.digest=sha256:short",
    "state.hostPath=/",
    "seeOtherProcesses=true,hostPID=false",
    "drainSeconds=0",
]


def named(values: str) -> str:
    return Path(values).stem or "defaults"


@pytest.fixture(params=ALL, ids=named)
def found(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """All objects, with the defaults and with each values file."""
    return objects(rendered("helm4", *filter(None, [request.param])))


def chart_version() -> str:
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def daemon(found: list[dict[str, Any]]) -> dict[str, Any]:
    spec: dict[str, Any] = one(found, "DaemonSet")["spec"]
    return spec


def container(found: list[dict[str, Any]]) -> dict[str, Any]:
    (only,) = daemon(found)["template"]["spec"]["containers"]
    picked: dict[str, Any] = only
    return picked


def configuration(found: list[dict[str, Any]]) -> str:
    text: str = one([each for each in found if "config.yaml" in each.get("data", {})], "ConfigMap")["data"][
        "config.yaml"
    ]
    return text


@pytest.mark.parametrize("values", ALL, ids=named)
@pytest.mark.parametrize("version", VERSIONS)
def test_both_helms_find_nothing_wrong(version: str, values: str) -> None:
    done = helm(version, "lint", "--strict", str(CHART), *(["--values", values] if values else []))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("values", ALL, ids=named)
def test_both_helms_make_the_same(values: str) -> None:
    options = [values] if values else []
    assert objects(rendered("helm3", *options)) == objects(rendered("helm4", *options))


@pytest.mark.parametrize("values", ALL, ids=named)
@pytest.mark.parametrize("kubernetes", KUBERNETES)
def test_every_object_is_what_kubernetes_takes(kubernetes: str, values: str, tmp_path: Path) -> None:
    path = tmp_path / "all.yaml"
    path.write_text(rendered("helm4", *filter(None, [values])))
    code, lines = validated(path, kubernetes)
    assert code == 0, lines
    # The operator's own kinds have no schema there.
    assert all(any(f"kind {kind.lower()} " in line.lower() for kind in CUSTOM) for line in lines), lines


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_values_is_refused(mistake: str) -> None:
    done = helm("helm4", "template", "edge", str(CHART), "--set", mistake)
    assert done.returncode == 1
    assert "schema" in done.stderr


def test_nothing_is_privileged_and_no_capability_is_added_unless_asked_for(found: list[dict[str, Any]]) -> None:
    template = daemon(found)["template"]["spec"]
    assert not {"initContainers", "ephemeralContainers", "hostIPC", "shareProcessNamespace"} & template.keys()
    context = container(found)["securityContext"]
    assert context["privileged"] is context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["capabilities"]["drop"] == ["ALL"]
    added = set(context["capabilities"].get("add", []))
    assert added <= CAPABILITIES
    assert not added or template["hostNetwork"]  # only the values file that asks
    assert template["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_paths_of_the_host_are_those_on_the_list(found: list[dict[str, Any]]) -> None:
    volumes = daemon(found)["template"]["spec"]["volumes"]
    paths = {volume["hostPath"]["path"] for volume in volumes if "hostPath" in volume}
    # Logs only in the values file that asks for them.
    assert paths <= HOST_PATHS | (LOGS if daemon(found)["template"]["spec"]["hostNetwork"] else set())
    mounts = {mount["name"]: mount for mount in container(found)["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in volumes}
    assert {name for name, mount in mounts.items() if not mount.get("readOnly")} == {"state"}


def test_who_is_root_has_a_reason(found: list[dict[str, Any]]) -> None:
    template = daemon(found)["template"]["spec"]
    asks = any("hostPath" in volume for volume in template["volumes"])
    assert (template["securityContext"]["runAsUser"] == 0) == asks
    assert asks or template["securityContext"]["runAsNonRoot"] is True


def test_the_api_server_is_never_asked(found: list[dict[str, Any]]) -> None:
    assert not {each["kind"] for each in found} & {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}
    assert one(found, "ServiceAccount")["automountServiceAccountToken"] is False
    assert daemon(found)["template"]["spec"]["automountServiceAccountToken"] is False


def test_the_configuration_is_one_that_the_agent_takes(found: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(configuration(found))
    variables = {each["name"]: each.get("value", "") for each in container(found)["env"]}
    config = load(path, {name: value for name, value in variables.items() if name.startswith("JOULESPAN_")})
    ports = {each["name"]: each["containerPort"] for each in container(found)["ports"]}
    otlp = config.receivers.otlp
    assert ports == {"http": config.listen.port, "otlp-grpc": otlp.grpc.port, "otlp-http": otlp.http.port}
    mounts = [mount["mountPath"] for mount in container(found)["volumeMounts"]]
    assert config.state_directory in mounts
    assert container(found)["args"] == ["run", "--config", "/etc/joulespan/config.yaml"]


def test_the_schema_of_the_values_knows_the_keys_of_the_configuration() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["config"]
    own = {"listen", "state_directory"}
    assert schema["properties"].keys() >= {field.name for field in msgspec.structs.fields(Config)} - own


def test_every_default_value_is_in_the_schema_and_the_other_way_round() -> None:
    def paths(node: Any, at: str = "") -> Iterator[str]:
        for key, value in node.items():
            yield f"{at}{key}"
            if isinstance(value, dict) and value:
                yield from paths(value, f"{at}{key}.")

    def declared(schema: dict[str, Any], at: str = "") -> Iterator[str]:
        for key, value in schema.get("properties", {}).items():
            yield f"{at}{key}"
            if at + key != "config":
                yield from declared(value, f"{at}{key}.")

    free = ("resources.",)
    values = {path for path in paths(yaml.safe_load((CHART / "values.yaml").read_text())) if not path.startswith(free)}
    assert values == set(declared(json.loads((CHART / "values.schema.json").read_text()))) - {"global"}


def test_the_chart_is_of_this_release() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == VERSION


@pytest.mark.parametrize("values", [str(path) for path in VALUES if path.stem == "operator"], ids=named)
def test_rules_and_dashboards_are_the_generated_files_to_the_letter(values: str, tmp_path: Path) -> None:
    found = objects(rendered("helm4", values))
    rules = {path.stem.removeprefix("joulespan-"): path for path in (ROOT / "alerts" / "rules").glob("*.yaml")}
    made = {
        each["metadata"]["name"].removeprefix("edge-joulespan-"): each
        for each in found
        if each["kind"] == "PrometheusRule"
    }
    assert {name: each["spec"] for name, each in made.items()} == {
        name: yaml.safe_load(path.read_text()) for name, path in rules.items()
    }
    dashboards = {path.name: path.read_text().rstrip("\n") for path in (ROOT / "dashboards" / "json").glob("*.json")}
    maps = [each for each in found if each["kind"] == "ConfigMap" and "config.yaml" not in each["data"]]
    assert {name: text for each in maps for name, text in each["data"].items()} == dashboards
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in maps)
    assert all(len(json.dumps(each)) < 1 << 20 for each in maps)  # the most that Kubernetes stores
    for each in made.values():
        path = tmp_path / f"{each['metadata']['name']}.yaml"
        path.write_text(yaml.safe_dump(each["spec"]))
        subprocess.run(["promtool", "check", "rules", path], check=True, capture_output=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_packed_chart_holds_the_rules_and_dashboards_themselves(version: str, tmp_path: Path) -> None:
    done = helm(version, "package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / f"joulespan-{chart_version()}.tgz") as packed:
        files = {member.name for member in packed.getmembers() if member.isfile()}
    for folder, kept in (("alerts/rules", "rules"), ("dashboards/json", "dashboards")):
        names = {path.name for path in (ROOT / folder).iterdir() if path.suffix in (".yaml", ".json")}
        assert names
        assert {f"joulespan/files/{kept}/{name}" for name in names} <= files


def test_a_monitor_makes_the_node_the_instance() -> None:
    for kind, key in (("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")):
        found = objects(rendered("helm4", f"monitor.kind={kind}"))
        (endpoint,) = one(found, kind)["spec"][key]
        assert endpoint["port"] in {each["name"] for each in container(found)["ports"]}
        assert endpoint["relabelings"][0]["targetLabel"] == "instance"


def test_an_engine_reaches_the_agent_of_its_own_node(found: list[dict[str, Any]]) -> None:
    for service in (each for each in found if each["kind"] == "Service"):
        assert service["spec"]["internalTrafficPolicy"] == "Local"
        assert service["spec"]["selector"].items() <= daemon(found)["template"]["metadata"]["labels"].items()
        names = {each["name"] for each in container(found)["ports"]}
        assert {each["targetPort"] for each in service["spec"]["ports"]} == names


def test_the_next_agent_is_ready_before_the_last_one_stops_where_ports_allow_it(found: list[dict[str, Any]]) -> None:
    rolling = daemon(found)["updateStrategy"]["rollingUpdate"]
    alone = daemon(found)["template"]["spec"]["hostNetwork"]
    assert (rolling["maxSurge"] == 0) == alone
    assert (rolling["maxUnavailable"] == 0) != alone
    drain = container(found)["lifecycle"]["preStop"]["sleep"]["seconds"]
    # The agent itself stops in five seconds.
    assert drain + 5 <= daemon(found)["template"]["spec"]["terminationGracePeriodSeconds"]


def test_where_every_client_needs_a_certificate_the_kubelet_only_connects() -> None:
    secured = objects(rendered("helm4", "config.web.certificate=/c", "config.web.client_ca=/ca"))
    assert container(secured)["livenessProbe"]["tcpSocket"] == {"port": "http"}
    tls = objects(rendered("helm4", "config.web.certificate=/c"))
    assert container(tls)["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"


def test_the_notes_say_where_spans_go() -> None:
    done = helm("helm4", "install", "edge", str(CHART), "--dry-run=client", "--namespace", "telemetry")
    assert done.returncode == 0, done.stderr
    _, _, notes = done.stdout.partition("NOTES:")
    assert "http://edge-joulespan.telemetry:4317" in notes


@pytest.mark.parametrize("version", VERSIONS)
def test_the_plain_manifests_are_the_chart(version: str) -> None:
    command = ["sh", str(ROOT / "scripts" / "manifests.sh"), str(tool(version))]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert made == (ROOT / "deploy" / "kubernetes" / "joulespan.yaml").read_text(), "run `make manifests`"


def test_the_plain_manifests_are_what_kubernetes_takes() -> None:
    code, lines = validated(ROOT / "deploy" / "kubernetes" / "joulespan.yaml", KUBERNETES[-1])
    assert (code, lines) == (0, [])

# SPDX-License-Identifier: Apache-2.0
"""The configuration: every key, its type and its default. How it is read is in agent.config_file."""

from typing import Literal

import msgspec

from agent.config_values import Address, Duration, OptionalAddress, PageUrl, Size

OWNER_LABELS = (
    "k8s.namespace.name", "k8s.pod.name", "k8s.pod.uid", "k8s.container.name", "k8s.node.name", "k8s.deployment.name",
    "k8s.statefulset.name", "k8s.job.name", "k8s.cronjob.name", "k8s.leaderworkerset.name", "k8s.resourceclaim.name",
    "container.id", "container.name", "slurm.job.id", "slurm.step.id", "slurm.job.user", "slurm.job.account",
    "slurm.job.partition", "systemd.unit.name", "process.owner",
)  # fmt: skip
"""Attributes of owners that requests can have; see agent.owner_entities."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The root of every part of the configuration."""


class Web(Section, frozen=True, kw_only=True):
    """How a server is secured. File names; client_ca asks clients for a certificate."""

    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    bearer_token_file: str = ""


class OtlpReceiver(Section, frozen=True, kw_only=True):
    """Where engines send OTLP; an empty address switches a receiver off.

    `max_message` is of one request once uncompressed; `queue` of the requests whose spans wait to be annotated.
    """

    grpc: OptionalAddress = OptionalAddress("127.0.0.1:4317")
    http: OptionalAddress = OptionalAddress("127.0.0.1:4318")
    max_message: Size = Size(64 << 20)
    queue: Size = Size(64 << 20)
    security: Web = msgspec.field(default_factory=Web)


class Receivers(Section, frozen=True, kw_only=True):
    """What comes in."""

    otlp: OtlpReceiver = msgspec.field(default_factory=OtlpReceiver)


class GpuCollectors(Section, frozen=True, kw_only=True):
    """How often the GPUs are read, and how much of it."""

    interval: Duration = Duration(1)
    slow_interval: Duration = Duration(10)
    processes_interval: Duration = Duration(30)
    detail: bool = False
    kernel_log: bool = True


class EnergyCollector(Section, frozen=True, kw_only=True):
    """How often energy, power and link bytes go into the timeline."""

    interval: Duration = Duration(0.1)


class NodeSettings(Section, frozen=True, kw_only=True):
    """A collector of the node: how often it reads, and which of what it finds, by patterns of names with * and ?.

    Without `include` it reads what is usual for it.
    """

    enabled: bool = True
    interval: Duration = Duration(1)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


class NicCollector(NodeSettings, frozen=True, kw_only=True):
    """What the kernel counts of network interfaces."""


class EthtoolCollector(NodeSettings, frozen=True, kw_only=True):
    """What drivers and firmware count of network interfaces: a longer call, under a lock of the kernel's."""

    interval: Duration = Duration(2)


class RdmaCollector(NodeSettings, frozen=True, kw_only=True):
    """What RDMA devices count."""


class AffinityCollector(NodeSettings, frozen=True, kw_only=True):
    """Which NICs are near which GPUs."""

    interval: Duration = Duration(10)


class DetailedSettings(NodeSettings, frozen=True, kw_only=True):
    """Of a collector that has series beyond its default ones: with `detail`."""

    detail: bool = False


class HostCollector(DetailedSettings, frozen=True, kw_only=True):
    """What the host does. With `detail` also of each CPU, and operations of disks; patterns are of names of disks."""

    interval: Duration = Duration(5)


class TemperatureCollector(DetailedSettings, frozen=True, kw_only=True):
    """Temperature sensors of the host. With `detail` also of each core; patterns are of names of chips."""

    interval: Duration = Duration(10)


class TcpCollector(NodeSettings, frozen=True, kw_only=True):
    """What the kernel counts of TCP. There are no names in it for patterns."""

    interval: Duration = Duration(2)


class EngineProcessCollector(NodeSettings, frozen=True, kw_only=True):
    """What engines' processes and control groups use. Patterns are of names of engines."""

    interval: Duration = Duration(5)


class LldpCollector(NodeSettings, frozen=True, kw_only=True):
    """Which switch ports the node's interfaces are connected to. `command` asks the host's LLDP daemon, if there is."""

    interval: Duration = Duration(5)
    command: tuple[str, ...] = ("lldpcli", "-f", "json0", "show", "neighbors")


class RackCollector(NodeSettings, frozen=True, kw_only=True):
    """The node's place in its rack, and its part in the NVLink domain."""

    interval: Duration = Duration(5)


class PowerCollector(NodeSettings, frozen=True, kw_only=True):
    """Power meters of CPUs, memory and modules. Patterns are of what meters call themselves."""


class OwnersCollector(NodeSettings, frozen=True, kw_only=True):
    """Whose the GPUs are. Patterns are of owners, as in `k8s/*` and `systemd/vllm*`.

    `kubelet_socket` and `logs` are where the kubelet has its socket and the logs of pods; `job_map` is the folder of a
    batch system's prolog. `environment` lets the environment of processes that hold GPUs be read for a few variables.
    """

    interval: Duration = Duration(10)
    exclude: tuple[str, ...] = (
        "systemd/nvidia-*",
        "systemd/gdm*",
        "systemd/display-manager*",
        "k8s/*/*-mps-control-daemon-*",
    )
    kubelet_socket: str = "/var/lib/kubelet/pod-resources/kubelet.sock"
    logs: str = "/var/log"
    job_map: str = ""
    environment: bool = True


class EngineCollectors(Section, frozen=True, kw_only=True):
    """How engines are found, and how often their own metrics are scraped.

    `timeout` is of one whole answer, `max_page` of one uncompressed.
    """

    interval: Duration = Duration(1)
    discover: bool = True
    timeout: Duration = Duration(3)
    max_page: Size = Size(8 << 20)


class NeuronCollector(Section, frozen=True, kw_only=True):
    """Where AWS's `neuron-monitor` is read: a command that is run, or a file that it writes to. Off without either."""

    command: tuple[str, ...] = ()
    file: str = ""


class GroqCollector(Section, frozen=True, kw_only=True):
    """Groq's metrics of an organization, for enterprise customers. Off without a file that holds the API key."""

    token_file: str = ""
    endpoint: str = "https://api.groq.com/v1/metrics/prometheus"
    interval: Duration = Duration(60)


class SwitchCollector(Section, frozen=True, kw_only=True):
    """How much is kept of what switches tell, and how the pages of `switches` are got."""

    max_series: int = 20_000
    timeout: Duration = Duration(10)
    max_page: Size = Size(32 << 20)


class Collectors(Section, frozen=True, kw_only=True):
    """What is read on this machine."""

    gpu: GpuCollectors = msgspec.field(default_factory=GpuCollectors)
    energy: EnergyCollector = msgspec.field(default_factory=EnergyCollector)
    engines: EngineCollectors = msgspec.field(default_factory=EngineCollectors)
    nic: NicCollector = msgspec.field(default_factory=NicCollector)
    ethtool: EthtoolCollector = msgspec.field(default_factory=EthtoolCollector)
    rdma: RdmaCollector = msgspec.field(default_factory=RdmaCollector)
    affinity: AffinityCollector = msgspec.field(default_factory=AffinityCollector)
    owners: OwnersCollector = msgspec.field(default_factory=OwnersCollector)
    host: HostCollector = msgspec.field(default_factory=HostCollector)
    temperatures: TemperatureCollector = msgspec.field(default_factory=TemperatureCollector)
    tcp: TcpCollector = msgspec.field(default_factory=TcpCollector)
    engine_processes: EngineProcessCollector = msgspec.field(default_factory=EngineProcessCollector)
    cpu_power: PowerCollector = msgspec.field(default_factory=PowerCollector)
    lldp: LldpCollector = msgspec.field(default_factory=LldpCollector)
    rack: RackCollector = msgspec.field(default_factory=RackCollector)
    switches: SwitchCollector = msgspec.field(default_factory=SwitchCollector)
    neuron: NeuronCollector = msgspec.field(default_factory=NeuronCollector)
    groq: GroqCollector = msgspec.field(default_factory=GroqCollector)


class Engine(Section, frozen=True, kw_only=True):
    """A serving engine that is named instead of found.

    `forward_pass_files` and `request_trace_files` are patterns of the trace files that Dynamo writes.
    """

    name: str
    service_name: str | None = None
    metrics_url: PageUrl | None = None
    gpus: tuple[str | int, ...] = ()
    forward_pass_files: tuple[str, ...] = ()
    request_trace_files: tuple[str, ...] = ()


class SwitchPage(Section, frozen=True, kw_only=True):
    """A page of metrics that tells of switches: of NMX-T or NMX-M (nvlink) or of UFM Telemetry (infiniband).

    `include` are patterns of node GUIDs, with * and ?; all without any. `data_unit` is what its data counters count by.
    """

    name: str
    metrics_url: PageUrl
    kind: Literal["nvlink", "infiniband"]
    interval: Duration = Duration(30)
    include: tuple[str, ...] = ()
    data_unit: Literal["words", "bytes"] = "words"


class Requests(Section, frozen=True, kw_only=True):
    """What request metrics are split by. Names beyond the most frequent ones become `other`.

    `tenant_attributes` are looked for in this order, on the request's span and then on its resource.
    """

    tenant_attributes: tuple[str, ...] = ("tenant.id", "tenant", "organization.id", "enduser.id", "user.id")
    max_engines: int = 32
    max_models: int = 64
    max_tenants: int = 64


class Owners(Section, frozen=True, kw_only=True):
    """Which attributes of owners requests get, in metrics and on spans, and of how many owners at a time."""

    labels: tuple[str, ...] = ("k8s.namespace.name", "k8s.pod.name", "slurm.job.id")
    max: int = 64


class Attribution(Section, frozen=True, kw_only=True):
    """How long the ledger waits for spans before it divides a moment, and pays out to spans that come later still."""

    lateness: Duration = Duration(10)
    retention: Duration = Duration(900)


class PrometheusExporter(Section, frozen=True, kw_only=True):
    """What /metrics says."""

    dcgm_names: bool = False


class OtlpExporter(Section, frozen=True, kw_only=True):
    """Where metrics are pushed to. What is empty or None is left to the OTEL_* variables.

    `certificate`, `client_certificate` and `client_key` are files in PEM; `queue` is the memory for what waits.
    """

    endpoint: str = ""
    interval: Duration | None = None
    protocol: str = ""
    headers: dict[str, str] = {}
    timeout: Duration | None = None
    certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""
    queue: Size = Size(64 << 20)


class ForwardExporter(Section, frozen=True, kw_only=True):
    """Where what came in is sent on to: annotated spans, or logs. `queue` is of what waits; see OtlpExporter."""

    endpoint: str = ""
    protocol: str = ""
    headers: dict[str, str] = {}
    timeout: Duration | None = None
    certificate: str = ""
    client_certificate: str = ""
    client_key: str = ""
    queue: Size = Size(64 << 20)


class SpoolSettings(Section, frozen=True, kw_only=True):
    """What a back end could not take, on disk in `state_directory`: at most `size` bytes of each exporter."""

    enabled: bool = True
    size: Size = Size(256 << 20)


class Exporters(Section, frozen=True, kw_only=True):
    """What goes out."""

    prometheus: PrometheusExporter = msgspec.field(default_factory=PrometheusExporter)
    otlp: OtlpExporter = msgspec.field(default_factory=OtlpExporter)
    traces: ForwardExporter = msgspec.field(default_factory=ForwardExporter)
    logs: ForwardExporter = msgspec.field(default_factory=ForwardExporter)
    spool: SpoolSettings = msgspec.field(default_factory=SpoolSettings)


class Config(Section, frozen=True, kw_only=True):
    """All of it."""

    listen: Address = Address("127.0.0.1:9840")
    state_directory: str = ""
    web: Web = msgspec.field(default_factory=Web)
    receivers: Receivers = msgspec.field(default_factory=Receivers)
    collectors: Collectors = msgspec.field(default_factory=Collectors)
    engines: tuple[Engine, ...] = ()
    switches: tuple[SwitchPage, ...] = ()
    requests: Requests = msgspec.field(default_factory=Requests)
    owners: Owners = msgspec.field(default_factory=Owners)
    attribution: Attribution = msgspec.field(default_factory=Attribution)
    exporters: Exporters = msgspec.field(default_factory=Exporters)

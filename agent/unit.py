# SPDX-License-Identifier: Apache-2.0
"""Units: what a metric is measured in, as UCUM, Prometheus and Grafana each write it."""

from enum import Enum


class Unit(Enum):
    """A base unit. Ratios run from 0 to 1; there is no percent, no milli and no mebi.

    Members are (UCUM code, Prometheus suffix, Grafana unit). The suffixes are those of the
    OpenTelemetry specification "Prometheus and OpenMetrics Compatibility", § metric metadata.
    """

    NONE = ("", "", "short")
    """For info metrics and states, whose value has no unit."""
    RATIO = ("1", "ratio", "percentunit")
    SECONDS = ("s", "seconds", "s")
    BYTES = ("By", "bytes", "bytes")
    BYTES_PER_SECOND = ("By/s", "bytes_per_second", "binBps")
    WATTS = ("W", "watts", "watt")
    JOULES = ("J", "joules", "joule")
    CELSIUS = ("Cel", "celsius", "celsius")
    HERTZ = ("Hz", "hertz", "hertz")
    RPM = ("rpm", "rpm", "rotrpm")
    # Annotations in braces name what is counted; they give no suffix.
    ERRORS = ("{error}", "", "short")
    EVENTS = ("{event}", "", "short")
    ITEMS = ("{item}", "", "short")
    PACKETS = ("{packet}", "", "short")
    TOKENS = ("{token}", "", "short")
    REQUESTS = ("{request}", "", "short")
    REQUESTS_PER_SECOND = ("{request}/s", "per_second", "reqps")
    TOKENS_PER_SECOND = ("{token}/s", "per_second", "cps")
    ITERATIONS = ("{iteration}", "", "short")
    SPANS = ("{span}", "", "short")
    POINTS = ("{point}", "", "short")
    SERIES = ("{series}", "", "short")
    ROWS = ("{row}", "", "short")
    PAGES = ("{page}", "", "short")
    LANES = ("{lane}", "", "short")
    BLOCKS = ("{block}", "", "short")
    OPERATIONS = ("{operation}", "", "short")
    CPUS = ("{cpu}", "", "short")
    THREADS = ("{thread}", "", "short")
    PROCESSES = ("{process}", "", "short")
    FAULTS = ("{fault}", "", "short")
    CONNECTIONS = ("{connection}", "", "short")
    SEGMENTS = ("{segment}", "", "short")
    TICKS = ("{tick}", "", "short")

    @property
    def ucum(self) -> str:
        """The code that OTLP carries."""
        return self.value[0]

    @property
    def suffix(self) -> str:
        """What the Prometheus name ends in, without underscore."""
        return self.value[1]

    @property
    def grafana(self) -> str:
        """The unit of a Grafana field."""
        return self.value[2]

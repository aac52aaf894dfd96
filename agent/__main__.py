# SPDX-License-Identifier: Apache-2.0
"""joulespan: the command line."""

import argparse
import logging
import os
import sys
from pathlib import Path

from agent.config import Config
from agent.config_file import load
from agent.errors import ConfigError, RecordingError
from agent.version import VERSION

_DONE, _FAILED, _USAGE = 0, 1, 2


def main(argv: list[str] | None = None) -> int:
    """Run a command. Exit codes: 0 done, 1 failed, 2 usage or configuration."""
    arguments = _parser().parse_args(argv)
    level = logging.DEBUG if arguments.verbose else logging.INFO
    # Under systemd the journal has the time.
    stamp = "" if "JOURNAL_STREAM" in os.environ else "%(asctime)s "
    logging.basicConfig(level=level, format=f"{stamp}%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        return int(arguments.run(arguments))
    except ConfigError as error:
        print(f"joulespan: {error}", file=sys.stderr)
        return _USAGE
    except RecordingError as error:
        print(f"joulespan: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return _DONE
    except BrokenPipeError:
        # The reader of our output went away; say nothing more, at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="joulespan", description="Node telemetry agent for AI inference.")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the agent on this node")
    _configurable(run)
    run.set_defaults(run=_run)

    demo = commands.add_parser("demo", help="run the agent on eight simulated GPUs")
    _configurable(demo)
    demo.add_argument("--seconds", type=float, metavar="N", help="stop after N seconds")
    demo.add_argument("--faults", action="store_true", help="let GPUs and engines go wrong, in a round of 3 minutes")
    demo.set_defaults(run=_demo)

    record = commands.add_parser("record", help="run the agent and write what it sees into a folder")
    record.add_argument("folder", type=Path, metavar="DIR", help="a folder that is empty or does not exist")
    _configurable(record)
    record.add_argument("--seconds", type=float, metavar="N", help="stop after N seconds")
    record.add_argument("--demo", action="store_true", help="record eight simulated GPUs")
    record.set_defaults(run=_record)

    attribute = commands.add_parser("attribute", help="divide the energy of a recording among its requests")
    attribute.add_argument("folder", type=Path, metavar="DIR", help="a recording, of this agent or of a Collector")
    attribute.add_argument("--config", type=Path, metavar="FILE", help="configuration file (YAML): engines, requests")
    attribute.add_argument(
        "--out", type=Path, metavar="FILE", help="where the annotated spans go (DIR/attributed.jsonl)"
    )
    attribute.set_defaults(run=_attribute)

    doctor = commands.add_parser("doctor", help="say what this node can and cannot be asked, and what to do about it")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.set_defaults(run=_doctor)

    check = commands.add_parser("check-config", help="check a configuration file")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(run=_check_config)

    generate = commands.add_parser("generate", help="write what is generated from the catalogue")
    generate.add_argument("--check", action="store_true", help="write nothing; fail if something is out of date")
    generate.add_argument(
        "--out", type=Path, metavar="DIR", help="write rules and dashboards there; no checkout needed"
    )
    generate.add_argument(
        "--selector", action="append", default=[], metavar="LABEL=VALUE", help="ask only for series with this label"
    )
    generate.add_argument("--thresholds", type=Path, metavar="FILE", help="thresholds of alerts (YAML)")
    generate.add_argument("--dcgm", action="store_true", help="with --out, add the GPU dashboard for dcgm-exporter")
    generate.add_argument("--runbooks", metavar="URL", help="where the pages of alerts/runbooks are served")
    generate.set_defaults(run=_generate)

    version = commands.add_parser("version", help="print the version")
    version.set_defaults(run=_version)
    return parser


def _configurable(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (YAML)")
    parser.add_argument("--listen", metavar="HOST:PORT", help="where to serve /metrics (127.0.0.1:9840)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a key, as collectors.gpu.interval=2s"
    )


def _load(arguments: argparse.Namespace) -> Config:
    listen = [f"listen={arguments.listen}"] if arguments.listen else []
    return load(arguments.config, os.environ, [*arguments.set, *listen])


def _run(arguments: argparse.Namespace) -> int:
    from agent.commands.run import run  # noqa: PLC0415 - each command loads what it needs

    return run(lambda: _load(arguments))


def _demo(arguments: argparse.Namespace) -> int:
    from agent.commands.run import run  # noqa: PLC0415 - as above

    return run(lambda: _load(arguments), demo=True, faults=arguments.faults, seconds=arguments.seconds)


def _record(arguments: argparse.Namespace) -> int:
    from agent.commands.record import record  # noqa: PLC0415 - as above

    return record(lambda: _load(arguments), arguments.folder, demo=arguments.demo, seconds=arguments.seconds)


def _attribute(arguments: argparse.Namespace) -> int:
    from agent.commands.attribute import attribute  # noqa: PLC0415 - as above

    return attribute(load(arguments.config, os.environ), arguments.folder, arguments.out)


def _doctor(arguments: argparse.Namespace) -> int:
    from agent.commands.doctor import doctor  # noqa: PLC0415 - as above

    return doctor(as_json=arguments.json)


def _check_config(arguments: argparse.Namespace) -> int:
    load(arguments.file, {})
    print(f"{arguments.file}: fine")
    return _DONE


def _generate(arguments: argparse.Namespace) -> int:
    from agent.commands.generate import Wanted, generate, options  # noqa: PLC0415 - as above

    rules = options(arguments.selector, arguments.thresholds, arguments.runbooks)
    return generate(Wanted(rules, Path.cwd(), arguments.out, arguments.dcgm), check=arguments.check)


def _version(_arguments: argparse.Namespace) -> int:
    print(f"joulespan {VERSION}")
    return _DONE


if __name__ == "__main__":
    sys.exit(main())

# joulespan. `make run` and `make test` do all their own set-up.
PYTHON ?= python3
PREFIX ?= /opt/joulespan
UNITS ?= /etc/systemd/system
VENV := .venv
BIN := $(VENV)/bin
MOCK := build/mock_nvml/libnvidia-ml.so.1

.PHONY: run test test-engines laws check generate bench accuracy screenshots hardware clean install-tools manifests pipe install uninstall debian

run: $(VENV)/.run
	@sh scripts/run.sh $(BIN)

test: $(VENV)/.dev install-tools $(MOCK)
	@sh scripts/test.sh $(BIN)/python

# The laws of the ledger over ten thousand histories; `make test` tries one thousand.
laws: $(VENV)/.dev
	JOULESPAN_LAW_EXAMPLES=10000 $(BIN)/python -m pytest tests/processors/ledger/test_laws.py

# Not part of `make test`: it installs vLLM and Dynamo first, 4 GB.
test-engines: $(VENV)/.dev $(MOCK)
	@sh scripts/engines.sh $(PYTHON) build/engines
	@sh scripts/alone.sh $(BIN)/python -m pytest tests/engines

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/joulespan generate --check
	$(BIN)/python -m tests.fuzz --seconds 60

generate: $(VENV)/.run
	$(BIN)/joulespan generate

accuracy: $(VENV)/.dev
	$(BIN)/python -m tests.accuracy

# Not part of `make test`: it installs Grafana's panel components first, 460 MB.
screenshots: $(VENV)/.dev install-tools
	$(BIN)/python -m tests.render.screenshots docs/images

hardware: $(VENV)/.dev
	$(BIN)/python -m pytest tests/hardware -s -rs

bench: $(VENV)/.dev $(MOCK)
	$(BIN)/python -m tests.bench --markdown docs/performance.md

# Without Helm the tests of the chart are skipped, visibly.
install-tools:
	@sh scripts/tools.sh $(BIN)/python
	-@sh scripts/kubernetes.sh $(BIN)/python build/tools

manifests: $(VENV)/.dev install-tools
	sh scripts/manifests.sh build/tools/helm4 >build/joulespan.yaml && mv build/joulespan.yaml deploy/kubernetes/

$(MOCK): $(VENV)/.dev $(wildcard tests/mock_nvml/*.c tests/mock_nvml/*.h)
	$(BIN)/python -m tests.mock_nvml.build

$(VENV)/.run: requirements.txt pyproject.toml
	@sh scripts/venv.sh $(PYTHON) $(VENV) requirements.txt
	@touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt pyproject.toml
	@sh scripts/venv.sh $(PYTHON) $(VENV) requirements-dev.txt
	@touch $(VENV)/.run $@

# Agent, Prometheus with the rules, Alertmanager, a webhook and a back end for spans, on simulated GPUs that go wrong.
pipe: $(VENV)/.dev install-tools
	$(BIN)/python -m tests.pipe

# As a service of systemd: PREFIX is where it runs, DESTDIR a root to be packed. What the administrator wrote stays.
install:
	sh scripts/install.sh $(PYTHON) $(PREFIX) $(DESTDIR)
	sh scripts/install_unit.sh $(PREFIX) $(UNITS) $(DESTDIR)

# /etc/joulespan, /etc/default/joulespan and the state in /var/lib/private/joulespan stay.
uninstall:
	-[ -n "$(DESTDIR)" ] || systemctl disable --now joulespan.service
	rm -rf $(DESTDIR)$(PREFIX) $(DESTDIR)$(UNITS)/joulespan.service $(DESTDIR)/usr/local/bin/joulespan

debian:
	sh deploy/debian/build.sh /usr/bin/python3 dist

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

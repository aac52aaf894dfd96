# joulespan. `make run` and `make test` do all their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MOCK := build/mock_nvml/libnvidia-ml.so.1

.PHONY: run test test-engines laws check generate bench accuracy screenshots hardware clean install-tools

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

install-tools:
	@sh scripts/tools.sh $(BIN)/python

$(MOCK): $(VENV)/.dev $(wildcard tests/mock_nvml/*.c tests/mock_nvml/*.h)
	$(BIN)/python -m tests.mock_nvml.build

$(VENV)/.run: requirements.txt pyproject.toml
	@sh scripts/venv.sh $(PYTHON) $(VENV) requirements.txt
	@touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt pyproject.toml
	@sh scripts/venv.sh $(PYTHON) $(VENV) requirements-dev.txt
	@touch $(VENV)/.run $@

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# `make` alone lists the commands.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# What is imported is compiled once, not by every process that a test starts; --no-compile: and nothing that is not.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install packages services demo test test-alibi check bench profile evaluate fuzz soak kafka lock clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --no-compile --no-deps --no-build-isolation --editable .
	touch $@

install: $(VENV)/.installed  ## create .venv and install the locked packages

packages:
	@deploy/install-services.sh

services: install packages
	@$(BIN)/python -m deploy.kafka fetch

demo: install  ## the whole service on the embedded broker with real data (DEMO_SECONDS=90 ends by itself)
	@$(BIN)/python -m deploy.demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

test: services  ## install what is missing and run every test (PYTEST_ARGS="tests/fold -x": one pytest with these)
	@$(BIN)/python -m tests $(PYTEST_ARGS)

test-alibi:  ## the adapters of alibi-detect, in an environment of their own, numpy < 2 (ALIBI_BACKEND=torch for tensorflow)
	test -x .alibi/bin/python || $(PYTHON) -m venv .alibi
	.alibi/bin/python -m pip install --quiet --editable '.[alibi]' 'alibi-detect[$(or $(ALIBI_BACKEND),tensorflow)]' pytest pytest-timeout
	.alibi/bin/python -m pytest tests/detectors/alibi_detect_adapters.py --noconftest -W default

check: install  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: services  ## the benchmarks, one JSON line a figure
	@$(BIN)/python -m tests.benchmarks
	@for part in decoding detectors scan folding; do $(BIN)/python -m tests.benchmarks.$$part || exit; done

profile: services  ## where a tap's CPU time goes, by thread and stage
	@$(BIN)/python -m tests.benchmarks.profile

fuzz: install  ## JSON, Avro and Protobuf against plain decoders, with inputs that seek new paths (FUZZ_SECONDS=300 each)
	$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),300)

evaluate: install  ## false alarms and delays on labelled streams (EVALUATE_ARGS="--seeds 0-9 --sizes small")
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m tests.evaluation $(EVALUATE_ARGS)

soak: services  ## the long fault runs, on 1,000,000 events each (EXACT_EVENTS=...)
	EXACT_EVENTS=$(or $(EXACT_EVENTS),1000000) $(BIN)/python -m pytest tests/exactness/soak.py --capture=no $(PYTEST_ARGS)

kafka: install  ## one Apache Kafka node (KRaft) on a free port, until interrupted
	@$(BIN)/python -m deploy.kafka run

lock:  ## resolve the lock files anew
	@command -v uv > /dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
	uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --generate-hashes --no-header --extra registry pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --generate-hashes --no-header --extra dev pyproject.toml -o requirements-dev.lock

clean:  ## remove the environment and the caches
	rm -rf $(VENV) .kafka .pytest_cache .mypy_cache .ruff_cache .hypothesis

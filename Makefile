# onnxruntime would otherwise report on its use to its maker.
export ORT_DISABLE_TELEMETRY := 1

# Three commands do everything: `make check` in two minutes, `make test` for the whole, and `make demo` for a look. Each
# installs what it needs and says so first.

SHELL := /bin/bash
PYTHON ?= python3
VENV := build/venv
# The lab needs no Python package, and the demo those of `edgemodel push`.
DEMO_VENV := build/demo-venv
DOCS_VENV := build/docs-venv
RUN := $(VENV)/bin/python
PYTEST := $(RUN) -m pytest -q
UNIT_WORKERS := 2
E2E_WORKERS := 4

.PHONY: help demo check test docs lint types imports unit unit-quick unit-programs unit-all contract e2e e2e-install e2e-beside e2e-alone lab-test bench-rollout bench-verdicts bench-server bench-compression bench-language proto lab-up lab-down images lock clean

help: ## what there is
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

demo: $(DEMO_VENV)/ready ## a cluster of three edge nodes, the operator, and a model compressed and rolled out to them
	$(DEMO_VENV)/bin/python examples/demo.py

# Two at a time what is not in each other's way: tests that have the lab to themselves mostly wait for it.
BESIDE := $(MAKE) --no-print-directory --jobs 2

check: $(VENV)/ready ## lint, types, import contracts and the quick unit tests: under two minutes, without root, lab or compiler
	$(BESIDE) lint types imports unit-quick

test: $(VENV)/ready ## lint, types, import contracts, documentation, unit, contract and end-to-end tests
	$(BESIDE) lab-test lint types imports docs
	$(MAKE) --no-print-directory --jobs 1 contract e2e-install e2e-beside
	$(BESIDE) e2e-alone unit-all

docs: $(DOCS_VENV)/ready ## the documentation as a site, in build/docs; a dead link is an error
	rm -rf build/docs
	$(DOCS_VENV)/bin/python -m sphinx -q -W --keep-going -n -c docs/site . build/docs
	$(DOCS_VENV)/bin/python docs/site/no_requests.py build/docs

lint: $(VENV)/ready ## ruff: errors, style, security
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/ready ## mypy, strict
	$(RUN) -m mypy

imports: $(VENV)/ready ## the directions of import
	$(VENV)/bin/lint-imports

unit: $(VENV)/ready ## every unit test that needs nothing but the environment
	nice $(PYTEST) --durations=12 -n $(UNIT_WORKERS) --dist worksteal -m "not lab_programs" tests/unit

unit-quick: $(VENV)/ready # of these, all but the slow ones, and with fewer generated examples
	EDGEMODEL_QUICK_TESTS=1 $(PYTEST) -n $(UNIT_WORKERS) --dist worksteal -m "not lab_programs and not slow" tests/unit

unit-programs: $(VENV)/ready lab-up ## the unit tests that start programs of the lab: a registry, Prometheus, helm
	nice $(PYTEST) --durations=12 -n $(UNIT_WORKERS) --dist worksteal -m lab_programs tests/unit

unit-all: $(VENV)/ready lab-up ## every unit test
	nice $(PYTEST) --durations=12 -n $(UNIT_WORKERS) --dist worksteal tests/unit

contract: $(VENV)/ready lab-up ## manifests, good and bad, against a real API server
	$(PYTEST) tests/contract

e2e: e2e-install e2e-beside e2e-alone ## the whole, on the lab: real kubelets, real pods, cut links

e2e-install: $(VENV)/ready lab-up
	$(RUN) -m tests.support.install

e2e-beside: $(VENV)/ready lab-up # after e2e-install
	$(PYTEST) --durations=12 -n $(E2E_WORKERS) --maxschedchunk 1 tests/e2e -m "not exclusive"

e2e-alone: $(VENV)/ready lab-up # after e2e-install
	$(PYTEST) --durations=12 tests/e2e -m exclusive

lab-test: $(VENV)/ready lab-up ## the lab itself: taken down and up again, a node cut off, images, names
	$(PYTEST) tests/lab

bench-rollout: $(VENV)/ready lab-up ## how long a rollout takes and what it costs; writes build/bench/rollout.json
	$(RUN) -m tests.support.install
	$(RUN) tests/bench/rollout.py

bench-verdicts: $(VENV)/ready ## false rollbacks and time to rollback on simulated fleets, beside other rules (an hour and a half), and what a judgement costs; writes build/bench/verdicts.json and verdict-cost.json
	$(RUN) tests/bench/verdicts.py
	$(RUN) tests/bench/verdict_cost.py

bench-server: $(VENV)/ready ## the inference server beside five others and the bare runtime (20 minutes); writes build/bench/server.json
	$(RUN) tests/bench/server.py

bench-compression: $(VENV)/ready ## whole recipes, Auto and each step alone, on models and data that are real (two hours); writes build/bench/compression.json
	$(RUN) tests/bench/compression.py

bench-language: $(VENV)/ready ## language models beside llama.cpp and others: quality, speed, memory, sizes; writes build/bench/language.json
	$(RUN) tests/bench/language.py

proto: $(VENV)/ready ## make the gRPC messages anew from inference_server/listeners/grpc/open_inference.proto
	$(RUN) -m grpc_tools.protoc -I. --python_out=. inference_server/listeners/grpc/open_inference.proto

lab-up: $(DEMO_VENV)/ready ## bring the lab up (again); nothing happens when KUBECONFIG names another cluster
	@if [ -z "$$KUBECONFIG" ]; then $(DEMO_VENV)/bin/python -m examples.lab up; fi

lab-down: ## take the lab down: no process, mount, namespace or cgroup is left
	$(PYTHON) -m examples.lab down

images: $(VENV)/ready ## build every image into build/images
	$(RUN) charts/images/build.py --output build/images

lock: $(VENV)/ready ## write the lock files anew from pyproject.toml
	.ci/lock $(VENV)

clean: ## remove what was built here (not the caches, not the lab)
	rm -rf build

build/python-ready: .ci/python
	@.ci/python $(PYTHON)
	@mkdir -p build
	@touch $@

$(VENV)/ready: .ci/locks/dev.txt pyproject.toml .ci/setup | build/python-ready
	.ci/setup $(PYTHON) $(VENV) dev
	@touch $@

$(DEMO_VENV)/ready: .ci/locks/compressor.txt .ci/setup | build/python-ready
	@.ci/setup $(PYTHON) $(DEMO_VENV) compressor
	@touch $@

$(DOCS_VENV)/ready: .ci/locks/docs.txt .ci/setup | build/python-ready
	@.ci/setup $(PYTHON) $(DOCS_VENV) docs
	@touch $@

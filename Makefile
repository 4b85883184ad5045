# What a newcomer runs: `make run` (the demo), `make test`, `make check`. GNU make 3.81 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Most tests wait for a process or a disk, so more of them than cores run at once.
TEST_JOBS ?= 4

.PHONY: help setup run test check format laws soak bench sbom lock clean

help:
	@echo "make run    the demo: a simulated Noojee, the gateway before it, and three calls to try"
	@echo "make test   all tests, with branch coverage"
	@echo "make check  format, lint, types, import layers"
	@echo "make laws   break each law by a patch and see its test turn red"
	@echo "make soak   kill the gateway under load, SEED=n KILLS=500, and judge it from outside"
	@echo "make bench  throughput, CPU, latency and memory beside nginx and others; BENCH=--quick for 3 minutes of it"
	@echo "make sbom   what the gateway is installed with, as CycloneDX JSON in dist/"
	@echo "make setup  only the virtual environment .venv, from hash-locked requirements"
	@echo "make lock   resolve requirements/*.in anew into requirements/*.txt"

setup: $(READY)

$(READY): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python lacks ensurepip. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: $(READY)
	@exec $(BIN)/noojee-gateway demo

test: $(READY)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(TEST_JOBS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

laws: $(READY)
	$(BIN)/python tests/laws/mutants.py

# Bounded in kills and time; writes benchmarks/results/soak.json.
SEED := 1
KILLS := 500
soak: $(READY)
	$(BIN)/python tests/faults/soak.py --seed $(SEED) --kills $(KILLS)

# LiteLLM in an environment of its own; where it cannot be had it is left out. Writes benchmarks/results/bench.*.
BENCH :=
bench: $(READY) .venv-bench/.ready
	$(BIN)/python -m benchmarks $(BENCH)

.venv-bench/.ready: requirements/bench-litellm.txt | $(READY)
	@echo "installing LiteLLM into .venv-bench"
	@{ $(PYTHON) -m venv --clear .venv-bench && .venv-bench/bin/python -m pip install --quiet --require-hashes --requirement requirements/bench-litellm.txt && touch $@; } || { echo "LiteLLM cannot be installed here and is left out"; rm -rf .venv-bench; }

# What requirements/run.txt installs here, with licences and with who needs whom. The same installation gives the same
# bytes. The generator is in an environment of its own, beside the one that it looks at.
SBOM := dist/noojee-gateway.cdx.json
sbom: .venv-sbom/.ready
	@mkdir -p $(dir $(SBOM))
	@sed 's/^dynamic = .*/version = "'"$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' gateway/__init__.py)"'"/' pyproject.toml > .venv-sbom/pyproject.toml
	.venv-sbom/bin/cyclonedx-py environment --pyproject .venv-sbom/pyproject.toml --output-reproducible --output-file $(SBOM) .venv-sbom/run/bin/python

.venv-sbom/.ready: requirements/sbom.txt requirements/run.txt
	$(PYTHON) -m venv --clear .venv-sbom
	.venv-sbom/bin/python -m pip install --quiet --require-hashes --requirement requirements/sbom.txt
	$(PYTHON) -m venv --without-pip .venv-sbom/run
	.venv-sbom/bin/python -m pip --python .venv-sbom/run/bin/python install --quiet --require-hashes --requirement requirements/run.txt
	@touch $@

# Wheels for any platform, hashes of all of them, and no index address in the files.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate
lock:
	$(PYTHON) -m venv build/uv
	build/uv/bin/pip install --quiet uv
	build/uv/bin/$(LOCK) requirements/run.in --output-file requirements/run.txt
	build/uv/bin/$(LOCK) requirements/dev.in --constraint requirements/run.txt --output-file requirements/dev.txt
	build/uv/bin/$(LOCK) requirements/bench-litellm.in --output-file requirements/bench-litellm.txt
	build/uv/bin/$(LOCK) requirements/sbom.in --output-file requirements/sbom.txt

clean:
	rm -rf $(VENV) .venv-bench .venv-sbom benchmarks/scratch build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis

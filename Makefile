# Every recipe is one command a reader can run by hand. `make` alone lists the targets.
PYTHON ?= python3
PROFILE ?= cpu
CONFIG ?= configs/demo.toml
CHECKPOINT ?= runs/demo
# The recipe that tunes the CLIP wants something that it has not seen; the others take clear clips.
DATA ?= build/data/$(if $(filter configs/mocap.toml,$(CONFIG)),mocap-haze,mocap)
RENDERED = $(wildcard configs/$(patsubst build/data/%,%,$(DATA))-data.toml)
PRODUCT ?= build/demo
PY := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup data train engines demo serve perf-tools bench test check format clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/complete: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; (3, 10) <= v < (3, 13) or sys.exit(f"Python 3.10 to 3.12 is needed, this is {v[0]}.{v[1]}. Name one: make setup PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --progress-bar on -c constraints.txt -e '.[training,mocap,builder,edge,clients,web,dev]'
	$(PY) -m pip install --quiet --no-deps tensorrt-stubs==10.13.0.35.1 # for pyright; its plain install wants a GPU build
	touch $@

setup: .venv/complete ## both environments: .venv (toolkit) and .triton (server)
	$(PY) -m server install

data: setup ## the rendered data set DATA=build/data/mocap; your own is left alone
	$(if $(RENDERED),$(PY) -m training render-mocap $(RENDERED) $(DATA))

train: data ## checkpoints, figures and a report from CONFIG=configs/demo.toml, in runs/
	$(PY) -m training train $(CONFIG) $(DATA) runs/$(basename $(notdir $(CONFIG)))

engines: setup ## a repository for PROFILE=cpu from CHECKPOINT=runs/demo, in build/PROFILE
	$(PY) -m builder build configs/profiles/$(PROFILE).toml $(CHECKPOINT) $(DATA)

demo: train ## the whole line: data, training, export, server, recognition
	$(PY) -m builder build configs/profiles/cpu-exact.toml runs/demo $(DATA) --out build/demo
	$(PY) -m server run build/demo/model_repository --http-port 0 --grpc-port 0 --metrics-port 0 -- \
		$(PY) -m clients evaluate $(DATA) --reference build/demo/reference.json --out build/demo \
		--grpc-url {grpc_url} --http-url {http_url}

serve: setup ## serve build/demo/model_repository on 127.0.0.1 until Ctrl-C
	$(PY) -m server run build/demo/model_repository

perf-tools: setup ## NVIDIA's perf_analyzer, in .perf/
	$(PY) benchmarks/perf_tools.py

bench: perf-tools data ## load sweeps on PRODUCT=build/demo; table and plots in benchmarks/results/
	$(PY) benchmarks/media_set.py $(DATA) build/media
	$(PY) -m server run $(PRODUCT)/model_repository --http-port 0 --grpc-port 0 --metrics-port 0 -- \
		$(PY) benchmarks/bench.py $(PRODUCT) build/media --grpc-url {grpc_url} --http-url {http_url}

test: setup ## the whole test suite, real server included
	$(PY) -m pytest

check: setup ## lint, formatting, types, import rules
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/pyright
	.venv/bin/lint-imports

format: setup ## let ruff format the code
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

clean: ## delete what was built and trained
	rm -rf build runs

distclean: clean ## delete the environments too
	rm -rf .venv .triton .perf

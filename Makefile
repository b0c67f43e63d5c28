# Everything that is done with this repository, each by one word. `make` alone lists them.
# Variables: EXPORTER_PORT, PROMETHEUS_PORT, ALERTMANAGER_PORT, GRAFANA_PORT; HEADWAY_WEBHOOK_URL (where alerts are sent); HEADWAY_CONFIG
# (the configuration of the exporter). These are remembered until they are given anew; empty forgets them. Beside them:
# PYTEST_ARGS (more of them); PYTHON (3.11 or newer); VENV (an environment that exists already; nothing is installed into it); STATE_DIR (instead of .headway).

PYTHON ?= python3
VENV ?= .venv
STACK := $(PYTHON) -m stack
BIN := $(VENV)/bin
CODE := exporter/headway stack demo grafana tests bench

.DEFAULT_GOAL := help
.PHONY: help up down status logs demo test composed lint bench dashboards docs pins clean
# One after the other, also under -j: they share the environment and the state.
.NOTPARALLEL:
# Everything below runs from the clone; nothing is written beside the sources.
export PYTHONDONTWRITEBYTECODE := 1

help: ## list what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | while IFS="$$(printf '\t')" read -r name text; do printf 'make %-10s %s\n' "$$name" "$$text"; done

up: ## set up, start what does not run, wait, show what runs where
	@$(STACK) up

down: ## end what was started here, and nothing else
	@# Before `make down up` ends what runs: can what is configured be started?
	@$(if $(filter up,$(MAKECMDGOALS)),$(STACK) check)
	@$(STACK) down

status: ## show what runs where
	@$(STACK) status

logs: ## the ends of the logs; SERVICE=exporter for one, FOLLOW=1 follows
	@$(STACK) logs $(SERVICE) $(if $(FOLLOW),follow)

demo: ## show a few minutes of real work; DEMO_SECONDS=30 for less
	@$(STACK) demo

test: lint ## lint, then every test; the first time it installs what they need
	@$(STACK) transformations
	@# A few that failed run once more, alone, and are named at the end: tests/suite.py.
	@# Most of a test is waiting for processes, so two cores are busy with four at a time.
	@# Tests start Python some thousand times: what it compiles is kept, out of the sources.
	@PYTHONDONTWRITEBYTECODE= PYTHONPYCACHEPREFIX="$(abspath $(or $(STATE_DIR),.headway))/pycache" $(BIN)/python -m tests.suite -n 4 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

composed: ## bring compose.yaml up on a Docker Engine, with stand-in images
	@$(STACK) setup exporter,dev
	@$(BIN)/python -m pytest -m composed tests/composed $(PYTEST_ARGS)

lint: ## formatting, linters, types, the configuration of the stack
	@$(STACK) setup exporter,dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(CODE)
	$(STACK) tool promtool check config prometheus/prometheus.yml
	$(STACK) tool promtool check rules --lint=all --lint-fatal prometheus/rules/*.yml
	$(STACK) tool promtool test rules prometheus/tests/*.yml
	$(STACK) tool amtool check-config alerting/alertmanager.yml

bench: ## measure beside its peers; BENCH="api load" for some of them
	@$(STACK) setup exporter,dev
	@$(STACK) bench $(BENCH)

dashboards: ## write grafana/dashboards anew from their generator
	@$(STACK) setup exporter,dev
	@$(BIN)/python -m grafana.generate

pins: ## write constraints.txt anew, with the newest versions allowed
	@$(STACK) pins

clean: down ## end everything; remove .venv, .headway (data, keys), caches
	@rm -rf .venv .headway tests/transforming/node_modules build .pytest_cache .mypy_cache .ruff_cache .hypothesis exporter/*.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

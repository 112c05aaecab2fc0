# The same steps that .ci/run takes. `make` alone lists them.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help venv demo serve stop test test-fast test-full check bench clean

PYTHON ?= python3
DATA ?=
PORT ?= 6566
CASES ?=
RUN := .venv/bin/python -m

help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

venv: ## Make .venv from requirements.lock (instant when it is up to date)
	@PYTHON="$(PYTHON)" .ci/venv

demo: venv ## Run every part on shop data; DATA=path takes the real Online Retail file
	@$(RUN) demo run $(if $(DATA),--data "$(DATA)")

serve: venv ## Leave Redis and the gateway up, and print curl commands to try
	@$(RUN) demo serve --port $(PORT) $(if $(DATA),--data "$(DATA)")

stop: venv ## Stop what `make serve` left up
	@$(RUN) demo stop

check: venv ## Formatting, lint, strict types, import contracts
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

test: check ## Everything that gates: check, unit, property, integration, end to end
	@$(RUN) pytest -n 2 --dist loadgroup

test-fast: check ## The same without Redis and whole commands (under 60 seconds)
	@$(RUN) pytest -n 2 -m "not slow and not e2e and not redis"

test-full: check ## The full counts of property cases, kills and requests
	@EVENSTORE_TEST_SCALE=full $(RUN) pytest -n 2 --dist loadgroup --timeout 3600

bench: venv ## Speed and memory beside stock Feast, most of an hour; CASES=S,H takes some cases
	@$(RUN) pytest benchmarks --benchmark-only -p no:randomly -q
	@$(RUN) benchmarks offline $(if $(CASES),--cases $(CASES))
	@$(if $(CASES),:,$(RUN) benchmarks online)

clean: ## Stop and remove what the demo and the tests made (not .venv)
	@[ ! -x .venv/bin/python ] || $(RUN) demo clean
	@rm -rf .benchmarks .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

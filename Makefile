# The same steps that .ci/run takes. `make` alone lists them.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Tests start many processes: none of them shall compile our code again.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help venv demo duel serve stop test test-fast test-full mutants check lint bench clean

PYTHON ?= python3
DATA ?=
PORT ?= 6566
CASES ?=
ONLY ?=
WORKERS ?= 3
RUN := .venv/bin/python -m

help: ## List the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

venv: ## Make .venv from requirements.lock (instant when it is up to date)
	@PYTHON="$(PYTHON)" .ci/venv

demo: venv ## Run every part on shop data; DATA=path takes the real Online Retail file
	@$(RUN) demo run $(if $(DATA),--data "$(DATA)")

duel: venv ## A week of incidents, through stock Feast and through evenstore, minutes
	@$(RUN) demo.duel

serve: venv ## Leave Redis and the gateway up, and print curl commands to try
	@$(RUN) demo serve --port $(PORT) $(if $(DATA),--data "$(DATA)")

stop: venv ## Stop what `make serve` left up
	@$(RUN) demo stop

check: lint ## Formatting, lint, strict types, import contracts
	@.venv/bin/mypy

lint: venv
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/ruff check --quiet .
	@.venv/bin/lint-imports

# Types are checked beside the tests, which often wait for processes that they started; what is
# found is said at the end.
test: lint ## Everything that gates: check, unit, property, integration, end to end
	@said=$$(mktemp); .venv/bin/mypy >"$$said" 2>&1 & types=$$!; \
	$(RUN) pytest -n $(WORKERS); tests=$$?; \
	wait $$types; types=$$?; cat "$$said"; rm "$$said"; exit $$((tests ? tests : types))

test-fast: check ## The same without Redis and whole commands (under 60 seconds)
	@$(RUN) pytest -n $(WORKERS) -m "not slow and not e2e and not redis"

test-full: check ## The full counts of property cases, kills and requests
	@EVENSTORE_TEST_SCALE=full $(RUN) pytest -n $(WORKERS) --timeout 3600

mutants: venv ## Break our own code on purpose, and see golden turn red, half an hour; ONLY=name takes one
	@$(RUN) tests.mutants run $(if $(ONLY),--only $(ONLY))

bench: venv ## Speed and memory beside stock Feast, most of an hour; CASES=S,H takes some cases
	@$(RUN) pytest benchmarks --benchmark-only -p no:randomly -q
	@$(RUN) benchmarks offline $(if $(CASES),--cases $(CASES))
	@$(if $(CASES),:,$(RUN) benchmarks online)

clean: ## Stop and remove what the demo and the tests made (not .venv)
	@[ ! -x .venv/bin/python ] || $(RUN) demo clean
	@rm -rf .benchmarks .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

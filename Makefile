# What there is to do here: `make help`.

# The first of these that runs, and is new enough for the demo's broker.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BROKER ?=
VENV := .venv
RUN := exec $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo monitoring test lint check generated pictures clean

help: ## Name the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## Make .venv with otel-celery, its pools and its demo

demo: $(VENV)/.installed ## Watch five worker pools at work (BROKER=redis://... or amqp://... for a broker of yours)
	@$(RUN)/otel-celery demo $(if $(BROKER),--broker '$(BROKER)')

monitoring: $(VENV)/.installed ## Start Prometheus, Alertmanager and the exporters that are installed here, beside the demo (BROKER=...)
	@$(RUN)/python -m devops.monitoring.local $(if $(BROKER),--broker '$(BROKER)')

test: $(VENV)/.checked ## Run the tests that take minutes: the rooms, each end on every pool, the demo, the alerts
	@$(RUN)/python -m nox --session tests --force-python $(VENV)/bin/python

lint: $(VENV)/.developed ## Hold the code to its rules
	@$(RUN)/python -m nox --session lint --force-python $(VENV)/bin/python

check: $(VENV)/.checked ## Run everything on each Python that is here, after installing services (root on Debian)
	@.ci/services
	@$(VENV)/bin/python -m tests.tools
	@$(RUN)/python -m nox

generated: $(VENV)/.developed ## Write anew what is made: the tables of metrics and variables, what top knows of alerts, the port's runbook, the dashboards, Kubernetes' rules, the chart's files
	@$(RUN)/python .ci/reference.py
	@$(RUN)/python -m devops.monitoring.dashboard
	@$(RUN)/python -m devops.monitoring.watched
	@$(RUN)/python -m devops.monitoring.runbook
	@$(RUN)/python devops/kubernetes/rules.py
	@$(RUN)/python devops/helm/files.py

pictures: $(VENV)/.developed ## Draw docs/images anew, from the demo and the dashboards (needs Go, npm, Chromium and compose's services)
	@$(RUN)/python -m nox --session pictures --force-python $(VENV)/bin/python

clean: ## Remove what was made
	rm -rf $(VENV) .nox dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find otel_celery tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed: install one, or name it with PYTHON=...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(VENV)/bin/python -m pip install --quiet --editable '.[demo]'
	@touch $@

# The tests have environments of their own, which nox makes.
$(VENV)/.checked: $(VENV)/.installed
	$(VENV)/bin/python -m pip install --quiet --group nox
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(VENV)/bin/python -m pip install --quiet --group dev
	@touch $@

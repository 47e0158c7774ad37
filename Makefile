# The project's commands. `make` alone explains them.
.DEFAULT_GOAL := help
.PHONY: help setup demo down env model images push digests lint check test nightly
SHELL := /bin/bash

PYTHON_ENV := .venv/bin
# `make model` trains the small model for this task; another one gets an adapter on the base of models/small.
TASK := medical_ie
NAME = $(if $(filter medical_ie,$(TASK)),small,$(TASK))
OUT = build/$(NAME)-model
# What runs on the instance; the trainer is for those who fine-tune: make images IMAGES=trainer
IMAGES := gateway engine
# linux/arm64 for Graviton; the tag then ends in -arm64.
PLATFORM := linux/amd64
# A cache that outlives the builder: gha in GitHub's workflows.
CACHE :=
# Two processes: a deployment waits more than it works. tests/support/processes.py says which tests stay together.
AT_ONCE := -n 2 --dist loadscope --no-loadscope-reorder
# Four for the quick tests, which wait too; and what holds none of them is not even imported.
# schemathesis, which none of these tests uses, would be loaded by each of the processes.
QUICK_AT_ONCE := -n 4 --dist loadscope --no-loadscope-reorder -p no:schemathesis
WITHOUT_QUICK := tests/browser tests/drills tests/molecule tests/gateway/api/test_openapi.py
# Lines that ran in the tests' own processes. `sysmon` costs next to no time; the default took 40 % more.
COVERAGE := -p tests.support.coverage_totals --cov=gateway --cov=training --cov=plugins --cov=pipeline --cov-report=
# Ansible starts a Python for every task: where byte code may not be written, each would compile all its imports again.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(PYTHON_ENV):$(PATH)

help: ## Explain the commands
	@awk 'BEGIN { FS = ":.*## " } /^[a-z]+:.*## / { printf "  make %-8s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install Poetry and the locked dependencies into .venv (the other commands do it by themselves)
	@.ci/setup

demo: setup ## Deploy the whole stack into a local AWS region on this machine and extract a note
	@python -m tests.local_region.demo

down: setup ## Remove the local region: containers, volumes, network, processes
	@python -m tests.local_region down

env: setup ## Print what to export so that any ansible-playbook works against the local region: eval "$(make -s env)"
	@python -m tests.local_region env

model: ## Train the small model, or an adapter for another task: make model DATA=folder [OUT=folder], make model TASK=assistant_intent
	@[ -f "training/$(NAME).yaml" ] || { echo 'There is no training/$(NAME).yaml: docs/add-a-task.md says what stands in it' >&2; exit 2; }
	@[ -n "$(DATA)" ] || [ "$(TASK)" != medical_ie ] || { echo 'Name the data set: make model DATA=folder (with train.jsonl and validation.jsonl in it)' >&2; exit 2; }
	@.ci/training-env
	@$(if $(DATA),,.training-venv/bin/python -m training make-data --task "$(TASK)" --out "$(OUT)/data")
	@.training-venv/bin/python -m training run --config "training/$(NAME).yaml" --data "$(or $(DATA),$(OUT)/data)" --out "$(OUT)" --threads 2

images: setup ## Build the images of the commit that is checked out, and try them: make images [IMAGES="gateway engine llamacpp trainer edge"]
	@python -m pipeline build --platform $(PLATFORM) $(if $(CACHE),--cache $(CACHE)) $(IMAGES)
	@python -m pipeline smoke --platform $(PLATFORM) $(IMAGES)

push: setup ## Push what `make images` built to the ECR of AWS_REGION, and print the command that deploys it
	@python -m pipeline push --platform $(PLATFORM) $(IMAGES)

digests: setup ## Write the digests of the images' bases into docker/images.toml, as far as a registry can be reached
	@python -m pipeline digests

lint: setup ## Only the linters and the types
	@pytest tests/test_lint.py

check: setup ## Lint, types and the tests that need no Docker: minutes
	@pytest $(QUICK_AT_ONCE) $(WITHOUT_QUICK:%=--ignore=%) -m "not region and not slow"

test: setup ## With the coverage: `check`, and the real stack in local regions of its own; what CI runs
	@COVERAGE_CORE=sysmon python -m pytest $(AT_ONCE) -m "not nightly" $(COVERAGE)

nightly: setup ## What `make test` leaves out: further faults, and the roles by themselves (molecule)
	@python -m pytest $(AT_ONCE) -m nightly

# `make` lists the targets. What each needs beyond Go is checked first, one line per missing tool.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Tools of the developers live in .bin, so that go.mod lists only what is shipped.
BIN                   := $(CURDIR)/.bin
GOLANGCI_LINT_VERSION := v2.15.0
BUF_VERSION           := v1.69.0
PROTOC_GEN_GO_VERSION := v1.36.12
GOVULNCHECK_VERSION   := v1.1.4

# Knobs: make test PACKAGES=./pkg/engine/... GO_TEST_FLAGS='-run Upgrade -v'
PACKAGES      ?= ./...
GO_TEST_FLAGS ?=
TEST_TIMEOUT  ?= 10m
FUZZTIME      ?= 30s
BENCH         ?= .
BENCHTIME     ?= 1s
RUN_FLAGS     ?=

# Every directory with a package-lock.json is installed from it, again whenever it changes.
npm_locks    := $(shell find . -name node_modules -prune -o -name package-lock.json -print | sed 's|^\./||')
npm_packages := $(npm_locks:package-lock.json=node_modules/.package-lock.json)
npm_ci        = npm ci --no-audit --no-fund --no-update-notifier --loglevel=error

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## serve the chat demo on http://localhost:3000, all services in one process
	@scripts/check-tools go node
	@$(MAKE) --no-print-directory --silent node_modules/.package-lock.json
	go run ./cmd/siomesh up $(RUN_FLAGS)

.PHONY: test
test: ## run every test with the race detector, Node clients and a browser included
	@scripts/check-tools go node cc chromium
	@$(MAKE) --no-print-directory --silent npm
	@# The end-to-end tests kill processes and watch the clock, so they have the machine to themselves.
	@set -e; all=$$(go list $(PACKAGES)); \
	for part in "$$(echo "$$all" | grep -v '/e2e$$' || true)" "$$(echo "$$all" | grep '/e2e$$' || true)"; do \
		if [ -n "$$part" ]; then CGO_ENABLED=1 go test -race -timeout $(TEST_TIMEOUT) $(GO_TEST_FLAGS) $$part; fi; \
	done

.PHONY: check
check: tidy-check generate-check lint test conformance-check readme-check ## what CI runs

.PHONY: fuzz
fuzz: ## run every fuzz target in turn, each for FUZZTIME
	@scripts/check-tools go
	scripts/fuzz $(FUZZTIME) $(PACKAGES)

.PHONY: bench
bench: ## run the benchmarks (BENCH=regexp, BENCHTIME=)
	@scripts/check-tools go
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem $(GO_TEST_FLAGS) $(PACKAGES)

.PHONY: bench-edge
bench-edge: ## measure the edge alone against its budgets (Linux, python3; about half an hour)
	@scripts/check-tools go
	cmd/siobench/edge.py --reps 3 --json docs/performance/edge.json

.PHONY: generate
generate: tools-proto ## generate Go from proto/
	PATH="$(BIN):$$PATH" $(BIN)/buf generate

.PHONY: e2e
e2e: ## run the end-to-end tests verbosely and take the screenshot docs/chat.png
	@scripts/check-tools go node cc chromium
	@$(MAKE) --no-print-directory --silent npm
	@mkdir -p docs
	SIOMESH_SCREENSHOT=$(CURDIR)/docs/chat.png CGO_ENABLED=1 \
		go test -race -count=1 -v -timeout $(TEST_TIMEOUT) $(GO_TEST_FLAGS) ./e2e/...

.PHONY: conformance
conformance: ## write into docs/conformance.md which lines of the checklist have a test (CONFORMANCE_E2E=1: run e2e too)
	$(conformance)

.PHONY: lint
lint: tools-lint tools-proto ## run the linters for Go, protobuf and shell
	@scripts/check-tools go shellcheck
	$(BIN)/golangci-lint run $(PACKAGES)
	$(BIN)/buf lint
	shellcheck .ci/run scripts/*

.PHONY: fmt
fmt: tools-lint tools-proto ## format Go and protobuf
	$(BIN)/golangci-lint fmt
	$(BIN)/buf format -w

.PHONY: vuln
vuln: ## report known vulnerabilities in what is linked (needs the network)
	@scripts/check-tools go
	@scripts/install-tool golang.org/x/vuln/cmd/govulncheck $(GOVULNCHECK_VERSION)
	$(BIN)/govulncheck $(PACKAGES)

# The parts of `check`.

.PHONY: tidy-check
tidy-check:
	@scripts/check-tools go
	go mod tidy -diff

# What buf generates now must be what is committed.
.PHONY: generate-check
generate-check: tools-proto
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	PATH="$(BIN):$$PATH" $(BIN)/buf generate -o "$$tmp"; \
	diff -r "$$tmp/internal/gen" internal/gen || { echo 'internal/gen is stale: run make generate' >&2; exit 1; }

# What the tests cite and how they end must be what docs/conformance.md says. It says the same with and without e2e.
.PHONY: conformance-check
conformance-check:
	$(conformance) -check

define conformance
	@scripts/check-tools go cc $(if $(CONFORMANCE_E2E),node chromium)
	@$(if $(CONFORMANCE_E2E),$(MAKE) --no-print-directory --silent npm)
	CGO_ENABLED=1 go test -race -json -timeout $(TEST_TIMEOUT) $(if $(CONFORMANCE_E2E),-p 1 ./e2e) \
		$$(go run ./internal/conformance -packages) | go run ./internal/conformance
endef

.PHONY: readme-check
readme-check:
	@scripts/check-tools go node
	@$(MAKE) --no-print-directory --silent node_modules/.package-lock.json
	scripts/readme-commands

.PHONY: tools-lint tools-proto
tools-lint:
	@scripts/check-tools go
	@scripts/install-tool github.com/golangci/golangci-lint/v2/cmd/golangci-lint $(GOLANGCI_LINT_VERSION)
tools-proto:
	@scripts/check-tools go
	@scripts/install-tool github.com/bufbuild/buf/cmd/buf $(BUF_VERSION)
	@scripts/install-tool google.golang.org/protobuf/cmd/protoc-gen-go $(PROTOC_GEN_GO_VERSION)

.PHONY: npm
npm: $(npm_packages)

node_modules/.package-lock.json: package.json package-lock.json
	@echo npm ci
	@$(npm_ci)
	@touch $@
%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	@echo 'npm ci ($*)'
	@cd $* && $(npm_ci)
	@touch $@

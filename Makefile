# Relayhouse: every task of the repository. CI (.ci/run) calls the same targets.
# `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO     ?= go
BIN    := bin
# Packages to work on, for example: make race PKG=./rendezvous/...
PKG    ?= ./...

# Pinned tools. They are compiled from source, through the module proxy.
GOLANGCI_VERSION  := v2.15.0
GOLANGCI          := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)
BENCHSTAT_VERSION := v0.0.0-20260908200009-22c9c6c9d4da
BENCHSTAT         := $(BIN)/benchstat-$(BENCHSTAT_VERSION)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | \
	  awk -F ':.*## ' '{ printf "  make %-11s %s\n", $$1, $$2 }'

.PHONY: build
build: ## build all commands and the echo example into bin/
	$(GO) build ./...
	mkdir -p $(BIN)
	$(GO) build -o $(BIN)/ ./cmd/... ./examples/...

# HTTP and ADMIN choose the addresses; port 0 picks a free one.
.PHONY: run
run: build ## start the emulator with a sample echo listener behind it
	tools/run

.PHONY: test
test: prerequisites unit system interop bench-small ## everything, from a bare machine

.PHONY: prerequisites
prerequisites: ## install what the tests need beside Go, or say what is missing
	tools/prerequisites

.PHONY: unit
unit: ## build everything and run all quick tests, the house rules included
	$(GO) build ./...
	$(GO) vet ./...
	$(GO) test $(PKG)

# One package at a time, here and below: what is slow by its build has the
# machine to itself, and no test mistakes a busy neighbour for a stall.
.PHONY: race
race: ## all tests under the race detector
	$(GO) test -race -p 1 $(PKG)

.PHONY: invariant
invariant: ## all tests with the checks that production builds leave out
	$(GO) test -tags invariants -p 1 $(PKG)

# SEED=n replays one run; SEEDS=n sets how many are tried.
SEEDS ?= 10000
.PHONY: sim
sim: ## simulated relays over many seeds: make sim [SEED=n] [SEEDS=n]
	SIM_SEED=$(SEED) SIM_SEEDS=$(SEEDS) \
	  $(GO) test -count=1 -v -run '^TestSim' ./engine/simnet/... ./gateway

.PHONY: plant
plant: ## plant known bugs and expect the simulation to find each
	$(GO) run ./tools/plant

FUZZTIME ?= 10s
.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each (10s)
	FUZZTIME=$(FUZZTIME) tools/fuzz $(PKG)

.PHONY: system
system: ## tests of the real binary in a process of its own (build tag system)
	$(GO) test -count=1 -tags system -run Process ./node ./relayctl

.PHONY: interop
interop: build ## real clients against the built binary; needs Node.js 18 or newer
	interop/run $(CURDIR)/$(BIN)/relayhouse

.PHONY: lint
lint: tools ## formatting, go vet, golangci-lint, the house rules of tools/lint
	@unformatted=$$(gofmt -l .); \
	  if [ -n "$$unformatted" ]; then echo "run gofmt -w on:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	cd interop && $(GO) vet ./...
	for os in windows darwin freebsd; do GOOS=$$os $(GO) vet ./relayclient || exit 1; done
	$(GOLANGCI) run
	cd interop && ../$(GOLANGCI) run
	$(GO) test -count=1 ./tools/lint

# COUNT and BENCHTIME go to go test.
BENCH     ?= .
BENCHTIME ?= 1s
COUNT     ?= 1
.PHONY: bench
bench: ## benchmarks: make bench [BENCH=regexp] [BENCHTIME=1s] [COUNT=10]
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) \
	  -count $(COUNT) $(PKG)

# Everything of the harness once, so that it cannot rot. frp, chisel and
# strelaysrv are left out: they come from the network; make bench-peers tries them.
.PHONY: bench-small
bench-small: build ## every test of relaybench at small size, its peers, the gate
	$(BIN)/relaybench run --start $(BIN)/relayhouse --small --quiet --json $(BIN)/small.json
	$(BIN)/relaybench run --start $(BIN)/relayhouse --tls --small --quiet
	$(BIN)/relaybench run --start $(BIN)/relayhouse --tests stuck --rounds 1 --quiet
	$(BIN)/relaybench run --start $(BIN)/relayhouse --small --quiet \
	  --peers floor,naive-gorilla,haproxy,nginx --tests b1,b2,b5,b6,b7
	$(BIN)/relaybench hold --start $(BIN)/relayhouse --relays 2000 --gateways 3 --step 1000 \
	  --rest 1s --quiet
	$(BIN)/relaybench compare $(BIN)/small.json $(BIN)/small.json >/dev/null
	$(BIN)/relaybench plot $(BIN)/small.json --out $(BIN)/plots >/dev/null
	$(BIN)/relaybench gate --start $(BIN)/relayhouse

.PHONY: bench-peers
bench-peers: build ## fetch, build and start every peer: which can run here?
	$(BIN)/relaybench peers --check

.PHONY: bench-cmp
bench-cmp: $(BENCHSTAT) ## compare with another commit: make bench-cmp OLD=commit [BENCH=regexp]
	BENCH='$(BENCH)' COUNT=$${COUNT:-10} BENCHTIME=$(BENCHTIME) \
	  tools/bench-cmp '$(OLD)' $(CURDIR)/$(BENCHSTAT)

.PHONY: cover
cover: ## statement coverage of all packages, in bin/cover.html
	mkdir -p $(BIN)
	$(GO) test -coverpkg=./... -coverprofile=$(BIN)/cover.out $(PKG)
	$(GO) tool cover -html=$(BIN)/cover.out -o $(BIN)/cover.html
	$(GO) tool cover -func=$(BIN)/cover.out | tail -1

.PHONY: tools
tools: $(GOLANGCI) ## install the pinned linter into bin/ (about two minutes, once)

$(GOLANGCI):
	mkdir -p $(BIN)
	GOBIN=$(CURDIR)/$(BIN) $(GO) install \
	  github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@

$(BENCHSTAT):
	mkdir -p $(BIN)
	GOBIN=$(CURDIR)/$(BIN) $(GO) install \
	  golang.org/x/perf/cmd/benchstat@$(BENCHSTAT_VERSION)
	mv $(BIN)/benchstat $@

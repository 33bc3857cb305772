# Everything a developer or CI does with this tree. `make help` lists it; `make test` is the one that must be green.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO          ?= go
BIN         := $(CURDIR)/.bin
STATICCHECK_VERSION := v0.8.2
STATICCHECK := $(BIN)/staticcheck-$(STATICCHECK_VERSION)
FUZZTIME    ?= 60s
BENCH       ?= .
OUT         ?= $(CURDIR)/build

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: test
test: install lint ## what CI runs: install what is missing, lint, and every test with the race detector and real servers
	REGAIN_REQUIRE_SERVERS=1 $(GO) test -race -timeout 25m ./...

.PHONY: test-unit
test-unit: ## the tests that need nothing installed; packages of internal/house/needs name the groups left out
	$(GO) test ./...

.PHONY: test-all
test-all: test check-generated fuzz bench timing crowds ## test, and what takes too long for every change

.PHONY: lint
lint: $(STATICCHECK) ## gofmt, go vet and staticcheck
	@unformatted=$$(find . -name '*.go' -not -path '*/node_modules/*' -not -path './.*' -print0 | xargs -0 gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "gofmt these files:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...

$(STATICCHECK):
	@mkdir -p $(BIN)
	GOBIN=$(BIN)/new $(GO) install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	mv $(BIN)/new/staticcheck $@

.PHONY: install
install: ## install what the tests need and is missing (Debian, as root); says what it cannot install
	@.ci/install

.PHONY: build
build: ## the program, static and stripped, as build/regain
	@mkdir -p $(OUT)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o $(OUT)/regain ./cmd/regain

.PHONY: bench
bench: ## every benchmark, or those of BENCH=pattern
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 3h ./...

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (60s) each
	@grep -rhoE --include='*_test.go' --exclude-dir=node_modules --exclude-dir=.bin '^func Fuzz[A-Za-z0-9_]*' cmd internal pkg >/dev/null || { echo "no fuzz targets"; exit 0; }; \
	for file in $$(grep -rlE --include='*_test.go' --exclude-dir=node_modules '^func Fuzz' cmd internal pkg); do \
	  for name in $$(grep -oE '^func Fuzz[A-Za-z0-9_]*' $$file | cut -c6-); do \
	    echo "== $$name in $$(dirname $$file)"; \
	    $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./$$(dirname $$file); \
	  done; \
	done

.PHONY: screenshots
screenshots: install ## a picture of every page, light, dark and small, in build/screenshots
	REGAIN_REQUIRE_SERVERS=1 REGAIN_TEST_SCREENSHOTS=$(OUT)/screenshots $(GO) test -count=1 -run Screenshots ./internal/...
	@find $(OUT)/screenshots -name '*.png' 2>/dev/null | sort

.PHONY: timing
timing: ## whether a stranger can tell from the time of an answer that an account exists (some minutes; not in CI)
	REGAIN_TEST_TIMING=1 $(GO) test -count=1 -run Timing -v -timeout 60m ./internal/...

.PHONY: crowds
crowds: ## look-ups among a hundred thousand and a million people, and many random searches (some minutes; not in CI)
	REGAIN_TEST_CROWDS=1 $(GO) test -count=1 -run LookUpsTouch -v -timeout 60m ./internal/store
	REGAIN_TEST_POPULATIONS=20 $(GO) test -count=1 -run MemoryAndBoth -timeout 60m ./internal/provision -rapid.checks=500

.PHONY: check-generated
check-generated: ## that go.mod and the recorded files are what the sources give
	$(GO) mod tidy -diff
	$(GO) test -run 'Recorded|Golden|Generated' ./...

.PHONY: clean
clean: ## forget what was built here
	rm -rf $(BIN) $(OUT)

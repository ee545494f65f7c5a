# make run    builds Caddy with the module and serves the demo at http://localhost:8080/
# make test   installs what the tests need, then runs every check and test
# make bench  measures the floor, this project and nchan, and writes bench/RESULTS.md (25 minutes)
# make lint   vet, gofmt and staticcheck

GO ?= go

.PHONY: run test bench lint deps build

build:
	$(GO) build -o caddy ./cmd/caddy

run: build
	@sh examples/run.sh

# The times are of two cores. go test prints a package when it and those listed before it are done, so it may be silent for minutes.
test: deps lint
	@echo "Go tests with the race detector: about 6 minutes"
	$(GO) test -race -timeout 15m ./...
	@echo "End-to-end tests with PHP, nginx, Redis, NATS and Chromium: about 2 minutes"
	cd test && $(GO) test -count=1 -timeout 15m ./... # never from the cache, which does not know of the binaries it runs
	@echo "Tests of the benchmark and of the clients: seconds"
	cd bench && $(GO) test ./...
	php clients/php/tests/run.php
	cd clients/js && node --test

bench:
	cd bench && $(GO) run . -write

lint:
	@echo "go vet, gofmt and staticcheck: about 2 minutes"
	$(GO) vet ./...
	cd test && $(GO) vet ./...
	cd bench && $(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) tool -modfile=test/go.mod staticcheck ./...
	cd test && $(GO) tool staticcheck ./...
	cd bench && $(GO) tool -modfile=../test/go.mod staticcheck ./...

deps:
	sh test/deps.sh

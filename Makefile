# make run    builds Caddy with the module and serves the demo at http://localhost:8080/
# make test   installs what the tests need, then runs every check and test
# make bench  the Go benchmarks
# make lint   vet, gofmt and staticcheck

GO ?= go

.PHONY: run test bench lint deps build

build:
	$(GO) build -o caddy ./cmd/caddy

run: build
	@sh examples/run.sh

test: deps lint
	$(GO) test -race -timeout 10m ./...
	cd test && $(GO) test -timeout 15m ./...
	php clients/php/tests/run.php
	cd clients/js && node --test

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...

lint:
	$(GO) vet ./...
	cd test && $(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) tool -modfile=test/go.mod staticcheck ./...
	cd test && $(GO) tool staticcheck ./...

deps:
	sh test/deps.sh

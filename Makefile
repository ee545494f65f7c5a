# make run    builds Caddy with the module and serves the demo at http://localhost:8080/
# make test   installs what the tests need, then runs every check and test
# make wild   tries all that real proxies, browsers and client libraries do to a stream (make test has a short form of it),
#              and axe-core on the pages
# make bench  measures the floor, this project, nchan, Mercure's hub and Centrifugo, and writes bench/RESULTS.md (an hour)
# make lint   vet, gofmt and staticcheck

GO ?= go

.PHONY: run test wild race beside static e2e clients bench lint vet deps build

build:
	@GO="$(GO)" sh examples/build.sh

run: build
	@sh examples/run.sh

# Tests with the race detector run beside all else, as much of both is waiting. Each part's output comes when it ends. If one
# fails, make says which, lets the other end, and fails.
test: deps
	@echo "Go tests with the race detector run beside staticcheck, end-to-end tests and tests of the clients, for 6 to 12 minutes"
	@echo "on two cores. Each of these prints when it ends."
	@$(MAKE) --no-print-directory -j2 -Otarget race beside

# Packages that take longest begin first. Each is vetted as it is tested. The race detector would wait a second at the end of each.
# Tests are linked without debug information (-w), which saves a quarter of the linker's time.
race:
	GORACE=atexit_sleep_ms=0 $(GO) test -race -vet=all -ldflags=-w -timeout 45m ./broker/natsbroker ./internal/sitetest ./internal/hub ./...

beside:
	@$(MAKE) static
	@$(MAKE) e2e
	@$(MAKE) clients

# Never from the cache, which does not know of the binaries that they run.
e2e:
	cd test && $(GO) test -vet=all -ldflags=-w -count=1 -timeout 45m ./...

clients:
	cd bench && $(GO) test -vet=all -ldflags=-w ./...
	php clients/php/tests/run.php
	cd clients/js && node --test

# Tests there mostly wait.
wild: deps
	cd test && SSE_PUSH_WILD=1 $(GO) test -count=1 -timeout 60m -parallel 8 ./wild/... ./browsers
	cd test && SSE_PUSH_WILD=1 $(GO) test -count=1 -timeout 20m ./clients
	cd test && SSE_PUSH_WILD=1 $(GO) test -count=1 -timeout 20m -run 'Demo|Inspector|Loop|Tokens|Ticker|Chat' ./e2e

bench:
	cd bench && $(GO) run . -write

lint: vet static

vet:
	$(GO) vet ./...
	cd test && $(GO) vet ./...
	cd bench && $(GO) vet ./...

static:
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) tool -modfile=test/go.mod staticcheck ./...
	cd test && $(GO) tool staticcheck ./...
	cd bench && $(GO) tool -modfile=../test/go.mod staticcheck ./...

deps:
	sh test/deps.sh

# The commands that people type. Everything else stands in .ci/run, .ci/full and the README.

.PHONY: dev try test postgres

TESTFLAGS =
PACKAGES = ./...
FLOW = cc
TLS =

dev: postgres ## everything for a laptop, at http://localhost:8080, or with TLS=yes at https://localhost:8443
	go run ./cmd/authserver dev $(if $(TLS),--tls)

try: ## drive a real flow against it, in another terminal: make try FLOW=code, or FLOW=all
	go run ./cmd/authserver try --flow $(FLOW)

test: postgres ## all tests; they bring their own PostgreSQL
	go test $(TESTFLAGS) $(PACKAGES)

postgres: ## make sure that PostgreSQL's binaries are there
	@deploy/postgres-binaries

# Everything goes through cargo; this file only names the usual orders.
CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help setup demo cluster-demo desktop desktop-cost package screenshots test bench load peer soak soak-members sabotage torture cluster-torture edge-torture failover across growth hostile edge edge-cost tor-cost engine-cost fuzz fmt lint

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what the build needs (Debian packages)
	@scripts/setup

demo: setup ## a node, two clients and a conversation, and two windows where there is a display; KEEP=1 leaves the node running instead
	$(CARGO) build --locked --workspace --bins
	scripts/demo $(if $(filter 1,$(KEEP)),--keep)

cluster-demo: setup ## three nodes, two clients at different ones, a conversation, and nodes that are killed
	$(CARGO) build --locked --workspace --bins
	"$(CARGO_TARGET_DIR)/debug/endtoend" demo --nodes 3

desktop: setup ## the client in a window; HOME_DIR=/tmp/alice for another profile than your own
	@scripts/setup desktop
	$(CARGO) build --locked --workspace --bins
	"$(CARGO_TARGET_DIR)/debug/endtoend-desktop" $(if $(HOME_DIR),--home "$(HOME_DIR)")

screenshots: setup ## two windows and a node under a display of their own, used by keys and mouse; pictures into docs/screenshots
	@scripts/setup screenshots
	$(CARGO) build --locked --workspace --bins
	$(CARGO) build --locked -p endtoend-client -p endtoend-testkit-tor --example populated --example hold
	scripts/screenshots

desktop-cost: setup ## how long a window takes to open and to draw, and what it takes up, beside an empty one
	@scripts/setup screenshots
	$(CARGO) build --locked --profile bench -p endtoend-client -p endtoend-client-iced --bins --examples
	scripts/desktop-cost

package: setup ## a Debian package of the window and the command line, into target/package
	@scripts/setup desktop
	scripts/package

# The programs are built with the tests, so that both have the same features: on their own they would have fewer, of tokio and
# futures, and what stands on those, which is Tor, would be built twice.
test: setup ## every check and every test
	$(CARGO) fmt --all --check
	RUSTC_WRAPPER="$(CURDIR)/scripts/without-onion" $(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	scripts/check-policy
	scripts/second-implementation
	scripts/sabotage --check
	scripts/s3-server
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items
	$(CARGO) build --locked --workspace --bins --tests
	$(CARGO) test --locked --workspace --no-fail-fast

bench: setup ## figures, printed and not judged: constructions against primitives, then what `make load` does
	$(CARGO) bench --locked --workspace --bench envelope --bench channel --bench primitives --bench allocations
	$(CARGO) bench --locked --workspace --bench accounts --bench stores --bench links
	$(MAKE) load

load: setup ## figures of one node: cost, latency at fixed rates, durable messages, memory for each idle connection
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/load" --messages 200000
	"$(CARGO_TARGET_DIR)/release/load" --messages 100000 --bytes 2304
	"$(CARGO_TARGET_DIR)/release/load" --messages 10000 --rate 1000
	"$(CARGO_TARGET_DIR)/release/load" --messages 50000 --rate 5000
	"$(CARGO_TARGET_DIR)/release/load" --messages 100000 --rate 10000
	"$(CARGO_TARGET_DIR)/release/load" --messages 70000 --offline
	"$(CARGO_TARGET_DIR)/release/load" --messages 70000 --bytes 2304 --offline
	"$(CARGO_TARGET_DIR)/release/load" --messages 70000 --bytes 2304 --offline --postgres
	"$(CARGO_TARGET_DIR)/release/idle"

peer: setup ## the same exchange over ejabberd, which must be there: apt-get install ejabberd
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/load" --messages 100000
	"$(CARGO_TARGET_DIR)/release/peer" --messages 100000
	"$(CARGO_TARGET_DIR)/release/load" --messages 50000 --rate 5000
	"$(CARGO_TARGET_DIR)/release/peer" --messages 50000 --rate 5000

soak: setup ## the simulation of the message path with ever new seeds, until it is stopped or one fails; SOAK=1000 begins there
	SOAK="$(or $(SOAK),$(shell date +%s))" $(CARGO) test --locked --profile bench -p endtoend-gateway --lib simulation::tests::soak -- --nocapture

soak-members: setup ## the same for members and elections
	SOAK="$(or $(SOAK),$(shell date +%s))" $(CARGO) test --locked --profile bench -p endtoend-cluster --lib seeded::soak -- --nocapture

sabotage: setup ## shows that the simulation finds bugs that are brought in on purpose
	scripts/sabotage

torture: setup ## a hundred faults and 100 000 messages on SQLite, then on PostgreSQL; SEED=2 for others
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/torture" --seed $(or $(SEED),1) --faults 100 --messages 100000
	"$(CARGO_TARGET_DIR)/release/torture" --seed $(or $(SEED),1) --faults 100 --messages 100000 --postgres

cluster-torture: setup ## three nodes under a hundred faults and 100 000 messages; SEED=2 for others
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/torture" --nodes 3 --seed $(or $(SEED),1) --faults 100 --messages 100000 --seconds-max 3600

edge-torture: setup ## the same through an edge that follows the cluster, and is struck too; SEED=2 for others
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/torture" --nodes 3 --edge --seed $(or $(SEED),1) --faults 100 --messages 100000 --seconds-max 3600

failover: setup ## how long it takes until proposals and messages flow again: 30 kills of a leader, and 30 of an owner
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/torture" --nodes 3 --only "leader killed" --faults 30 --messages 24000 --rate 200 --no-pair
	"$(CARGO_TARGET_DIR)/release/torture" --nodes 3 --only "owner killed" --faults 30 --messages 24000 --rate 200 --no-pair

across: setup ## what a message costs when its receiver is at another node, beside the same within one node
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/load" --messages 100000 --nodes 3
	"$(CARGO_TARGET_DIR)/release/load" --messages 100000 --nodes 3 --across
	"$(CARGO_TARGET_DIR)/release/load" --messages 20000 --rate 2000 --nodes 3
	"$(CARGO_TARGET_DIR)/release/load" --messages 20000 --rate 2000 --nodes 3 --across

growth: setup ## what a message costs in clusters of one, two and three nodes, with people at all of them: windows full, and 2 000/s planned
	$(CARGO) build --locked --profile bench --workspace --bins
	for nodes in 1 2 3; do \
		"$(CARGO_TARGET_DIR)/release/load" --spread --nodes $$nodes --senders 36 --receivers 36 --messages 200000 --rest 5 || exit 1; \
		"$(CARGO_TARGET_DIR)/release/load" --spread --nodes $$nodes --senders 36 --receivers 36 --messages 40000 --rate 2000 || exit 1; \
	done

hostile: setup ## what two people notice of clients that want to use the node up, kind by kind
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/hostile"

edge: setup ## a thousand changes of nodes behind an edge: what clients notice, how long each takes; SEED=2 for others
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/edge" --seed $(or $(SEED),1)

edge-cost: setup ## what an edge adds to a message and a connection, handshakes through it, and how soon a new node serves
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/edge-cost"

tor-cost: setup ## what Tor costs a client, through an exit and to an onion service, beside the same without it
	$(CARGO) build --locked --profile bench --workspace --bins --features endtoend-client/private-tor-network
	"$(CARGO_TARGET_DIR)/release/tor-cost"

engine-cost: setup ## figures of the client's engine: opening, storing, searching, files, and what a message costs, each beside its limit
	$(CARGO) build --locked --profile bench --workspace --bins
	"$(CARGO_TARGET_DIR)/release/engine-cost"

fuzz: setup ## search for bytes that break a decoder or a state machine: 10 minutes for each target
	scripts/fuzz 600

fmt: ## format the sources
	$(CARGO) fmt --all

lint: setup ## format check, clippy and dependency policy
	$(CARGO) fmt --all --check
	RUSTC_WRAPPER="$(CURDIR)/scripts/without-onion" $(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	scripts/check-policy

# What people of this project run by name. `just` alone lists it.

default:
    @just --list

# Formats everything.
fmt:
    cargo fmt --all
    cargo fmt --manifest-path tests/fuzz/Cargo.toml
    cargo fmt --manifest-path tests/op-compat/Cargo.toml

# All lints, warnings denied.
lint:
    cargo fmt --all --check
    cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
    cargo fmt --manifest-path tests/op-compat/Cargo.toml --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo clippy --manifest-path tests/fuzz/Cargo.toml --target-dir target -- -D warnings
    cargo clippy --manifest-path tests/op-compat/Cargo.toml --target-dir target/op-compat --all-targets -- -D warnings
    cargo deny check bans licenses sources

# Every test that needs only Rust and a C compiler.
test:
    cargo test --workspace

# What an OP Stack rollup's derivation, written by others, makes of our channels; a build of its own, two minutes the first time.
op-compat:
    cargo test --manifest-path tests/op-compat/Cargo.toml --target-dir target/op-compat

# Seeded simulation of whole networks of pure cores; `just sim 20000 --state sim.json` goes on where it was stopped.
sim seeds="300" *args:
    cargo run --release -p tests --bin sim -- --seeds {{seeds}} {{args}}

# Fuzzing: `just fuzz 300` for all targets, two at a time; `just fuzz 60 peer disk` for some (tests/fuzz/targets).
fuzz seconds="300" *targets:
    tests/fuzz/run {{seconds}} {{targets}}

# The standard benchmark: opaque transactions, data policy `committee`.
bench:
    cargo run --release -p testnet -- bench --nodes 4 --tx-bytes 512 --rate 2000 --seconds 20 --json

# Bytes and speed of the payload codec beside brotli, as the OP batcher has it; `--short` for a look.
codec *args:
    cargo bench -p batcher --bench codec -- {{args}}

# A local network until Ctrl-C.
testnet *args:
    cargo run --release -p testnet -- {{args}}

# Rebuilds the contracts and compares them with what is checked in; runs their forge tests.
contracts:
    cd batcher/contracts && npm ci && npm run check && ./test.sh

# More seeds than fit into CI.
nightly:
    just sim 20000
    just fuzz 7200
    cargo run --release -p testnet -- --for 600s
    cargo run --release -p testnet -- chaos l1 --for 15m
    cargo run --release -p testnet -- bench --attack all --seconds 30

# What CI runs.
pre-push:
    .ci/run

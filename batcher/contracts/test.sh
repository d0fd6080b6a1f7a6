#!/usr/bin/env bash
# Runs the contract tests: installs the pinned compiler and forge once, then works without a network.
# Arguments go to forge, as in: ./test.sh --match-contract Gas -vv
set -euo pipefail
cd "$(dirname "$0")"

# npm writes this file last, so it also tells a finished installation from a broken one.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    npm ci --ignore-scripts
fi
exec node node_modules/@foundry-rs/forge/bin.mjs test "$@"

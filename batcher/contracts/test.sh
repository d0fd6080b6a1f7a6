#!/usr/bin/env bash
# Runs the contract tests: installs the pinned compiler and forge once, then works without a network.
# Arguments go to forge, as in: ./test.sh --match-contract Gas -vv
set -euo pipefail
cd "$(dirname "$0")"

# npm writes this file last, so it also tells a finished installation from a broken one.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    npm ci --ignore-scripts
fi

# The binaries themselves and not the package that chooses one of them: it names platforms that not every
# registry has, and `npm ci` refuses a lockfile without them.
forge=$(echo node_modules/@foundry-rs/forge-*/bin/forge)
if [ ! -x "$forge" ]; then
    forge=$(command -v forge) || {
        echo "npm has no forge for this platform ($(uname -sm)): install Foundry and put forge on the PATH" >&2
        exit 1
    }
fi
exec "$forge" test "$@"

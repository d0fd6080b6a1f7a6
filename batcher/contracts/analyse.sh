#!/usr/bin/env bash
# Static analysis (slither) and proofs (halmos) of the contracts. Needs Node.js, npm, and Python 3.11 or later; installs the rest into .analysis once.
#   ./analyse.sh            both
#   ./analyse.sh slither    findings, compared with those that slither.txt lists and README.md answers
#   ./analyse.sh halmos     the proofs under proofs/
set -euo pipefail
cd "$(dirname "$0")"
what="${1:-all}"
case "$what" in all | slither | halmos) ;; *)
    echo "analyse.sh: unknown analysis '$what'; there are slither and halmos" >&2
    exit 2
    ;;
esac

if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    npm ci --ignore-scripts --no-audit --no-fund
fi
if ! cmp --silent analysis.txt .analysis/installed.txt; then
    python3 -m venv --clear .analysis
    .analysis/bin/pip install --quiet --disable-pip-version-check --requirement analysis.txt
    cp analysis.txt .analysis/installed.txt
fi
forge=$(echo "$PWD"/node_modules/@foundry-rs/forge-*/bin)
PATH="$forge:$PWD/.analysis/bin:$PATH"

if [ "$what" != halmos ]; then
    rm -f .analysis/findings.json
    # Its exit code says whether there are findings at all.
    slither . --json .analysis/findings.json 2>.analysis/slither.log || true
    node findings.mjs .analysis/findings.json | diff -u slither.txt - || {
        echo "slither finds other things than slither.txt lists: answer them in README.md, or mend them; log: .analysis/slither.log" >&2
        exit 1
    }
    echo "slither: $(wc -l <slither.txt) findings, each answered in README.md"
fi
if [ "$what" != slither ]; then
    FOUNDRY_PROFILE=proofs halmos --contract InboxProofs --forge-build-out out-proofs \
        --solver-timeout-assertion 120000 --default-bytes-lengths 0,65 --default-array-lengths 0,1
fi

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests in two halves, on two cores: those that mostly compute, those of packages and the installation that has
# to be alive for three minutes; and the rest, most of which start the agent: test.sh PYTHON
set -u
python=$1
first="tests/accuracy tests/alerts tests/dialects tests/exposition tests/otlp tests/processors tests/simulation"
first="$first tests/exporters tests/receivers tests/deploy tests/live"
rest=
for folder in $first; do rest="$rest --ignore=$folder"; done
out=$(mktemp)
trap 'rm -f "$out"' EXIT
# shellcheck disable=SC2086
"$python" -m pytest -p no:cacheprovider $first >"$out" 2>&1 &
computing=$!
# shellcheck disable=SC2086
"$python" -m pytest $rest
started=$?
wait "$computing"
computed=$?
cat "$out"
[ "$started" -eq 0 ] && [ "$computed" -eq 0 ]

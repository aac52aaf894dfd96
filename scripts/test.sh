#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the tests, on two cores: those that only compute, and then the installation that has to be alive for three
# minutes, beside those that start programs: test.sh PYTHON
set -u
python=$1
pure="tests/accuracy tests/alerts tests/dialects tests/exposition tests/otlp tests/processors tests/simulation tests/live"
rest=
for folder in $pure; do rest="$rest --ignore=$folder"; done
out=$(mktemp)
trap 'rm -f "$out"' EXIT
# shellcheck disable=SC2086
"$python" -m pytest -p no:cacheprovider $pure >"$out" 2>&1 &
computing=$!
# shellcheck disable=SC2086
"$python" -m pytest $rest
started=$?
wait "$computing"
computed=$?
cat "$out"
[ "$started" -eq 0 ] && [ "$computed" -eq 0 ]

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs a command in a network of its own, which has a loopback and nothing else: alone.sh COMMAND …
set -eu
for tool in "unshare util-linux" "ip iproute2"; do
    command -v "${tool% *}" >/dev/null 2>&1 || {
        echo "joulespan: ${tool% *} is missing; install it (Debian: apt-get install ${tool#* })" >&2
        exit 1
    }
done
map=
[ "$(id -u)" = 0 ] || map=--map-root-user
# shellcheck disable=SC2086
exec unshare $map --net sh -c 'ip link set lo up && exec "$@"' sh "$@"

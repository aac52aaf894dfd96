#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Draws a dashboard with Grafana's own panel components: render.sh PROMETHEUS DASHBOARD.json OUT.png [NAME=VALUE …]
# See tests/render/README.md.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
build="$here/build/render"
for tool in node npm; do
    command -v "$tool" >/dev/null 2>&1 || { echo "joulespan: $tool is missing (Debian: apt-get install nodejs npm)" >&2; exit 1; }
done
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || { echo "joulespan: Chromium is missing (Debian: apt-get install chromium)" >&2; exit 1; }
mkdir -p "$build"
cmp -s "$here/tests/render/package.json" "$build/package.json" || {
    echo "joulespan: installing what draws the panels into $build" >&2
    cp "$here/tests/render/package.json" "$build/package.json.new"
    cp "$build/package.json.new" "$build/package.json"
    (cd "$build" && npm install --legacy-peer-deps --no-audit --no-fund --no-package-lock --loglevel=error >&2) || { rm -f "$build/package.json"; exit 1; }
}
sum=$(cat "$here"/tests/render/*.js* "$here"/tests/render/*.html | cksum)
[ "$(cat "$build/built" 2>/dev/null)" = "$sum" ] || {
    cp "$here"/tests/render/*.js "$here"/tests/render/*.jsx "$here"/tests/render/*.html "$build/"
    (cd "$build" && npx vite build >&2)
    echo "$sum" >"$build/built"
}
cp "$here/tests/render/shoot.mjs" "$build/"
exec node "$build/shoot.mjs" "$@"

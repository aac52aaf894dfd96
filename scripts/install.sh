#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Lays the agent into ROOT, to be used at PREFIX: a virtual environment of its own, without pip, its bytecode compiled
# and its times set to SOURCE_DATE_EPOCH where that is given: install.sh PYTHON PREFIX [ROOT]
set -eu
python=$1 prefix=$2 root=${3:-}
source=$(cd "$(dirname "$0")/.." && pwd)
place=$root$prefix

fail() { echo "joulespan: $1" >&2; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed"
[ ! -e "$place/pyvenv.cfg" ] || rm -rf "$place" # an earlier release, as a whole
mkdir -p "$place"
"$python" -m venv "$place" || fail "$python has no venv module (Debian: apt-get install python3-venv)"
pip() { "$place/bin/python" -m pip --disable-pip-version-check "$@"; }
pip install --quiet --no-compile --requirement "$source/requirements.txt"
# From a copy, so that nothing is left in the checkout and files of another build are not packed.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
for part in agent exporters dashboards alerts pyproject.toml README.md LICENSE; do cp -R "$source/$part" "$copy/"; done
pip install --quiet --no-compile --no-deps "$copy"
packages=$("$place/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# What it was made from is a folder of this machine.
rm -f "$packages"/joulespan-*.dist-info/direct_url.json
"$place/bin/python" "$source/scripts/sbom.py" "$packages" >"$copy/sbom.json"
pip uninstall --quiet --yes pip setuptools 2>/dev/null

find "$place/bin" -mindepth 1 ! -name 'python*' -delete
find "$packages" -depth -type d \( -name tests -o -name __pycache__ \) -exec rm -rf {} +
rm -rf "$place/include" "$place/share"
# The scripts that are gone, whose first lines told where this was built.
find "$packages" -path '*.dist-info/RECORD' -exec sed -i '/^\.\.\/\.\.\/\.\.\/\(bin\|share\)\//d' {} +
mkdir -p "$place/share/doc"
cp "$copy/sbom.json" "$source/LICENSE" "$source/requirements.txt" "$place/share/doc/"
cat >"$place/bin/joulespan" <<END
#!$prefix/bin/python -P
import sys

from agent.__main__ import main

sys.exit(main())
END
chmod 755 "$place/bin/joulespan"
# Bytecode that is never compared with its source: no time in it, and none lost at start.
"$place/bin/python" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$root" "$packages"
home=$(sed -n 's/^home = //p' "$place/pyvenv.cfg")
printf 'home = %s\ninclude-system-site-packages = false\n' "$home" >"$place/pyvenv.cfg"
chmod -R go+rX,go-w "$place"
[ -z "${SOURCE_DATE_EPOCH:-}" ] || find "$place" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

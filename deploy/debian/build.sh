#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a Debian package for the Debian and the processor of this machine: build.sh PYTHON FOLDER [TREE]
# PYTHON is the system's own: the package runs with it. TREE is what scripts/install.sh laid for it already.
set -eu
python=$1 folder=$2 tree=${3:-}
source=$(cd "$(dirname "$0")/../.." && pwd)
version=$(sed -n 's/^VERSION = "\(.*\)"$/\1/p' "$source/agent/version.py")
interpreter=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
architecture=$(dpkg --print-architecture)
# The time of the last commit, unless it is given: the same source makes the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$source" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
if [ -n "$tree" ]; then
    cp -a "$tree/." "$root/"
else
    sh "$source/scripts/install.sh" "$python" /usr/lib/joulespan "$root"
fi
sh "$source/scripts/install_unit.sh" /usr/lib/joulespan /lib/systemd/system "$root"
rm -r "$root/usr/local"
mkdir -p "$root/usr/bin" "$root/usr/share/doc/joulespan" "$root/DEBIAN"
ln -s ../lib/joulespan/bin/joulespan "$root/usr/bin/joulespan"
mv "$root"/usr/lib/joulespan/share/doc/* "$root/usr/share/doc/joulespan/"
rm -r "$root/usr/lib/joulespan/share"
mv "$root/usr/share/doc/joulespan/LICENSE" "$root/usr/share/doc/joulespan/copyright"

size=$(du -sk --apparent-size "$root" | cut -f 1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@PYTHON@/$interpreter/" -e "s/@SIZE@/$size/" \
    "$source/deploy/debian/control.in" >"$root/DEBIAN/control"
printf '/etc/joulespan/config.yaml\n/etc/default/joulespan\n' >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do install -m 755 "$source/deploy/debian/$script" "$root/DEBIAN/$script"; done
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$folder"
dpkg-deb --root-owner-group --build "$root" "$folder/joulespan_${version}_$architecture.deb"

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the unit of an agent that is at PREFIX, its settings and its drop-ins: install_unit.sh PREFIX UNITS [ROOT]
set -eu
prefix=$1 units=$2 root=${3:-}
deploy=$(dirname "$0")/../deploy/systemd

mkdir -p "$root$units" "$root/etc/joulespan" "$root/etc/default" "$root$prefix/share/doc/drop-ins" "$root/usr/local/bin"
sed "s|^ExecStart=/opt/joulespan/|ExecStart=$prefix/|" "$deploy/joulespan.service" >"$root$units/joulespan.service"
chmod 644 "$root$units/joulespan.service"
install -m 644 "$deploy"/joulespan.service.d/*.example "$root$prefix/share/doc/drop-ins/"
[ -e "$root/etc/joulespan/config.yaml" ] || install -m 644 /dev/null "$root/etc/joulespan/config.yaml"
# It may hold secrets, and systemd reads it as root.
[ -e "$root/etc/default/joulespan" ] || install -m 600 "$deploy/joulespan.default" "$root/etc/default/joulespan"
ln -sf "$prefix/bin/joulespan" "$root/usr/local/bin/joulespan"
[ -n "$root" ] || [ ! -d /run/systemd/system ] || systemctl daemon-reload
[ -n "$root" ] || cat <<END
joulespan: installed. What this node can be asked:  joulespan doctor
joulespan: start it, now and at every boot:         systemctl enable --now joulespan
END

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Unpacks programs from a newer Debian than this one, without installing them: newer-tools.sh DIR
#
# vmagent takes OTLP in and vmalert knows keep_firing_for since later than what Debian 12 has. What is
# unpacked needs a C library of Debian 12 at least. The mirror is the one that this machine's own apt sources name.
set -eu
into=$1 release=forky
[ -x "$into/usr/bin/vmagent" ] && [ -x "$into/usr/bin/vmalert" ] && [ -x "$into/usr/bin/prometheus" ] && exit 0
for tool in apt-get dpkg; do
    command -v "$tool" >/dev/null 2>&1 || { echo "there is no $tool: this is no Debian" >&2; exit 1; }
done
mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' | sort -u | awk '$1 == "Debian" && $2 !~ /security/ { print $2; exit }')
[ -n "$mirror" ] || { echo "apt's sources name no Debian mirror" >&2; exit 1; }
keys=/usr/share/keyrings/debian-archive-keyring.gpg
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/debs" "$work/out"
echo "deb [signed-by=$keys] $mirror $release main" >"$work/sources.list"
cat >"$work/apt.conf" <<END
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
END
(
    cd "$work/debs"
    export APT_CONFIG="$work/apt.conf"
    apt-get update -qq
    apt-get download -qq prometheus victoria-metrics
    apt-get download -qq promtool || true # part of prometheus in some releases
)
for package in "$work"/debs/*.deb; do
    dpkg -x "$package" "$work/out"
done
"$work/out/usr/bin/prometheus" --version >/dev/null 2>&1 || { echo "prometheus of Debian $release does not run here" >&2; exit 1; }
rm -rf "$into"
mkdir -p "$into/usr/bin"
for program in prometheus promtool vmagent vmalert; do
    mv "$work/out/usr/bin/$program" "$into/usr/bin/"
done

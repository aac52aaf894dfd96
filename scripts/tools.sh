#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests run beside Python: a C compiler, openssl, Prometheus with promtool, Alertmanager, systemd's
# tools, those that make networks and lose packets in them, and the shared library of this Python, which an OTLP receiver
# that the tests run is linked with: tools.sh PYTHON
set -eu
python=$1 missing=
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need cc "gcc libc6-dev"
need openssl openssl
need prometheus prometheus
need promtool prometheus
need prometheus-alertmanager prometheus-alertmanager
need amtool prometheus-alertmanager
need systemd-analyze systemd
need systemd-nspawn systemd-container
need ip iproute2
need tc iproute2
need nft nftables
library=$("$python" -c 'import sys; print("libpython%d.%d" % sys.version_info[:2])')
place=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
[ -e "$place/$library.so.1.0" ] || ldconfig -p | grep -q "$library\.so" || missing="$missing $library"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "joulespan: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # The packages are wanted as programs: no service may start.
    policy=/usr/sbin/policy-rc.d made=
    [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; made=1; }
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null || { [ -z "$made" ] || rm -f "$policy"; exit 1; }
    [ -z "$made" ] || rm -f "$policy"
else
    echo "joulespan: the tests need these packages (Debian's names):$missing" >&2
    echo "joulespan: install them, or run as root where apt-get is: sudo make test" >&2
    exit 1
fi

#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the agent on this node; where there is no NVIDIA driver, the demo: run.sh BIN
set -eu
bin=$1
if "$bin/python" -c 'import ctypes; ctypes.CDLL("libnvidia-ml.so.1")' 2>/dev/null; then
    exec "$bin/joulespan" run
fi
echo "joulespan: there is no NVIDIA driver here (libnvidia-ml.so.1); this is the demo, with simulated GPUs" >&2
exec "$bin/joulespan" demo

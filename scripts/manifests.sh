#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints the chart with its default values as plain manifests, for those without Helm: manifests.sh HELM
set -eu
helm=$1
chart=$(dirname "$0")/../deploy/helm/joulespan
cat <<'END'
# SPDX-License-Identifier: Apache-2.0
# Written by `make manifests` from deploy/helm/joulespan. Do not edit: `kubectl kustomize` lays changes over it.
# Set the image first; then: kubectl apply -f joulespan.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: joulespan
  labels:
    # Paths and process ids of the host are asked for. No container is privileged.
    pod-security.kubernetes.io/enforce: privileged
END
# Helm 3 and 4 differ in blank lines. A warning of each says that the dashboards and rules are links: they are meant to be.
"$helm" template joulespan "$chart" --namespace joulespan 2>/dev/null |
    sed -e '/^ *$/d' -e '/^# Source: /d' -e '/helm\.sh\/chart: /d' -e '/managed-by: Helm/d'

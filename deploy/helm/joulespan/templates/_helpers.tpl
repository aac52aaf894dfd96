{{/* SPDX-License-Identifier: Apache-2.0 */}}

{{- define "joulespan-name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "joulespan-fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "joulespan-name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "joulespan-name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "joulespan-selector" -}}
app.kubernetes.io/name: {{ include "joulespan-name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "joulespan-labels" -}}
{{ include "joulespan-selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "joulespan-image" -}}
{{- $at := ternary (printf "@%s" .Values.image.digest) (printf ":%s" (default .Chart.AppVersion .Values.image.tag)) (ne .Values.image.digest "") -}}
{{- printf "%s%s" .Values.image.repository $at -}}
{{- end -}}

{{/* uid 0 where the kubelet's socket or a folder of the host asks for it. */}}
{{- define "joulespan-root" -}}
{{- if or .Values.podResources.enabled .Values.podLogs.enabled .Values.state.hostPath -}}true{{- end -}}
{{- end -}}

{{/* The configuration: what the user gives, and over it what follows from other values. */}}
{{- define "joulespan-config" -}}
{{- $bind := .Values.bindAddress -}}
{{- $otlp := dict "grpc" (printf "%s:%v" $bind .Values.ports.otlpGrpc) "http" (printf "%s:%v" $bind .Values.ports.otlpHttp) -}}
{{- $own := dict "listen" (printf "%s:%v" $bind .Values.ports.http) "state_directory" "/var/lib/joulespan" "receivers" (dict "otlp" $otlp) -}}
{{- toYaml (mustMergeOverwrite (deepCopy .Values.config) $own) -}}
{{- end -}}

{{/* How the kubelet asks whether the agent is well: by a request, or where the agent asks clients for a certificate, by a connection. */}}
{{- define "joulespan-probe" -}}
{{- $web := default (dict) .Values.config.web -}}
{{- if $web.client_ca -}}
tcpSocket:
  port: http
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" (ne (default "" $web.certificate) "") }}
{{- end -}}
{{- end -}}

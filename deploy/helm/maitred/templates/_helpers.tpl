{{/* The name of all objects: that of the release. */}}
{{- define "maitred.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "maitred.selector" -}}
app.kubernetes.io/name: {{ default .Release.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
{{- end }}

{{- define "maitred.labels" -}}
{{ include "maitred.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- end }}

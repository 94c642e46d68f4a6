{{- define "otel-celery.name" -}}
{{- .Values.nameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "otel-celery.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/part-of: otel-celery
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "otel-celery.monitorLabels" -}}
{{ include "otel-celery.labels" . }}
{{- with .Values.monitorLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What tells the queue exporter's pods from all others. */}}
{{- define "otel-celery.queueExporter" -}}
app.kubernetes.io/name: celery-queue-exporter
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

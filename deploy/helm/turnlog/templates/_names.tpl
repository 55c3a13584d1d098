{{/* Names and labels. A part is called with (dict "root" $ "part" "ingest"). */}}

{{- define "turnlog.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "turnlog.name" -}}
{{ include "turnlog.fullname" .root }}-{{ .part }}
{{- end -}}

{{- define "turnlog.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "turnlog.labels" -}}
{{ include "turnlog.selector" . }}
app.kubernetes.io/part-of: turnlog
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "turnlog.image" -}}
{{- with .root.Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}-{{ $.part }}:{{ default $.root.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}

{{- define "turnlog.secret" -}}
{{ default (include "turnlog.fullname" .) .Values.secrets.existingSecret }}
{{- end -}}

{{- define "turnlog.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "turnlog.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{/* The parts that run, in the order of the flow. */}}
{{- define "turnlog.parts" -}}
ingest query projector compressor{{ if .Values.mcp.enabled }} mcp{{ end }}
{{- end -}}

{{- define "turnlog.allParts" -}}
{{ include "turnlog.parts" . }}{{ if .Values.gateway.enabled }} gateway{{ end }}
{{- end -}}

{{/* The port on which a part says whether it is alive and ready: its API's, or that of its metrics. */}}
{{- define "turnlog.healthPort" -}}
{{ ternary "metrics" "http" (has .part (list "projector" "compressor")) }}
{{- end -}}

{{- define "turnlog.graceSeconds" -}}
{{ add (int .Values.drainSeconds) (int .Values.shutdownSeconds) 15 }}
{{- end -}}

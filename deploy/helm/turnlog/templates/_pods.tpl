{{/* What all pods have in common: nothing runs as root, writes to its image, or may gain rights. */}}

{{- define "turnlog.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .user }}
runAsGroup: {{ .user }}
fsGroup: {{ .user }}
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "turnlog.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Where the pods of a part may and should go. */}}
{{- define "turnlog.placement" -}}
{{- $values := index .root.Values .part -}}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if .root.Values.topologySpread }}
topologySpreadConstraints:
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "turnlog.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end -}}

{{/* The settings of a part: what the chart knows, then the values' common ones, then the part's own; the last one wins. */}}
{{- define "turnlog.settings" -}}
{{- $values := index .root.Values .part -}}
{{- $known := dict
    "TURNLOG_HOST" "0.0.0.0"
    "TURNLOG_METRICS_PORT" "9464"
    "TURNLOG_DRAIN_S" (toString .root.Values.drainSeconds)
    "TURNLOG_SHUTDOWN_S" (toString .root.Values.shutdownSeconds) -}}
{{- if eq .part "mcp" -}}
{{- $_ := set $known "TURNLOG_MCP_API_URL" (include "turnlog.apiUrl" .root) -}}
{{- with concat .root.Values.ingress.hosts .root.Values.httpRoute.hostnames | uniq -}}
{{- $_ := set $known "TURNLOG_MCP_ALLOWED_HOSTS" (join "," .) -}}
{{- end -}}
{{- else -}}
{{- range $variable, $key := include "turnlog.secretFiles" . | fromYaml -}}
{{- $_ := set $known $variable (printf "/run/secrets/turnlog/%s" $key) -}}
{{- end -}}
{{- end -}}
{{- if has .part (list "ingest" "query") -}}
{{- $replicas := 0 -}}
{{- range $part := list "ingest" "query" -}}
{{- $of := index $.root.Values $part -}}
{{- $replicas = add $replicas (ternary $of.autoscaling.maxReplicas $of.replicas $of.autoscaling.enabled) -}}
{{- end -}}
{{- $_ := set $known "TURNLOG_LIMIT_REPLICAS" (toString $replicas) -}}
{{- end -}}
{{- $_ := mergeOverwrite $known .root.Values.settings $values.settings -}}
{{- range $name := keys $known | sortAlpha }}
- name: {{ $name }}
  value: {{ index $known $name | toString | quote }}
{{- end }}
{{- end -}}

{{/* Which secrets a part gets, as its variable and the key: an address that it does not need, it does not see. */}}
{{- define "turnlog.secretFiles" -}}
TURNLOG_DATABASE_URL_FILE: database-url
{{- if eq .part "migrate" }}
TURNLOG_DATABASE_OWNER_URL_FILE: database-owner-url
{{- else }}
TURNLOG_NATS_URL_FILE: nats-url
{{- end }}
{{- if has .part (list "ingest" "query" "projector") }}
TURNLOG_REDIS_URL_FILE: redis-url
{{- end }}
{{- if and (eq .part "compressor") (or .root.Values.compressor.modelKey .root.Values.secrets.modelApiKey) }}
TURNLOG_MODEL_API_KEY_FILE: model-api-key
{{- end }}
{{- end -}}

{{- define "turnlog.apiUrl" -}}
{{- if .Values.mcp.apiUrl -}}
{{ .Values.mcp.apiUrl }}
{{- else if .Values.gateway.enabled -}}
http://{{ include "turnlog.name" (dict "root" . "part" "gateway") }}:8080
{{- else -}}
{{ fail "mcp.apiUrl is not set: without the gateway, give the address at which the whole API is reached, or set mcp.enabled to false" }}
{{- end -}}
{{- end -}}

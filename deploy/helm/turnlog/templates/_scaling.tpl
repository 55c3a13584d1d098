{{/* What a part is scaled by besides CPU: the metric's name, over each pod or all of them, the target for one replica, and
the same asked of Prometheus. Empty where nothing is set. */}}
{{- define "turnlog.scaledBy" -}}
{{- $scaling := (index .root.Values .part).autoscaling -}}
{{- $here := printf "namespace=%q" .root.Release.Namespace -}}
{{- if and (eq .part "ingest") $scaling.queuedEvents }}
metric: turnlog_append_queued_events
each: true
target: {{ $scaling.queuedEvents }}
query: sum(turnlog_append_queued_events{ {{- $here -}} })
{{- else if and (eq .part "query") $scaling.requestsInProgress }}
metric: requests_in_progress
each: true
target: {{ $scaling.requestsInProgress }}
query: sum(requests_in_progress{service="query",{{ $here }}})
{{- else if and (eq .part "projector") $scaling.lagEvents }}
metric: turnlog_follower_lag_events
each: false
labels: { consumer: projector }
target: {{ $scaling.lagEvents }}
query: sum(max by (log) (turnlog_follower_lag_events{consumer="projector",{{ $here }}}))
{{- else if and (eq .part "compressor") $scaling.pendingSessions }}
metric: compressor_pending_sessions
each: false
target: {{ $scaling.pendingSessions }}
query: sum(max by (log) (compressor_pending_sessions{ {{- $here -}} }))
{{- end }}
{{- end -}}

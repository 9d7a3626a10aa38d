{{/* What the values change in the variables, probes and files of a replica. */}}

{{- define "dibs.fromSecret" -}}
{{- toJson (dict "name" .name "valueFrom" (dict "secretKeyRef" (dict "name" "dibs-redis" "key" .key))) -}}
{{- end -}}

{{/* The changes of the replica's variables, as a list in JSON. */}}
{{- define "dibs.changes" -}}
{{- $values := .root.Values -}}
{{- $changes := list -}}
{{- /* First, because of two changes the later one counts: URLs of your own stay as they are. */ -}}
{{- if $values.redis.tlsSecret -}}
{{- range .env }}{{ if contains "redis://" (.value | default "") }}
{{- $changes = append $changes (dict "name" .name "value" (replace "redis://" "rediss://" .value)) }}
{{- end }}{{ end -}}
{{- end -}}
{{- if not $values.quorum.enabled -}}
{{- $changes = append $changes (dict "name" "LOCK_PASSWORD") -}}
{{- $changes = append $changes (include "dibs.fromSecret" (dict "name" "DIBS_QUORUM_NODES" "key" "quorum-nodes") | fromJson) -}}
{{- end -}}
{{- if not $values.store.enabled -}}
{{- $changes = append $changes (dict "name" "STORE_PASSWORD") -}}
{{- $changes = append $changes (include "dibs.fromSecret" (dict "name" "DIBS_STORE_URL" "key" "store-url") | fromJson) -}}
{{- end -}}
{{- if or $values.redis.tlsSecret $values.redis.externalCa -}}
{{- $changes = append $changes (dict "name" "DIBS_REDIS_CA" "value" "/etc/dibs-redis/ca.crt") -}}
{{- end -}}
{{- if $values.tls.secret -}}
{{- $changes = append $changes (dict "name" "DIBS_INSECURE") -}}
{{- $changes = append $changes (dict "name" "DIBS_TLS_CERT" "value" "/etc/dibs-tls/tls.crt") -}}
{{- $changes = append $changes (dict "name" "DIBS_TLS_KEY" "value" "/etc/dibs-tls/tls.key") -}}
{{- if $values.tls.clientCa }}{{ $changes = append $changes (dict "name" "DIBS_TLS_CA" "value" "/etc/dibs-tls/ca.crt") }}{{ end -}}
{{- end -}}
{{- if $values.auth.secret }}{{ $changes = append $changes (dict "name" "DIBS_AUTH_FILE" "value" "/etc/dibs-auth/auth.yaml") }}{{ end -}}
{{- if $values.tracing.enabled -}}
{{- $patch := index (include "dibs.objects" (dict "root" .root "file" "tracing/collector.yaml") | fromJsonArray) 0 -}}
{{- $endpoint := printf "http://%s.%s:%d" $values.tracing.service $values.tracing.namespace (include "dibs.tracingPort" .root | int) -}}
{{- $ours := dict "OTEL_EXPORTER_OTLP_ENDPOINT" $endpoint "OTEL_EXPORTER_OTLP_PROTOCOL" $values.tracing.protocol -}}
{{- range (index $patch.spec.template.spec.containers 0).env -}}
{{- if hasKey $ours .name }}{{ $_ := set . "value" (get $ours .name) }}{{ end -}}
{{- $changes = append $changes . -}}
{{- end -}}
{{- if ne $values.tracing.ratio nil }}{{ $changes = append $changes (dict "name" "OTEL_TRACES_SAMPLER_ARG" "value" (toString $values.tracing.ratio)) }}{{ end -}}
{{- end -}}
{{- range $name := keys $values.env | sortAlpha -}}
{{- $changes = append $changes (dict "name" $name "value" (include "dibs.text" (get $values.env $name))) -}}
{{- end -}}
{{- toJson $changes -}}
{{- end -}}

{{- define "dibs.tracingPort" -}}
{{- if eq .Values.tracing.protocol "grpc" }}4317{{ else }}4318{{ end -}}
{{- end -}}

{{/* The kubelet's gRPC probes do not support TLS, so HTTP answers them. */}}
{{- define "dibs.setTlsProbes" -}}
{{- $_ := set .startupProbe.httpGet "scheme" "HTTPS" -}}
{{- $_ := set . "readinessProbe" (omit .readinessProbe "grpc") -}}
{{- $_ := set .readinessProbe "httpGet" (dict "path" "/readyz" "port" "http" "scheme" "HTTPS") -}}
{{- $_ := set . "livenessProbe" (omit .livenessProbe "grpc") -}}
{{- $_ := set .livenessProbe "httpGet" (dict "path" "/healthz" "port" "http" "scheme" "HTTPS") -}}
{{- end -}}

{{/* Fails if Prometheus could not read /metrics: it would have a target that is always down. */}}
{{- define "dibs.checkScrape" -}}
{{- $tlsConfig := .Values.monitoring.tlsConfig | default dict -}}
{{- $certified := and .Values.tls.clientCa (or (hasKey $tlsConfig "cert") (hasKey $tlsConfig "certFile")) -}}
{{- if and .Values.auth.secret (not .Values.monitoring.authorization) (not $certified) -}}
{{- fail "monitoring.serviceMonitor: with auth.secret, /metrics needs an identity with explain on '*'; set monitoring.authorization to a Secret with its token, or tls.clientCa and monitoring.tlsConfig with its certificate" -}}
{{- end -}}
{{- if and .Values.tls.clientCa (not .Values.auth.secret) (not $certified) -}}
{{- fail "monitoring.serviceMonitor: with tls.clientCa and without auth.secret, /metrics needs a client certificate; set cert and keySecret in monitoring.tlsConfig" -}}
{{- end -}}
{{- end -}}

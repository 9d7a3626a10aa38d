{{/*
Dibs as a native sidecar, on a Unix socket. Your chart lists `dibs-sidecar` among its dependencies, sets `dibs-sidecar.image`
in its values, and includes the five templates in its Pods. ../examples/prices shows it.
*/}}

{{/* The scope of this chart, and the Deployment of its Kustomize component, from the scope of yours. */}}
{{- define "dibs.sidecar" -}}
{{- $own := index .Subcharts "dibs-sidecar" -}}
{{- $host := printf ".%s:6379" $own.Values.fleetNamespace -}}
{{- $own.Files.Get "manifests/sidecar/dibs.yaml" | replace ".dibs:6379" $host -}}
{{- end -}}

{{/* For `metadata.labels` of the Pod. */}}
{{- define "dibs.sidecar.labels" -}}
{{- (include "dibs.sidecar" . | fromYaml).spec.template.metadata.labels | toYaml -}}
{{- end -}}

{{/* For `initContainers`. */}}
{{- define "dibs.sidecar.initContainers" -}}
{{- $own := index .Subcharts "dibs-sidecar" -}}
{{- $dibs := index (include "dibs.sidecar" . | fromYaml).spec.template.spec.initContainers 0 -}}
{{- $_ := set $dibs "image" (include "dibs.image" (dict "image" $own.Values.image "version" $own.Chart.AppVersion)) -}}
{{- $changes := list -}}
{{- range $name := keys $own.Values.env | sortAlpha -}}
{{- $changes = append $changes (dict "name" $name "value" (include "dibs.text" (get $own.Values.env $name))) -}}
{{- end -}}
{{- $_ := set $dibs "env" (include "dibs.env" (dict "env" $dibs.env "changes" $changes) | fromJsonArray) -}}
{{- with $own.Values.resources }}{{ $_ := set $dibs "resources" . }}{{ end -}}
{{- list $dibs | toYaml -}}
{{- end -}}

{{/* For `env` of a container that calls Dibs. */}}
{{- define "dibs.sidecar.env" -}}
{{- range (index (include "dibs.sidecar" . | fromYaml).spec.template.spec.initContainers 0).env -}}
{{- if eq .name "DIBS_LISTEN" }}{{ list (dict "name" "DIBS_TARGET" "value" .value) | toYaml }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* For `volumeMounts` of a container that calls Dibs. */}}
{{- define "dibs.sidecar.volumeMounts" -}}
{{- (index (include "dibs.sidecar" . | fromYaml).spec.template.spec.initContainers 0).volumeMounts | toYaml -}}
{{- end -}}

{{/* For `volumes`. */}}
{{- define "dibs.sidecar.volumes" -}}
{{- (include "dibs.sidecar" . | fromYaml).spec.template.spec.volumes | toYaml -}}
{{- end -}}

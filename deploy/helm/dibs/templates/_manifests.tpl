{{/* How a manifest of deploy/kubernetes becomes an object of this release. */}}

{{/* The objects of a file, as a list in JSON. */}}
{{- define "dibs.objects" -}}
{{- $objects := list -}}
{{- range splitList "\n---\n" (.root.Files.Get (printf "manifests/%s" .file)) -}}
{{- $objects = append $objects (fromYaml .) -}}
{{- end -}}
{{- toJson $objects -}}
{{- end -}}

{{/* An object with the labels and the namespace of this release, as a document. */}}
{{- define "dibs.document" -}}
{{- $labels := dict
  "app.kubernetes.io/part-of" "dibs"
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version) -}}
{{- $metadata := dict "namespace" .root.Release.Namespace "labels" $labels -}}
{{- if eq .object.kind "PriorityClass" }}{{ $_ := unset $metadata "namespace" }}{{ end -}}
---
{{ mergeOverwrite .object (dict "metadata" $metadata) | toYaml }}
{{ end -}}

{{/* What all Pods share. `object` has the Pod's template, which it changes. */}}
{{- define "dibs.setPod" -}}
{{- $pod := .object.spec.template.spec -}}
{{- with .root.Values.image.pullSecrets }}{{ $names := list }}
{{- range . }}{{ $names = append $names (dict "name" .) }}{{ end }}{{ $_ := set $pod "imagePullSecrets" $names }}
{{- end -}}
{{- with .root.Values.priorityClass.name }}{{ $_ := set $pod "priorityClassName" . }}{{ end -}}
{{- with .root.Values.nodeSelector }}{{ $_ := set $pod "nodeSelector" . }}{{ end -}}
{{- with .root.Values.tolerations }}{{ $_ := set $pod "tolerations" . }}{{ end -}}
{{- $metadata := dict "labels" (dict "app.kubernetes.io/part-of" "dibs") -}}
{{- with .checksum }}{{ $_ := set $metadata "annotations" (dict "checksum/config" (sha256sum .)) }}{{ end -}}
{{- $_ := mergeOverwrite .object.spec.template (dict "metadata" $metadata) -}}
{{- end -}}

{{/* A ConfigMap that a Pod mounts. Its content is in the Pod's checksum, so a change is rolled out. */}}
{{- define "dibs.configMap" -}}
{{- $object := dict "apiVersion" "v1" "kind" "ConfigMap" "metadata" (dict "name" .name) "data" .data -}}
{{ include "dibs.document" (dict "root" .root "object" $object) }}
{{- end -}}

{{/* Adds a Secret's files to a Pod: those of `keys`, or all of them. */}}
{{- define "dibs.mountSecret" -}}
{{- $secret := dict "secretName" .secret -}}
{{- with .keys }}{{ $items := list }}
{{- range . }}{{ $items = append $items (dict "key" . "path" .) }}{{ end }}{{ $_ := set $secret "items" $items }}
{{- end -}}
{{- $_ := set .pod "volumes" (append .pod.volumes (dict "name" .name "secret" $secret)) -}}
{{- $mount := dict "name" .name "mountPath" .path "readOnly" true -}}
{{- $_ := set .container "volumeMounts" (append .container.volumeMounts $mount) -}}
{{- end -}}

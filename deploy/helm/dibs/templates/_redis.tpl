{{/* Applies a JSON patch of deploy/kubernetes to an object, which it changes. It knows `add` and `replace`. */}}
{{- define "dibs.patch" -}}
{{- $object := .object -}}
{{- range fromYamlArray (.root.Files.Get (printf "manifests/%s" .file)) -}}
{{- $names := splitList "/" .path | rest -}}
{{- /* A list cannot grow in its place. So this stops at what has the list. */ -}}
{{- $depth := ternary 2 1 (eq (last $names) "-") | sub (len $names) | int -}}
{{- $at := $object -}}
{{- range slice $names 0 $depth -}}
{{- if kindIs "slice" $at }}{{ $at = index $at (int .) }}{{ else }}{{ $at = get $at . }}{{ end -}}
{{- end -}}
{{- $name := index $names $depth -}}
{{- if eq (last $names) "-" }}{{ $_ := set $at $name (append (get $at $name) .value) }}
{{- else }}{{ $_ := set $at $name .value }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* What lock nodes and store share. `file` is the patch of this one alone. */}}
{{- define "dibs.setRedis" -}}
{{- $values := .root.Values -}}
{{- $pod := .object.spec.template.spec -}}
{{- $redis := index $pod.containers 0 -}}
{{- $_ := set $redis "image" $values.redis.image -}}
{{- with .resources }}{{ $_ := set $redis "resources" . }}{{ end -}}
{{- if $values.redis.tlsSecret -}}
{{- include "dibs.patch" (dict "root" .root "object" .object "file" "redis-tls/redis.yaml") -}}
{{- include "dibs.patch" (dict "root" .root "object" .object "file" .file) -}}
{{- $_ := set (last $pod.volumes).secret "secretName" $values.redis.tlsSecret -}}
{{- end -}}
{{- include "dibs.setPod" (dict "root" .root "object" .object "checksum" (toJson .data)) -}}
{{- end -}}

{{/* The files that both mount. */}}
{{- define "dibs.redisFiles" -}}
{{- $data := dict "redis.conf" .conf -}}
{{- if .root.Values.redis.tlsSecret }}{{ $_ := set $data "tls.conf" (.root.Files.Get "manifests/redis-tls/tls.conf") }}{{ end -}}
{{- toJson $data -}}
{{- end -}}

{{/*
Variables of a container with changes: each replaces the one of its name, or comes at the end. One without `value` and
`valueFrom` removes it. The order stays, because a variable may refer only to those above it.
*/}}
{{- define "dibs.env" -}}
{{- $changes := dict -}}
{{- range .changes }}{{ $_ := set $changes .name . }}{{ end -}}
{{- $env := list -}}
{{- $seen := list -}}
{{- range concat .env .changes -}}
{{- if not (has .name $seen) -}}
{{- $seen = append $seen .name -}}
{{- $it := get $changes .name | default . -}}
{{- if or (hasKey $it "value") (hasKey $it "valueFrom") }}{{ $env = append $env $it }}{{ end -}}
{{- end -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}

{{- define "dibs.image" -}}
{{- $repository := required "image.repository: set it to where your image is, such as registry.example.com/platform/dibs" .image.repository -}}
{{- if .image.digest }}{{ printf "%s@%s" $repository .image.digest }}
{{- else }}{{ printf "%s:%s" $repository (.image.tag | default .version) }}{{ end -}}
{{- end -}}

{{/* A value of the environment: whole numbers without an exponent. */}}
{{- define "dibs.text" -}}
{{- if kindIs "float64" . }}{{ if eq (floor .) . }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end }}{{ else }}{{ toString . }}{{ end -}}
{{- end -}}

{{- define "slm-ft-serving.fullname" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) }}{{ $name = printf "%s-%s" $name .Chart.Name }}{{ end -}}
{{- /* Room for the longest suffix within the 63 characters of a name. */ -}}
{{- $name | trunc 37 | trimSuffix "-" -}}
{{- end }}

{{- /* What selects the pods of a component; called with (list . "component"). */ -}}
{{- define "slm-ft-serving.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{- define "slm-ft-serving.labels" -}}
{{ include "slm-ft-serving.selector" . }}
app.kubernetes.io/version: {{ (first .).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (first .).Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" (first .).Chart.Name (first .).Chart.Version | quote }}
{{- end }}

{{- /* The image of a component: by digest where one is given, never by a tag that moves. */ -}}
{{- define "slm-ft-serving.image" -}}
{{- $root := first . -}}
{{- $name := last . -}}
{{- $image := (index $root.Values $name).image -}}
{{- $registry := required "images.registry is not set: name the registry that `make push` pushed to" $root.Values.images.registry -}}
{{- if $image.digest -}}
{{ printf "%s/%s@%s" $registry $image.repository $image.digest }}
{{- else -}}
{{- $tag := required (printf "%s.image has neither tag nor digest: set the commit's tag that `make push` printed, or the digest" $name) $image.tag -}}
{{ printf "%s/%s:%s" $registry $image.repository $tag }}
{{- end -}}
{{- end }}

{{- /* What every pod has; called with (list . uid). The models' group is the same everywhere, so that what one wrote another reads. */ -}}
{{- define "slm-ft-serving.pod" -}}
{{- $root := first . -}}
serviceAccountName: {{ include "slm-ft-serving.fullname" $root }}
automountServiceAccountToken: false
# Variables such as GATEWAY_PORT, for a Service of that name, would be taken for settings.
enableServiceLinks: false
{{- with $root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ last . }}
  runAsGroup: {{ last . }}
  fsGroup: 10004
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "slm-ft-serving.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  privileged: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* Of containers that only wait, fetch or ask. */ -}}
{{- define "slm-ft-serving.small" -}}
resources:
  requests: {cpu: 100m, memory: 256Mi, ephemeral-storage: 64Mi}
  limits: {memory: 256Mi, ephemeral-storage: 64Mi}
{{- end }}

{{- define "slm-ft-serving.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Seconds of an engine's first load. */ -}}
{{- define "slm-ft-serving.engine.startPeriod" -}}
{{- if .Values.engine.startPeriod }}{{ .Values.engine.startPeriod }}{{ else }}{{ eq .Values.accelerator "gpu" | ternary 900 300 }}{{ end -}}
{{- end }}

{{- define "slm-ft-serving.models.claim" -}}
{{- .Values.models.volume.existingClaim | default (printf "%s-models" (include "slm-ft-serving.fullname" .)) -}}
{{- end }}

{{- /* The folder of a model on the volume; called with (list . "base"). A source names a commit, so it names the content. */ -}}
{{- define "slm-ft-serving.models.folder" -}}
{{- $name := last . -}}
{{- $model := index (first .).Values.models $name -}}
{{- if and $model.path $model.source -}}
{{- fail (printf "models.%s has a source and a path: set one of them" $name) -}}
{{- end -}}
{{- if $model.path -}}
{{ $model.path }}
{{- else -}}
{{- $source := required (printf "models.%s has neither source nor path: set a source (hf://owner/repository@COMMIT), or a folder of the volume" $name) $model.source -}}
{{ printf "%s-%s" $name (sha256sum $source | trunc 16) }}
{{- end -}}
{{- end }}

{{- /* The models to fetch, as JSON: by name, the source and the folder. */ -}}
{{- define "slm-ft-serving.models.wanted" -}}
{{- $wanted := dict -}}
{{- range $name := list "base" "adapter" -}}
{{- $model := index $.Values.models $name -}}
{{- $folder := include "slm-ft-serving.models.folder" (list $ $name) -}}
{{- if not $model.path }}{{ $_ := set $wanted $name (dict "source" $model.source "folder" $folder) }}{{ end -}}
{{- end -}}
{{- $wanted | toJson -}}
{{- end }}

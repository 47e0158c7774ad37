{{- /* The engine's configuration: the same files, in the same order of precedence, as templates/engine.yaml.j2 of the role inference_stack;
       tests/charts/test_engine.py compares the two. Values are written as JSON, in which a large number stays one. */ -}}
{{- define "slm-ft-serving.engine.yaml" -}}
{{- $gpu := eq .Values.accelerator "gpu" -}}
{{- $profile := .Values.engine.profile | default ($gpu | ternary "fast" "cpu") -}}
{{- if ne (eq $profile "cpu") (not $gpu) -}}
{{- fail (printf "engine.profile is %s, which is no profile of the accelerator %s: choose fast or quality on a gpu, cpu on a cpu" $profile .Values.accelerator) -}}
{{- end -}}
{{- $options := .Files.Get "files/engine.yaml" | fromYaml -}}
{{- range $option, $value := .Files.Get (printf "files/profiles/%s.yaml" $profile) | fromYaml }}{{ $_ := set $options $option $value }}{{ end -}}
{{- $_ := set $options "max-model-len" (.Values.engine.maxModelLen | default ($gpu | ternary 8192 2048) | int) -}}
{{- /* 0, the engine's default, aborts running work at SIGTERM. */ -}}
{{- $_ := set $options "shutdown-timeout" (.Values.engine.drain | int) -}}
{{- range $option, $value := .Values.engine.options }}{{ $_ := set $options $option $value }}{{ end -}}
# Rendered by Helm. vLLM's own options, under their own names: engine.yaml and profiles/{{ $profile }}.yaml, in the chart's files, explain them.
model: /models/base
served-model-name: [{{ .Values.engine.baseName | toJson }}]
host: 0.0.0.0
port: 8000
chat-template: /etc/slm-ft-serving/chat_template.jinja
lora-modules:
  - {{ dict "name" .Values.engine.adapterName "path" "/models/adapter" "base_model_name" .Values.engine.baseName | toJson | toJson }}
{{- range $option, $value := $options }}
{{- if not (kindIs "invalid" $value) }}
{{ $option }}: {{ $value | toJson }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The role's template is the text between its marks. */ -}}
{{- define "slm-ft-serving.engine.chatTemplate" -}}
{{- .Files.Get "files/chat_template.jinja.j2" | replace "{% raw %}" "" | replace "{% endraw %}" "" | trimSuffix "\n" -}}
{{- end }}

{{- /* Where engine pods may run. Nodes with GPUs are tainted, so that nothing else takes them. */ -}}
{{- define "slm-ft-serving.engine.tolerations" -}}
{{- $own := eq .Values.accelerator "gpu" | ternary (list (dict "key" "nvidia.com/gpu" "operator" "Exists" "effect" "NoSchedule")) list -}}
{{- concat $own .Values.engine.tolerations | toJson -}}
{{- end }}

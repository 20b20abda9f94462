{{/*
A name that starts with the release's name; at most 63 characters including any suffix of the chart. The name of a release
that is too long, has dots or begins with a digit, which names of Services must not, is rewritten: a hash keeps it distinct.
*/}}
{{- define "edgemodel.name" -}}
{{- $name := .Release.Name -}}
{{- if and (regexMatch "^[a-z][-a-z0-9]*$" $name) (le (len $name) 48) -}}
{{ $name }}
{{- else -}}
em-{{ $name | replace "." "-" | trunc 36 | trimSuffix "-" }}-{{ $name | sha256sum | trunc 8 }}
{{- end }}
{{- end }}

{{- define "edgemodel.selector" -}}
app.kubernetes.io/name: edgemodel
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "edgemodel.labels" -}}
{{ include "edgemodel.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* repository@digest, or repository:tag; the project's own images default to the chart's appVersion. */}}
{{- define "edgemodel.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "edgemodel.host" -}}
{{ include "edgemodel.name" .root }}-{{ .service }}.{{ .root.Release.Namespace }}.svc
{{- end }}

{{- define "edgemodel.registryPushHost" -}}
{{- if .Values.registry.external.host -}}
{{ .Values.registry.external.host }}
{{- else -}}
{{ include "edgemodel.host" (dict "root" . "service" "registry-push") }}:5000
{{- end -}}
{{- end }}

{{/* The Deployment that the operator may restart; empty without one, or if a new pod would have an empty volume. */}}
{{- define "edgemodel.registryDeployment" -}}
{{- if and (not .Values.registry.external.host) (ne .Values.registry.storage.type "EmptyDir") -}}
{{ include "edgemodel.name" . }}-registry
{{- end -}}
{{- end }}

{{- define "edgemodel.registryPullHost" -}}
{{ .Values.registry.external.host | default (printf "localhost:%d" (int .Values.registry.nodePort)) }}
{{- end }}

{{- define "edgemodel.plainHTTPHosts" -}}
{{- $hosts := .Values.operator.plainHTTPHosts -}}
{{- if or (not .Values.registry.external.host) .Values.registry.external.plainHTTP -}}
{{- $hosts = prepend $hosts (include "edgemodel.registryPushHost" .) -}}
{{- end -}}
{{ join "," $hosts }}
{{- end }}

{{- define "edgemodel.prometheusURL" -}}
{{ .Values.prometheus.url | default (printf "http://%s:9090" (include "edgemodel.host" (dict "root" . "service" "prometheus"))) }}
{{- end }}

{{/* The value of an environment variable, given its text. The API server drops an empty one, and whoever compares the
chart with what is stored would find a difference for ever. */}}
{{- define "edgemodel.value" -}}
{{- with . }}value: {{ . | quote }}{{- end }}
{{- end }}

{{/* The security context that the Pod Security Standard "restricted" requires; fsGroup makes volumes writable. */}}
{{- define "edgemodel.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "edgemodel.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* The scheduling values of the three pods. */}}
{{- define "edgemodel.scheduling" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
{{- if .values.affinity }}
{{- toYaml .values.affinity | nindent 2 }}
{{- else }}
  nodeAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        preference:
          matchExpressions: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

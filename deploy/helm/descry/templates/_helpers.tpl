{{- define "descry.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "descry.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "descry.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "descry.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "descry.selector" -}}
app.kubernetes.io/name: {{ include "descry.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: agent
{{- end -}}

{{- define "descry.labels" -}}
{{ include "descry.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "descry.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The directory of the container runtime's socket on the node. */}}
{{- define "descry.runtimeDir" -}}
{{- $dirs := dict "containerd" "/run/containerd" "crio" "/run/crio" "k3s" "/run/k3s/containerd" "docker" "/run" -}}
{{- if .Values.runtime -}}
{{- required (printf "runtime: %q is none of containerd, crio, k3s, docker" .Values.runtime) (get $dirs .Values.runtime) -}}
{{- end -}}
{{- end -}}

{{- define "descry.runtimeSocket" -}}
{{- $names := dict "containerd" "containerd.sock" "crio" "crio.sock" "k3s" "containerd.sock" "docker" "docker.sock" -}}
{{- printf "/host%s/%s" (include "descry.runtimeDir" .) (get $names .Values.runtime) -}}
{{- end -}}

{{/* What the agent's container may do. */}}
{{- define "descry.securityContext" -}}
runAsUser: 0
runAsGroup: 0
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
privileged: false
capabilities:
  drop: [ALL]
  {{- with .Values.capabilities }}
  add:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- with .Values.seccompProfile }}
seccompProfile:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version }}
{{- with .Values.appArmorProfile }}
appArmorProfile:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .Values.seLinuxOptions }}
seLinuxOptions:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

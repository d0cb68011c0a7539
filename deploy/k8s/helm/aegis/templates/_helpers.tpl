{{/* Names, labels, and the parts that all pods have in common. Templates take (dict "root" $ "name" "gateway" "values" .Values.gateway …). */}}

{{- define "aegis.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "aegis.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "aegis.labels" -}}
{{ include "aegis.selector" . }}
app.kubernetes.io/part-of: aegis
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "aegis.meta" -}}
name: {{ include "aegis.fullname" .root }}-{{ .suffix | default .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "aegis.labels" . | nindent 2 }}
{{- end }}

{{- define "aegis.image" -}}
{{- $image := .values.image -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end -}}
{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{- define "aegis.serviceAccount" -}}
{{- if .values.serviceAccount.name }}{{ .values.serviceAccount.name }}{{ else }}{{ include "aegis.fullname" .root }}-{{ .name }}{{ end -}}
{{- end }}

{{- define "aegis.priorityClass" -}}
{{- $own := get .root.Values.priorityClasses .kind -}}
{{- if $own }}
priorityClassName: {{ $own }}
{{- else if .root.Values.priorityClasses.create }}
priorityClassName: {{ .root.Release.Namespace }}-{{ include "aegis.fullname" .root }}-{{ .kind }}
{{- end }}
{{- end }}

{{/* Everything of a pod but its containers and volumes. kind: state or serving. */}}
{{- define "aegis.pod" -}}
serviceAccountName: {{ include "aegis.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .values.drain.graceSeconds }}
{{- include "aegis.priorityClass" . }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  # Without it every mount would open the services' own key files to the group.
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not .root.Values.singleNode }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ .root.Values.topology.zoneKey }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "aegis.selector" . | nindent 8 }}
affinity:
  podAntiAffinity:
    {{- if eq .name "nats" }}
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: {{ .root.Values.topology.hostKey }}
        labelSelector:
          matchLabels:
            {{- include "aegis.selector" . | nindent 12 }}
    {{- else }}
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: {{ .root.Values.topology.hostKey }}
          labelSelector:
            matchLabels:
              {{- include "aegis.selector" . | nindent 14 }}
    {{- end }}
{{- end }}
{{- end }}

{{- define "aegis.podMeta" -}}
labels:
  {{- include "aegis.labels" . | nindent 2 }}
annotations:
  checksum/config: {{ .config | sha256sum }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "aegis.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{/* Container of one of our services; the caller adds volumeMounts of its own in "mounts" and ports in "ports". */}}
{{- define "aegis.container" -}}
- name: {{ .name }}
  image: {{ include "aegis.image" . }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args:
    {{- range .values.image.program }}
    - {{ . | quote }}
    {{- end }}
    - --config
    - /etc/aegis/config/config.yaml
  {{- $env := .values.env }}
  {{- with .root.Values.telemetry.otlpEndpoint }}
  {{- $env = concat (list (dict "name" "OTEL_EXPORTER_OTLP_ENDPOINT" "value" .)) $env }}
  {{- end }}
  {{- with $env }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  ports:
    {{- toYaml .ports | nindent 4 }}
    - { name: metrics, containerPort: {{ .metricsPort }}, protocol: TCP }
  # The metrics port answers before NATS is there: a process that waits is alive and not ready, and its log says what for.
  startupProbe: { httpGet: { path: /livez, port: metrics }, periodSeconds: 1, timeoutSeconds: 5, failureThreshold: 60 }
  readinessProbe: { httpGet: { path: /readyz, port: metrics }, periodSeconds: 2, timeoutSeconds: 5, failureThreshold: 2 }
  livenessProbe: { httpGet: { path: /livez, port: metrics }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 }
  resources:
    {{- toYaml .values.resources | nindent 4 }}
  securityContext:
    {{- include "aegis.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - { name: config, mountPath: /etc/aegis/config, readOnly: true }
    - { name: tls, mountPath: /etc/aegis/tls, readOnly: true }
    - { name: tmp, mountPath: /tmp }
    {{- if .natsPassword }}
    - { name: nats-password, mountPath: /etc/aegis/nats, readOnly: true }
    {{- end }}
    {{- if .natsCa }}
    - { name: nats-ca, mountPath: /etc/aegis/nats-ca, readOnly: true }
    {{- end }}
    {{- with .mounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "aegis.volumes" -}}
- name: config
  configMap: { name: {{ include "aegis.fullname" .root }}-{{ .name }}, defaultMode: 0440 }
- name: tls
  secret: { secretName: {{ include "aegis.fullname" .root }}-{{ .name }}-tls, defaultMode: 0440 }
- name: tmp
  emptyDir: { sizeLimit: 1Gi }
{{- if .natsPassword }}
- name: nats-password
  secret: { secretName: {{ include "aegis.fullname" .root }}-{{ .name }}-nats, defaultMode: 0440 }
{{- end }}
{{- if .natsCa }}
- name: nats-ca
  secret: { secretName: {{ .root.Values.nats.external.caSecret }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{/* A volume of its own per pod. */}}
{{- define "aegis.claimSpec" -}}
accessModes: [{{ .volume.accessMode }}]
resources: { requests: { storage: {{ .volume.size }} } }
{{- with .volume.storageClass }}
storageClassName: {{ . | quote }}
{{- end }}
{{- with .volume.selector }}
selector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Whether the pods of a StatefulSet share one claim, and which. Empty: each has its own. */}}
{{- define "aegis.sharedClaim" -}}
{{- if .values.volume.existingClaim }}{{ .values.volume.existingClaim }}
{{- else if eq .values.volume.accessMode "ReadWriteMany" }}{{ include "aegis.fullname" .root }}-{{ .name }}
{{- end -}}
{{- end }}

{{- define "aegis.hasNatsPassword" -}}
{{- if and (not .Values.nats.enabled) .Values.nats.external.passwords }}yes{{ end -}}
{{- end }}
{{- define "aegis.hasNatsCa" -}}
{{- if and (not .Values.nats.enabled) .Values.nats.external.caSecret }}yes{{ end -}}
{{- end }}

{{/* The files of the services (services/<service>/src/config.ts says what each key means). */}}

{{- define "aegis.tlsFiles" -}}
{ ca: /etc/aegis/tls/ca.crt, cert: /etc/aegis/tls/tls.crt, key: /etc/aegis/tls/tls.key }
{{- end }}

{{- define "aegis.host" -}}
{{ include "aegis.fullname" .root }}-{{ .name }}.{{ .root.Release.Namespace }}.svc
{{- end }}

{{/* host:port of every pod of a StatefulSet, one a line. */}}
{{- define "aegis.podAddresses" -}}
{{- $full := include "aegis.fullname" .root }}
{{- range $i := until (int .replicas) }}
- {{ $full }}-{{ $.name }}-{{ $i }}.{{ include "aegis.host" $ }}:{{ $.port }}
{{- end }}
{{- end }}

{{- define "aegis.config.nats" -}}
{{- $nats := .root.Values.nats -}}
nats:
  {{- if $nats.enabled }}
  servers: [tls://{{ include "aegis.host" (dict "root" .root "name" "nats") }}:4222]
  replicas: {{ $nats.replicas }}
  tls: {{ include "aegis.tlsFiles" . }}
  {{- else }}
  servers: {{ toJson $nats.external.servers }}
  replicas: {{ $nats.external.replicas }}
  {{- if $nats.external.passwords }}
  user: {{ .name }}
  password-file: /etc/aegis/nats/password
  {{- end }}
  tls:
    ca: {{ if $nats.external.caSecret }}/etc/aegis/nats-ca/ca.crt{{ else }}/etc/aegis/tls/ca.crt{{ end }}
    cert: /etc/aegis/tls/tls.crt
    key: /etc/aegis/tls/tls.key
  {{- end }}
{{- end }}

{{- define "aegis.config.common" -}}
metrics: { address: "0.0.0.0:{{ .metricsPort }}" }
log: { level: {{ .root.Values.log.level }} }
{{- end }}

{{- define "aegis.peer.accountant" -}}
{{- if .Values.privacyAccountant.enabled }}
accountant:
  address:
    {{- include "aegis.podAddresses" (dict "root" . "name" "privacy-accountant" "replicas" .Values.privacyAccountant.replicas "port" 7444) | nindent 4 }}
  server-name: privacy-accountant
  tls: {{ include "aegis.tlsFiles" . }}
{{- end }}
{{- end }}

{{- define "aegis.peer.secagg" -}}
{{- if .Values.secagg.enabled }}
secagg:
  address: {{ include "aegis.host" (dict "root" . "name" "secagg") }}:7445
  server-name: secagg
  tls: {{ include "aegis.tlsFiles" . }}
{{- end }}
{{- end }}

{{- define "aegis.config.gateway" -}}
{{- $v := .Values.gateway }}
gateway:
  listen: 0.0.0.0:8443
  tls:
    cert: /etc/aegis/edge/tls.crt
    key: /etc/aegis/edge/tls.key
    {{- if ne $v.clientCertificates "off" }}
    client-ca: /etc/aegis/federation/root.pem
    client-crl: /etc/aegis/federation/crl.pem
    {{- end }}
  client-certificates: {{ $v.clientCertificates | quote }}
  enrolment: {{ $v.enrolment }}
  control: {{ $v.control | quote }}
  signatures: {{ $v.signatures }}
  join: {{ $v.join }}
  rest: {{ $v.rest }}
  rest-key-file: /etc/aegis/keys/rest.key
  operator-token-file: /etc/aegis/keys/operator.token
  unit-key-file: /etc/aegis/keys/unit.key
  audit-key-file: /etc/aegis/keys/audit.key
{{ include "aegis.config.nats" (dict "root" . "name" "gateway") }}
aggregator:
  address:
    {{- include "aegis.podAddresses" (dict "root" . "name" "aggregator" "replicas" .Values.aggregator.replicas "port" 7443) | nindent 4 }}
  server-name: aggregator
  tls: {{ include "aegis.tlsFiles" . }}
{{ include "aegis.peer.accountant" . }}
{{ include "aegis.peer.secagg" . }}
{{- if .Values.issuer.enabled }}
issuer:
  address: {{ include "aegis.host" (dict "root" . "name" "issuer") }}:7446
  server-name: issuer
  tls: {{ include "aegis.tlsFiles" . }}
{{- end }}
drain-after-seconds: {{ .Values.gateway.drain.sleepSeconds }}
{{ include "aegis.config.common" (dict "root" . "metricsPort" 9464) }}
{{- end }}

{{- define "aegis.config.aggregator" -}}
{{- $v := .Values.aggregator }}
aggregator:
  state-dir: /var/lib/aegis/state
  lease-seconds: {{ $v.leaseSeconds }}
  {{- with $v.abandonVolumeAfter }}
  abandon-volume-after: {{ . }}
  {{- end }}
listen:
  address: 0.0.0.0:7443
  advertise: "{hostname}.{{ include "aegis.host" (dict "root" . "name" "aggregator") }}:7443"
  tls: {{ include "aegis.tlsFiles" . }}
  callers: { aegis.aggregator.v1.Intake: [gateway], aegis.aggregator.v1.Runs: [gateway] }
{{ include "aegis.config.nats" (dict "root" . "name" "aggregator") }}
{{ include "aegis.peer.accountant" . }}
{{ include "aegis.peer.secagg" . }}
{{ include "aegis.config.common" (dict "root" . "metricsPort" 9464) }}
{{- end }}

{{- define "aegis.config.secagg" -}}
{{- if or .Values.federation.secret .Values.secagg.threads }}
secagg:
  {{- if .Values.federation.secret }}
  federation-root: /etc/aegis/federation/root.pem
  federation-crl: /etc/aegis/federation/crl.pem
  {{- end }}
  {{- with .Values.secagg.threads }}
  threads: {{ . }}
  {{- end }}
{{- else }}
secagg: {}
{{- end }}
listen:
  address: 0.0.0.0:7445
  tls: {{ include "aegis.tlsFiles" . }}
  callers: { aegis.secagg.v1.Relay: [gateway], aegis.secagg.v1.Rounds: [aggregator] }
{{ include "aegis.config.nats" (dict "root" . "name" "secagg") }}
drain-after-seconds: {{ .Values.secagg.drain.sleepSeconds }}
{{ include "aegis.config.common" (dict "root" . "metricsPort" 9464) }}
{{- end }}

{{- define "aegis.config.privacy-accountant" -}}
accountant:
  state-dir: /var/lib/aegis/state
  lease-seconds: {{ .Values.privacyAccountant.leaseSeconds }}
listen:
  address: 0.0.0.0:7444
  tls: {{ include "aegis.tlsFiles" . }}
  callers:
    aegis.privacy.v1.Ledger: [aggregator]
    aegis.privacy.v1.LedgerReader: [aggregator, gateway]
    aegis.privacy.v1.LedgerOperator: [gateway]
{{ include "aegis.config.nats" (dict "root" . "name" "privacy-accountant") }}
{{ include "aegis.config.common" (dict "root" . "metricsPort" 9464) }}
{{- end }}

{{- define "aegis.config.issuer" -}}
issuer:
  certificate: /etc/aegis/authority/issuer.pem
  key: /etc/aegis/authority/issuer.key
  state-dir: /var/lib/aegis/state
  certificate-hours: {{ .Values.issuer.certificateHours }}
listen:
  address: 0.0.0.0:7446
  tls: {{ include "aegis.tlsFiles" . }}
  callers: { aegis.issuer.v1.Issuer: [gateway] }
{{ include "aegis.config.common" (dict "root" . "metricsPort" 9464) }}
{{- end }}

{{/* What the chart writes, and over it what the operator adds. */}}
{{- define "aegis.configFile" -}}
{{- $config := include (printf "aegis.config.%s" .name) .root | fromYaml -}}
{{- with $config.Error }}{{ fail (printf "the file of %s: %s" $.name .) }}{{ end -}}
{{- toYaml (mergeOverwrite $config (deepCopy .values.settings)) -}}
{{- end }}

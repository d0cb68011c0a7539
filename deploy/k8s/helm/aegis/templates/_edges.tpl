{{/* The parts that are installed, by name. */}}
{{- define "aegis.components" -}}
{{- $parts := dict "gateway" .Values.gateway "aggregator" .Values.aggregator -}}
{{- if .Values.secagg.enabled }}{{ $_ := set $parts "secagg" .Values.secagg }}{{ end -}}
{{- if .Values.privacyAccountant.enabled }}{{ $_ := set $parts "privacy-accountant" .Values.privacyAccountant }}{{ end -}}
{{- if .Values.issuer.enabled }}{{ $_ := set $parts "issuer" .Values.issuer }}{{ end -}}
{{- if .Values.nats.enabled }}{{ $_ := set $parts "nats" .Values.nats }}{{ end -}}
{{- toYaml $parts -}}
{{- end }}

{{/* Who calls whom inside, and nobody else does (DESIGN: who knows what). */}}
{{- define "aegis.edges" -}}
- { to: gateway, port: 8443, from: [test] }
- { to: aggregator, port: 7443, from: [gateway] }
- { to: secagg, port: 7445, from: [gateway, aggregator] }
- { to: privacy-accountant, port: 7444, from: [gateway, aggregator] }
- { to: issuer, port: 7446, from: [gateway] }
- { to: nats, port: 4222, from: [gateway, aggregator, secagg, privacy-accountant] }
- { to: nats, port: 6222, from: [nats] }
{{- end }}

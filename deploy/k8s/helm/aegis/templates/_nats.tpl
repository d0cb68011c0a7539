{{/*
nats.conf. Users are told apart by the DNS name in their certificate. Secagg and the accountant have accounts of their own: nobody else's user can name
what is theirs. Gateway and aggregator share one, and each writes only its own buckets (packages/bus/src/buckets.ts, journals.ts, subjects.ts). The backup users copy streams out, and into a
NATS that does not have them. That is more than reading: the server sends a copy to whatever subject it is told, also one that a stream takes in. So their certificates lie
with the operator and not in the cluster, and nats.backupUsers: false is for who copies volumes instead.
*/}}

{{- define "aegis.nats.streams" -}}
{{- range . }}
        "$JS.API.STREAM.CREATE.{{ . }}", "$JS.API.STREAM.UPDATE.{{ . }}", "$JS.API.STREAM.INFO.{{ . }}"
        "$JS.API.STREAM.MSG.GET.{{ . }}", "$JS.API.DIRECT.GET.{{ . }}", "$JS.API.DIRECT.GET.{{ . }}.>"
        "$JS.API.CONSUMER.CREATE.{{ . }}", "$JS.API.CONSUMER.CREATE.{{ . }}.>"
        "$JS.API.CONSUMER.INFO.{{ . }}.>", "$JS.API.CONSUMER.DELETE.{{ . }}.>", "$JS.FC.{{ . }}.>", "$JS.ACK.{{ . }}.>"
{{- end }}
{{- end }}

{{- define "aegis.nats.user" }}
      user: {{ .user }}
      permissions {
        publish: { allow: [
        "$JS.API.INFO"
        {{- include "aegis.nats.streams" .streams }}
        {{- range .writes }}
        {{ . | quote }}
        {{- end }}
        ] }
        subscribe: { allow: [
        "_INBOX.>"
        {{- range .hears }}
        {{ . | quote }}
        {{- end }}
        ] }
      }
{{- end }}

{{- define "aegis.nats.backup" }}
    {
      {{- include "aegis.nats.user" (dict "user" .user "streams" list "hears" list
        "writes" (concat .also (list "$SYS.REQ.USER.INFO" "$JS.API.STREAM.NAMES" "$JS.API.STREAM.INFO.*" "$JS.API.STREAM.SNAPSHOT.*" "$JS.API.STREAM.RESTORE.*" "$JS.SNAPSHOT.>"))) }}
    }
{{- end }}

{{- define "aegis.nats.conf" -}}
{{- $full := include "aegis.fullname" . -}}
{{- $replicas := int .Values.nats.replicas -}}
{{- $copiers := .Values.nats.backupUsers -}}
server_name: $POD_NAME
port: 4222
http_port: 8222
max_payload: 8388608
pid_file: /tmp/nats.pid
tls {
  cert_file: /etc/aegis/tls/tls.crt
  key_file: /etc/aegis/tls/tls.key
  ca_file: /etc/aegis/tls/ca.crt
  min_version: "1.3"
  verify_and_map: true
}
jetstream {
  store_dir: /data
  key: $NATS_AT_REST_KEY
  cipher: aes
  sync_interval: always
}
{{- if gt $replicas 1 }}
cluster {
  name: {{ $full }}
  port: 6222
  # Clients come by the service's name; addresses of pods are in no certificate.
  no_advertise: true
  tls {
    cert_file: /etc/aegis/tls/tls.crt
    key_file: /etc/aegis/tls/tls.key
    ca_file: /etc/aegis/tls/ca.crt
    verify: true
  }
  routes: [
    {{- range $i := until $replicas }}
    tls://{{ $full }}-nats-{{ $i }}.{{ $full }}-nats-headless.{{ $.Release.Namespace }}.svc:6222
    {{- end }}
  ]
}
{{- end }}
accounts {
  SUITE {
    jetstream: enabled
    users: [
    {
      {{- include "aegis.nats.user" (dict "user" "gateway"
        "streams" (list "KV_nodes" "KV_node-keys" "KV_node-subjects" "KV_invitations" "KV_consents" "KV_app-signatures" "KV_uploads" "KV_tasks" "KV_leases" "JOURNAL_audit")
        "writes" (list "$KV.nodes.>" "$KV.node-keys.>" "$KV.node-subjects.>" "$KV.invitations.>" "$KV.consents.>" "$KV.app-signatures.>" "$KV.uploads.>" "aegis.journal.audit"
          "aegis.events.presence" "aegis.events.presence-ask" "aegis.events.task-confirmed" "aegis.events.allowances-spent")
        "hears" (list "aegis.events.presence" "aegis.events.presence-ask" "aegis.events.allowances-spent")) }}
    }
    {
      {{- include "aegis.nats.user" (dict "user" "aggregator"
        "streams" (list "KV_tasks" "KV_runs" "KV_rounds" "KV_apps" "KV_plans" "KV_models" "KV_leases" "KV_consents" "aegis-run-logs")
        "writes" (list "$KV.tasks.>" "$KV.runs.>" "$KV.rounds.>" "$KV.apps.>" "$KV.plans.>" "$KV.models.>" "$KV.leases.>" "aegis.run-log.*"
          "aegis.events.presence-ask" "aegis.events.run-changed")
        "hears" (list "aegis.events.presence" "aegis.events.run-changed" "aegis.events.task-confirmed")) }}
    }
    {{- if $copiers }}{{ include "aegis.nats.backup" (dict "user" "backup-suite" "also" (list "$JS.API.STREAM.MSG.GET.KV_leases")) }}{{ end }}
    ]
  }
  SECAGG { jetstream: enabled, users: [
    { user: secagg }
    {{- if $copiers }}{{ include "aegis.nats.backup" (dict "user" "backup-secagg" "also" list) }}{{ end }}
    ]
  }
  LEDGER { jetstream: enabled, users: [
    { user: privacy-accountant }
    {{- if $copiers }}{{ include "aegis.nats.backup" (dict "user" "backup-ledger" "also" list) }}{{ end }}
    ]
  }
}
{{- end }}

{{/* Combinations that cannot work. What a single value may be is in values.schema.json. */}}
{{- define "aegis.checks" -}}
{{- $v := .Values -}}
{{- $g := $v.gateway -}}
{{- if and $v.singleNode $v.nats.enabled (gt (int $v.nats.replicas) 1) -}}
{{- fail (printf "nats.replicas: %d copies need as many nodes, and singleNode says there is one; set nats.replicas: 1, which survives a restart and not the loss of the node's disk" (int $v.nats.replicas)) -}}
{{- end -}}
{{- if and (not $v.nats.enabled) (empty $v.nats.external.servers) -}}
{{- fail "nats.external.servers: nats.enabled is false, so name the servers of the cluster you have" -}}
{{- end -}}
{{- if and $v.nats.enabled (not (empty $v.nats.external.servers)) -}}
{{- fail "nats.external.servers: there is a NATS of the chart's own as well; set nats.enabled: false, or leave them out" -}}
{{- end -}}
{{- if and (ne $g.clientCertificates "off") (not $v.federation.secret) -}}
{{- fail (printf "gateway.clientCertificates: %s needs federation.secret, with the root.pem and crl.pem that certificates are checked against" $g.clientCertificates) -}}
{{- end -}}
{{- if and $g.join (ne $g.enrolment "open") -}}
{{- fail "gateway.join: start_client shows no key, so it can only be let in with gateway.enrolment: open" -}}
{{- end -}}
{{- if and $v.issuer.enabled (eq $g.clientCertificates "off") -}}
{{- fail "issuer.enabled: what it issues is shown to the gateway; set gateway.clientCertificates: accept or require" -}}
{{- end -}}
{{- if and $v.issuer.enabled (not $v.issuer.authority.secret) -}}
{{- fail "issuer.authority.secret: name the secret with issuer.pem and issuer.key" -}}
{{- end -}}
{{- $a := $g.autoscaling -}}
{{- if $a.enabled -}}
{{- if gt (int $a.minReplicas) (int $a.maxReplicas) -}}
{{- fail (printf "gateway.autoscaling.minReplicas: %d is more than maxReplicas, %d" (int $a.minReplicas) (int $a.maxReplicas)) -}}
{{- end -}}
{{- if and (not $a.openUploads) (not $a.bodyBytesPerSecond) (not $a.eventLoopLagSeconds) -}}
{{- fail "gateway.autoscaling: nothing is looked at; give openUploads, bodyBytesPerSecond or eventLoopLagSeconds" -}}
{{- end -}}
{{- if and (eq $a.engine "hpa") (not $v.metrics.podMonitor.enabled) -}}
{{- fail "gateway.autoscaling.engine: hpa looks at metrics of the pods, and nobody reads them; set metrics.podMonitor.enabled: true" -}}
{{- end -}}
{{- if and (eq $a.engine "keda") (not $v.metrics.prometheusAddress) -}}
{{- fail "metrics.prometheusAddress: keda asks Prometheus; say where it is" -}}
{{- end -}}
{{- end -}}
{{- if and $v.metrics.podMonitor.enabled $v.networkPolicies.enabled (empty $v.metrics.from) -}}
{{- fail "metrics.from: the network policies let nobody scrape; name Prometheus' namespace, or set networkPolicies.enabled: false" -}}
{{- end -}}
{{- if and $g.service.nlb.enabled (ne $g.service.type "LoadBalancer") -}}
{{- fail (printf "gateway.service.nlb.enabled: gateway.service.type is %s; set LoadBalancer" $g.service.type) -}}
{{- end -}}
{{- if and $g.service.nlb.enabled (lt (int $g.drain.sleepSeconds) 10) -}}
{{- fail (printf "gateway.drain.sleepSeconds: %d s, and a load balancer takes longer to learn that a pod goes; set at least 10, better 30" (int $g.drain.sleepSeconds)) -}}
{{- end -}}
{{- range $key, $one := dict "gateway" $g "aggregator" $v.aggregator "secagg" $v.secagg "privacyAccountant" $v.privacyAccountant "issuer" $v.issuer "nats" $v.nats -}}
{{- if lt (int $one.drain.graceSeconds) (add (int $one.drain.sleepSeconds) 20) -}}
{{- fail (printf "%s.drain.graceSeconds: %d s leave no 20 s after sleepSeconds for what is under way" $key (int $one.drain.graceSeconds)) -}}
{{- end -}}
{{- end -}}
{{- if and (gt (int $v.privacyAccountant.replicas) 1) (not (include "aegis.sharedClaim" (dict "root" . "name" "privacy-accountant" "values" $v.privacyAccountant))) -}}
{{- fail "privacyAccountant.replicas: who is to take the ledger over needs the same volume; set privacyAccountant.volume.accessMode: ReadWriteMany" -}}
{{- end -}}
{{- range $key, $one := dict "aggregator" $v.aggregator "privacyAccountant" $v.privacyAccountant "issuer" $v.issuer "nats" $v.nats -}}
{{- if and $one.volume.existingClaim (gt (int ($one.replicas | default 1)) 1) (ne $one.volume.accessMode "ReadWriteMany") -}}
{{- fail (printf "%s.volume.existingClaim: several replicas share it, so it must be ReadWriteMany; say so in %s.volume.accessMode" $key $key) -}}
{{- end -}}
{{- end -}}
{{- if and $v.nats.enabled (gt (int $v.nats.replicas) 1) (include "aegis.sharedClaim" (dict "root" . "name" "nats" "values" $v.nats)) -}}
{{- fail "nats.volume: every server needs a volume of its own; set accessMode: ReadWriteOnce and no existingClaim" -}}
{{- end -}}
{{- if and (eq $v.certificates.mode "cert-manager") (not $g.tls.secret) (empty $g.tls.hosts) -}}
{{- fail "gateway.tls.hosts: name what nodes call the gateway by, for its certificate" -}}
{{- end -}}
{{- if and (eq $v.secrets.mode "external-secrets") (not $v.secrets.externalSecrets.storeName) -}}
{{- fail "secrets.externalSecrets.storeName: name the store" -}}
{{- end -}}
{{- end }}

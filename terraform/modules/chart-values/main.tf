# Values for deploy/k8s/helm/aegis that only the infrastructure knows. No resources.

locals {
  # ACCOUNT.dkr.ecr.REGION.amazonaws.com, the same for all.
  registry = split("/", var.repository_urls.gateway)[0]

  image = { for name, url in var.repository_urls : name => { repository = trimprefix(url, "${local.registry}/"), tag = var.image_tag } }

  # Pods that keep something stay away from nodes that AWS takes back; those that keep nothing bear them.
  on_demand  = { nodeSelector = { "aegis.dev/capacity" = "on-demand" } }
  bears_spot = { tolerations = [{ key = "aegis.dev/spot", operator = "Exists", effect = "NoSchedule" }] }

  # What aggregator and accountant are told about S3 and KMS: keys of their files, which the chart merges over its own.
  aggregator_settings = {
    s3   = { bucket = var.buckets.models, region = var.region, sse-kms-key-id = var.key_arns.models }
    keys = { kms = { key-id = var.key_arns["state-aggregator"], region = var.region } }
  }

  accountant_settings = {
    anchor-s3 = { bucket = var.buckets.anchor, region = var.region, sse-kms-key-id = var.key_arns.anchor }
    keys      = { kms = { key-id = var.key_arns["state-privacy-accountant"], region = var.region } }
  }

  # The chart's NetworkPolicies let nothing out that they do not know: the agent that hands pods their role, and AWS over HTTPS.
  reaches_aws = {
    extraEgress = [
      { to = [{ ipBlock = { cidr = "169.254.170.23/32" } }], ports = [{ protocol = "TCP", port = 80 }] },
      { to = [{ ipBlock = { cidr = "0.0.0.0/0" } }], ports = [{ protocol = "TCP", port = 443 }] },
    ]
  }

  account = { for service, account in var.service_accounts : service => { serviceAccount = { create = true, name = account.name, annotations = account.annotations } } }

  values = {
    image      = { registry = local.registry }
    singleNode = var.single_node

    secrets = merge(
      { mode = var.secret_store == null ? "secret" : "external-secrets" },
      var.secret_store == null ? {} : { externalSecrets = { storeName = var.secret_store, storeKind = "ClusterSecretStore", prefix = var.secret_prefix } },
    )

    gateway = merge(local.account["gateway"], local.bears_spot, {
      image    = local.image["gateway"]
      replicas = var.replicas.gateway

      # An NLB that passes TLS through, made by EKS itself: no other controller has to be installed.
      service = {
        type         = "LoadBalancer"
        sourceRanges = var.source_ranges
        annotations = merge(
          {
            "service.beta.kubernetes.io/aws-load-balancer-type"                              = "nlb"
            "service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled" = "true"
          },
          var.internal ? { "service.beta.kubernetes.io/aws-load-balancer-internal" = "true" } : {},
        )
      }
    })

    aggregator = merge(local.account["aggregator"], local.on_demand, local.reaches_aws, {
      image    = local.image["aggregator"]
      settings = { aggregator = local.aggregator_settings }
      replicas = var.replicas.aggregator
    })

    secagg = merge(local.account["secagg"], local.bears_spot, {
      image    = local.image["secagg"]
      replicas = var.replicas.secagg
    })

    privacyAccountant = merge(local.account["privacy-accountant"], local.on_demand, local.reaches_aws, {
      image    = local.image["privacy-accountant"]
      settings = { accountant = local.accountant_settings }
      replicas = var.replicas.privacy_accountant
    })

    issuer = merge(local.account["issuer"], local.on_demand, { image = local.image["issuer"] })

    nats = merge(local.on_demand, { image = local.image["nats"], replicas = var.replicas.nats })
  }
}

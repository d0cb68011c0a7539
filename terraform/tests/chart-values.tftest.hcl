variables {
  secret_prefix = "aegis"
  image_tag     = "0.1.0"
  region        = "eu-central-1"
  buckets       = { models = "aegis-models", anchor = "aegis-anchor" }
  key_arns      = { for purpose in ["models", "anchor", "state-aggregator", "state-privacy-accountant"] : purpose => "arn:aws:kms:eu-central-1:111122223333:key/${purpose}" }

  service_accounts = {
    for service in ["gateway", "aggregator", "secagg", "privacy-accountant", "issuer"] :
    service => { name = "aegis-${service}", annotations = { "eks.amazonaws.com/role-arn" = "arn:aws:iam::111122223333:role/${service}" } }
  }

  repository_urls = {
    for image in ["gateway", "aggregator", "secagg", "privacy-accountant", "issuer", "nats"] : image => "111122223333.dkr.ecr.eu-central-1.amazonaws.com/aegis/${image}"
  }
}

run "values" {
  module {
    source = "./modules/chart-values"
  }

  variables {
    internal      = true
    source_ranges = ["203.0.113.0/24"]
  }

  assert {
    condition     = output.helm_values.gateway.service.annotations["service.beta.kubernetes.io/aws-load-balancer-internal"] == "true" && one(output.helm_values.gateway.service.sourceRanges) == "203.0.113.0/24"
    error_message = "The load balancer is inside the VPC and open to the sites alone."
  }

  assert {
    condition     = jsonencode(output.helm_values.privacyAccountant.serviceAccount) == jsonencode({ create = true, name = "aegis-privacy-accountant", annotations = { "eks.amazonaws.com/role-arn" = "arn:aws:iam::111122223333:role/privacy-accountant" } })
    error_message = "A service account lost its name or annotation."
  }

  assert {
    condition = jsonencode(output.helm_values.privacyAccountant.settings) == jsonencode({ accountant = {
      anchor-s3 = { bucket = "aegis-anchor", region = "eu-central-1", sse-kms-key-id = "arn:aws:kms:eu-central-1:111122223333:key/anchor" }
      keys      = { kms = { key-id = "arn:aws:kms:eu-central-1:111122223333:key/state-privacy-accountant", region = "eu-central-1" } }
    } })
    error_message = "The accountant is not told where the ledger's anchor lies and who wraps its keys."
  }

  assert {
    condition     = output.helm_values.aggregator.settings.aggregator.s3.bucket == "aegis-models" && output.helm_values.aggregator.settings.aggregator.keys.kms["key-id"] == "arn:aws:kms:eu-central-1:111122223333:key/state-aggregator"
    error_message = "The aggregator is not told where models lie and who wraps its keys."
  }

  assert {
    condition     = output.helm_values.gateway.image == { repository = "aegis/gateway", tag = "0.1.0" } && output.helm_values.image.registry == "111122223333.dkr.ecr.eu-central-1.amazonaws.com"
    error_message = "The image's parts do not add up to its address."
  }
}

run "refuses_bad_values" {
  command = plan

  module {
    source = "./modules/chart-values"
  }

  variables {
    image_tag        = "latest"
    replicas         = { nats = 2 }
    source_ranges    = ["everywhere"]
    service_accounts = {}
    repository_urls  = {}
    key_arns         = {}
    secret_store     = "AWS!"
  }

  expect_failures = [var.secret_store, var.key_arns, var.image_tag, var.replicas, var.source_ranges, var.service_accounts, var.repository_urls]
}

run "refuses_three_copies_on_one_node" {
  command = plan

  module {
    source = "./modules/chart-values"
  }

  variables {
    single_node = true
  }

  expect_failures = [var.single_node]
}

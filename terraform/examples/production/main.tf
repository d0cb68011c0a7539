# A suite over three zones: a NAT gateway and on-demand nodes in each, spot nodes for what keeps nothing, the Kubernetes API private, and
# nothing that a single command destroys.

provider "aws" {
  region = var.region

  default_tags {
    tags = { aegis = var.name }
  }
}

module "data" {
  source = "../../modules/data"

  name            = var.name
  images          = ["gateway", "aggregator", "secagg", "privacy-accountant", "issuer", "nats", "sagemaker"]
  models          = { object_lock = var.object_lock }
  model_operators = var.model_operators
}

module "network" {
  source = "../../modules/network"

  name         = var.name
  nat          = "per-zone"
  logs_key_arn = module.data.key_arns.operations
}

module "eks" {
  source = "../../modules/eks"

  name                  = var.name
  subnet_ids            = module.network.private_subnet_ids
  secrets_key_arn       = module.data.key_arns.cluster
  logs_key_arn          = module.data.key_arns.operations
  public_endpoint_cidrs = var.public_endpoint_cidrs
  admin_role_arns       = var.admin_role_arns
  bootstrap_admin       = false
  autoscaler            = var.autoscaler
  on_demand             = { zones = 3, min = 1, desired = 1, max = 3 }
  spot                  = { min = 0, desired = 2, max = 12 }
}

module "identity" {
  source = "../../modules/identity"

  name           = var.name
  cluster_name   = module.eks.cluster_name
  cluster_arn    = module.eks.cluster_arn
  bucket_arns    = module.data.bucket_arns
  key_arns       = module.data.key_arns
  secret_arns    = module.data.secret_arns
  secret_readers = module.data.secret_readers
}

module "observability" {
  source = "../../modules/observability"

  name               = var.name
  cluster_name       = module.eks.cluster_name
  cluster_arn        = module.eks.cluster_arn
  key_arn            = module.data.key_arns.operations
  alarm_emails       = var.alarm_emails
  monthly_budget_usd = var.monthly_budget_usd
  interruption_queue = module.eks.interruption_queue
  prometheus         = true
  grafana            = var.grafana
}

module "sagemaker" {
  source = "../../modules/sagemaker"

  name           = var.name
  vpc_id         = module.network.vpc_id
  subnet_ids     = module.network.private_subnet_ids
  gateway        = "${var.gateway_host}:443"
  training_image = "${module.data.repository_urls.sagemaker}:${var.image_tag}"
  training_data  = var.training_data

  models_bucket = {
    name    = module.data.bucket_names.models
    arn     = module.data.bucket_arns.models
    key_arn = module.data.key_arns.models
  }
}

module "chart_values" {
  source = "../../modules/chart-values"

  service_accounts = module.identity.service_accounts
  repository_urls  = module.data.repository_urls
  region           = var.region
  buckets          = module.data.bucket_names
  key_arns         = module.data.key_arns
  image_tag        = var.image_tag
  secret_prefix    = var.name
  secret_store     = var.secret_store
  source_ranges    = var.gateway_source_ranges
  replicas         = { gateway = 3, aggregator = 3, secagg = 3, nats = 3 }
}

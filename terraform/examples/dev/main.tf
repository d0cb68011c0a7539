# A suite for trying things out: one NAT gateway, on-demand nodes in one zone and spot nodes beside them, destroyed without questions.

provider "aws" {
  region            = var.region
  s3_use_path_style = var.emulator

  default_tags {
    tags = { aegis = var.name }
  }
}

data "aws_caller_identity" "current" {}

# An emulator's account, which belongs to nobody. With a real one `emulator = true` would make a cluster that looks complete and is not.
resource "terraform_data" "emulator_guard" {
  lifecycle {
    precondition {
      condition     = !var.emulator || data.aws_caller_identity.current.account_id == "123456789012"
      error_message = "emulator = true leaves parts out, and account ${data.aws_caller_identity.current.account_id} is a real one. Set AWS_ENDPOINT_URL to the emulator, or leave emulator out."
    }
  }
}

module "data" {
  source = "../../modules/data"

  name                 = var.name
  images               = ["gateway", "aggregator", "secagg", "privacy-accountant", "issuer", "nats", "sagemaker"]
  anchor_lock_days     = 0
  secret_recovery_days = 0
  key_deletion_days    = 7
  force_destroy        = true

  depends_on = [terraform_data.emulator_guard]
}

module "network" {
  source = "../../modules/network"

  name                = var.name
  nat                 = "single"
  interface_endpoints = []
  flow_log_days       = 7
  logs_key_arn        = module.data.key_arns.operations
}

module "eks" {
  source = "../../modules/eks"

  name                  = var.name
  subnet_ids            = module.network.private_subnet_ids
  secrets_key_arn       = module.data.key_arns.cluster
  logs_key_arn          = module.data.key_arns.operations
  log_days              = 7
  public_endpoint_cidrs = var.public_endpoint_cidrs
  on_demand             = { zones = 1, min = 1, desired = 1, max = 3 }
  spot                  = { min = 0, desired = 1, max = 3 }
  emulator              = var.emulator
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
  emulator       = var.emulator
}

module "observability" {
  source = "../../modules/observability"

  name               = var.name
  cluster_name       = module.eks.cluster_name
  cluster_arn        = module.eks.cluster_arn
  key_arn            = module.data.key_arns.operations
  log_days           = 7
  alarm_emails       = var.alarm_emails
  monthly_budget_usd = var.monthly_budget_usd
  interruption_queue = module.eks.interruption_queue
  emulator           = var.emulator
}

module "sagemaker" {
  source = "../../modules/sagemaker"

  name           = var.name
  vpc_id         = module.network.vpc_id
  subnet_ids     = module.network.private_subnet_ids
  gateway        = "${var.gateway_host}:443"
  training_image = "${module.data.repository_urls.sagemaker}:${var.image_tag}"
  emulator       = var.emulator

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
  single_node      = true
  replicas         = { gateway = 1, secagg = 1, nats = 1 }
}

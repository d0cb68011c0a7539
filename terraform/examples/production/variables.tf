variable "region" {
  description = "AWS region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region must be an AWS region such as eu-central-1."
  }
}

variable "name" {
  description = "Name of the cluster and prefix of everything else."
  type        = string
  default     = "aegis"

  validation {
    condition     = length(var.name) <= 20
    error_message = "name must have 20 characters at most: names of roles are made from it and end at 64."
  }
}

variable "admin_role_arns" {
  description = "IAM roles that administrate the cluster; whoever applies this does not become one by doing so."
  type        = list(string)

  validation {
    condition     = length(var.admin_role_arns) > 0
    error_message = "admin_role_arns must name at least one role, or nobody can enter the cluster."
  }
}

variable "model_operators" {
  description = "IAM roles that export and register models."
  type        = list(string)
  default     = []
}

variable "public_endpoint_cidrs" {
  description = "Networks from which the Kubernetes API is reached. Empty (and better): from inside the VPC alone, over VPN or a bastion."
  type        = list(string)
  default     = []
}

variable "gateway_host" {
  description = "Name under which nodes reach the gateway."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]+(\\.[a-z0-9-]+)+$", var.gateway_host))
    error_message = "gateway_host must be a DNS name such as aegis.example.org."
  }
}

variable "gateway_source_ranges" {
  description = "Networks of the sites. Empty: nodes connect from anywhere (they still need a key that was let in)."
  type        = list(string)
  default     = []
}

variable "image_tag" {
  description = "Tag of the images that you push."
  type        = string
}

variable "secret_store" {
  description = "ClusterSecretStore of External Secrets for AWS Secrets Manager, or null to make the suite's keys in the cluster."
  type        = string
  default     = "aws-secrets-manager"
}

variable "autoscaler" {
  description = "cluster-autoscaler or karpenter."
  type        = string
  default     = "cluster-autoscaler"
}

variable "object_lock" {
  description = "Retention of models that nobody can shorten, { mode, days }, or null."
  type        = object({ mode = string, days = number })
  default     = null
}

variable "alarm_emails" {
  description = "Addresses for alarms and the budget."
  type        = set(string)

  validation {
    condition     = length(var.alarm_emails) > 0
    error_message = "alarm_emails must hold at least one address: alarms that nobody gets are none."
  }
}

variable "monthly_budget_usd" {
  description = "Budget of a month in US dollars."
  type        = number
}

variable "grafana" {
  description = "An Amazon Managed Grafana workspace; needs IAM Identity Center in the account."
  type        = bool
  default     = false
}

variable "training_data" {
  description = "What SageMaker jobs may read as training data, see the sagemaker module."
  type        = list(object({ bucket_arn = string, prefix = string, key_arn = optional(string) }))
  default     = []
}

variable "name" {
  description = "Prefix of every name this module gives."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "cluster_name" {
  description = "EKS cluster that is watched."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of the same cluster."
  type        = string
}

variable "key_arn" {
  description = "KMS key of logs and alarms (the data module's `key_arns.operations`)."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kms:", var.key_arn))
    error_message = "key_arn must be the ARN of a KMS key."
  }
}

variable "alarm_emails" {
  description = "Addresses that alarms and budgets are sent to. Each has to confirm once."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "alarm_emails holds mail addresses."
  }
}

variable "monthly_budget_usd" {
  description = "Budget of a month in US dollars: a word at 50, 80 and 100 % spent, and when the forecast is over it. Null: no budget."
  type        = number
  default     = null

  validation {
    condition     = var.monthly_budget_usd == null || try(var.monthly_budget_usd > 0, false)
    error_message = "monthly_budget_usd must be greater than 0; leave it out for no budget."
  }
}

variable "budget_tag" {
  description = "Cost-allocation tag that the budget counts, as { key, value }; it must be activated in the billing console. Null: the whole account."
  type        = object({ key = string, value = string })
  default     = null
}

variable "interruption_queue" {
  description = "Name of the eks module's queue, whose alarm says that nobody reads interruptions. Null: no alarm (nothing reads the queue)."
  type        = string
  default     = null
}

variable "prometheus" {
  description = "An Amazon Managed Service for Prometheus workspace, and a role for the collector that writes to it."
  type        = bool
  default     = false
}

variable "collector" {
  description = "Service account of the OpenTelemetry collector (or Prometheus) that writes to the workspace."
  type        = object({ namespace = string, service_account = string })
  default     = { namespace = "aegis", service_account = "aegis-otel-collector" }
}

variable "grafana" {
  description = "An Amazon Managed Grafana workspace that reads the Prometheus workspace; needs prometheus = true and IAM Identity Center or SAML in the account."
  type        = bool
  default     = false

  validation {
    condition     = !var.grafana || var.prometheus
    error_message = "grafana = true needs prometheus = true: it would have nothing to read."
  }
}

variable "grafana_authentication" {
  description = "How people sign in to Grafana: AWS_SSO or SAML."
  type        = string
  default     = "AWS_SSO"

  validation {
    condition     = contains(["AWS_SSO", "SAML"], var.grafana_authentication)
    error_message = "grafana_authentication must be AWS_SSO or SAML."
  }
}

variable "cloudwatch" {
  description = "CloudWatch Container Insights for the cluster: logs and metrics of all pods by the add-on amazon-cloudwatch-observability."
  type        = bool
  default     = false
}

variable "log_days" {
  description = "Days that logs are kept in CloudWatch."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days must be a period that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "emulator" {
  description = "Leave out what AWS emulators do not know: the budget, add-ons, Pod Identity associations, the Grafana workspace."
  type        = bool
  default     = false
}

variable "service_accounts" {
  description = "The identity module's `service_accounts`."
  type        = map(object({ name = string, annotations = map(string) }))

  validation {
    condition     = toset(keys(var.service_accounts)) == toset(["gateway", "aggregator", "secagg", "privacy-accountant", "issuer"])
    error_message = "service_accounts must have gateway, aggregator, secagg, privacy-accountant and issuer."
  }
}

variable "repository_urls" {
  description = "The data module's `repository_urls`."
  type        = map(string)

  validation {
    condition     = alltrue([for image in ["gateway", "aggregator", "secagg", "privacy-accountant", "issuer", "nats"] : contains(keys(var.repository_urls), image)])
    error_message = "repository_urls must have gateway, aggregator, secagg, privacy-accountant, issuer and nats."
  }
}

variable "region" {
  description = "Region of buckets and keys."
  type        = string
}

variable "buckets" {
  description = "The data module's `bucket_names`: where the aggregator keeps models and apps, and the accountant the ledger's anchor."
  type        = object({ models = string, anchor = string })
}

variable "key_arns" {
  description = "The data module's `key_arns`."
  type        = map(string)

  validation {
    condition     = alltrue([for purpose in ["models", "anchor", "state-aggregator", "state-privacy-accountant"] : contains(keys(var.key_arns), purpose)])
    error_message = "key_arns must have models, anchor, state-aggregator and state-privacy-accountant."
  }
}

variable "image_tag" {
  description = "Tag of the images that were pushed."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$", var.image_tag)) && var.image_tag != "latest"
    error_message = "image_tag must be the tag of a release; latest is none: repositories are immutable and a rollback must find the image before."
  }
}

variable "secret_prefix" {
  description = "What the names of this suite's secrets begin with in Secrets Manager."
  type        = string
}

variable "secret_store" {
  description = "ClusterSecretStore of External Secrets that brings the keys of gateway and NATS from Secrets Manager. Null: `aegis kubernetes secrets` made them in the cluster."
  type        = string
  default     = null

  validation {
    condition     = var.secret_store == null || can(regex("^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", var.secret_store))
    error_message = "secret_store must be the name of a ClusterSecretStore: lower-case letters, digits, dots and hyphens."
  }
}

variable "internal" {
  description = "Whether the gateway's load balancer has addresses inside the VPC alone."
  type        = bool
  default     = false
}

variable "source_ranges" {
  description = "Networks whose nodes may connect to the gateway. Empty: all."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.source_ranges : can(cidrhost(cidr, 0))])
    error_message = "source_ranges holds networks such as 203.0.113.0/24."
  }
}

variable "replicas" {
  description = "Copies of each service."
  type = object({
    gateway            = optional(number, 2)
    aggregator         = optional(number, 1)
    secagg             = optional(number, 2)
    privacy_accountant = optional(number, 1)
    nats               = optional(number, 3)
  })
  default = {}

  validation {
    condition     = contains([1, 3, 5], var.replicas.nats)
    error_message = "replicas.nats must be 1, 3 or 5: JetStream needs a majority."
  }

  validation {
    condition     = alltrue([for count in values(var.replicas) : count >= 1 && floor(count) == count])
    error_message = "replicas are whole numbers of at least 1."
  }
}

variable "single_node" {
  description = "Whether copies of a service may share a node, where there is one on-demand node only."
  type        = bool
  default     = false

  validation {
    condition     = !var.single_node || var.replicas.nats == 1
    error_message = "single_node = true needs replicas.nats = 1: three copies on one node survive nothing that one does not."
  }
}

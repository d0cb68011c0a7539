variable "name" {
  description = "Name of the cluster and prefix of every other name this module gives."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "kubernetes_version" {
  description = "Kubernetes release. The chart is checked against 1.32 to 1.36."
  type        = string
  default     = "1.34"

  validation {
    condition     = contains(["1.32", "1.33", "1.34", "1.35", "1.36"], var.kubernetes_version)
    error_message = "kubernetes_version must be 1.32, 1.33, 1.34, 1.35 or 1.36: the chart is checked against these."
  }
}

variable "subnet_ids" {
  description = "Private subnets, one in each of three zones, in which nodes and the control plane's interfaces lie."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) == 3
    error_message = "subnet_ids must hold three subnets, one in each zone."
  }
}

variable "secrets_key_arn" {
  description = "KMS key that encrypts Kubernetes secrets (the data module's `key_arns.cluster`)."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kms:", var.secrets_key_arn))
    error_message = "secrets_key_arn must be the ARN of a KMS key."
  }
}

variable "logs_key_arn" {
  description = "KMS key of the control plane's logs (the data module's `key_arns.operations`)."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:kms:", var.logs_key_arn))
    error_message = "logs_key_arn must be the ARN of a KMS key."
  }
}

variable "public_endpoint_cidrs" {
  description = "Networks from which the Kubernetes API is reached over the internet. Empty: the private endpoint alone, from inside the VPC."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.public_endpoint_cidrs : can(cidrhost(cidr, 0)) && try(tonumber(split("/", cidr)[1]) >= 8, false)])
    error_message = "public_endpoint_cidrs holds networks such as 203.0.113.0/24, none wider than /8: the Kubernetes API is not for the whole internet."
  }
}

variable "admin_role_arns" {
  description = "IAM roles that administrate the cluster. Whoever creates the cluster does so in any case, unless bootstrap_admin is false."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.admin_role_arns : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", arn))])
    error_message = "admin_role_arns holds ARNs of IAM roles (arn:aws:iam::123456789012:role/NAME)."
  }
}

variable "bootstrap_admin" {
  description = "Whether the identity that creates the cluster becomes its administrator."
  type        = bool
  default     = true

  validation {
    condition     = var.bootstrap_admin || length(var.admin_role_arns) > 0
    error_message = "bootstrap_admin = false without admin_role_arns makes a cluster that nobody can enter."
  }
}

variable "log_days" {
  description = "Days that the control plane's logs are kept in CloudWatch."
  type        = number
  default     = 365

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.log_days)
    error_message = "log_days must be a period that CloudWatch knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "on_demand" {
  description = <<-TEXT
    Nodes that nobody takes away, a group in each of the first `zones` zones: for NATS, the aggregators and the accountant, whose volumes lie in
    one zone. `min`, `desired` and `max` count nodes in each zone; `disk_gib` is the root volume.
  TEXT
  type = object({
    instance_types = optional(list(string), ["m6i.large"])
    zones          = optional(number, 3)
    min            = optional(number, 1)
    desired        = optional(number, 1)
    max            = optional(number, 3)
    disk_gib       = optional(number, 50)
  })
  default = {}

  validation {
    condition     = var.on_demand.zones >= 1 && var.on_demand.zones <= 3
    error_message = "on_demand.zones must be 1, 2 or 3."
  }

  validation {
    condition     = var.on_demand.min >= 1 && var.on_demand.min <= var.on_demand.desired && var.on_demand.desired <= var.on_demand.max
    error_message = "on_demand needs 1 <= min <= desired <= max."
  }

  validation {
    condition     = length(var.on_demand.instance_types) > 0 && var.on_demand.disk_gib >= 20
    error_message = "on_demand needs at least one instance type and disk_gib of at least 20."
  }
}

variable "spot" {
  description = "Nodes that AWS may take back with two minutes' notice, over all three zones: for gateways and secagg, which keep nothing. Several instance types of one size make that rarer. Null: none."
  type = object({
    instance_types = optional(list(string), ["m6i.large", "m6a.large", "m5.large", "m5a.large"])
    min            = optional(number, 0)
    desired        = optional(number, 1)
    max            = optional(number, 6)
    disk_gib       = optional(number, 50)
  })
  default = {}

  validation {
    condition     = var.spot == null || try(var.spot.min >= 0 && var.spot.min <= var.spot.desired && var.spot.desired <= var.spot.max, false)
    error_message = "spot needs 0 <= min <= desired <= max."
  }

  validation {
    condition     = var.spot == null || try(length(var.spot.instance_types) >= 2 && var.spot.disk_gib >= 20, false)
    error_message = "spot needs at least two instance types, so that one sold-out type does not take every node, and disk_gib of at least 20."
  }
}

variable "autoscaler" {
  description = "Who adds and removes nodes: cluster-autoscaler or karpenter (roles and Pod Identity for it are made; its Helm chart is installed by you), or none."
  type        = string
  default     = "cluster-autoscaler"

  validation {
    condition     = contains(["cluster-autoscaler", "karpenter", "none"], var.autoscaler)
    error_message = "autoscaler must be cluster-autoscaler, karpenter or none."
  }
}

variable "addon_versions" {
  description = "Versions to pin EKS add-ons to, by add-on name. An add-on that is not named gets the cluster's default version."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.addon_versions) : contains(["vpc-cni", "kube-proxy", "coredns", "eks-pod-identity-agent", "aws-ebs-csi-driver", "metrics-server"], name)])
    error_message = "addon_versions may name vpc-cni, kube-proxy, coredns, eks-pod-identity-agent, aws-ebs-csi-driver and metrics-server."
  }
}

variable "emulator" {
  description = "Leave out what AWS emulators do not know: add-ons, Pod Identity associations, access entries, tags of scaling groups."
  type        = bool
  default     = false
}

variable "name" {
  description = "Prefix of every name this module gives; the same as the data module's, whose key policies know the roles by name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "cluster_name" {
  description = "EKS cluster in which the service accounts live."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of the same cluster: roles are of no use to pods of another one."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:eks:", var.cluster_arn))
    error_message = "cluster_arn must be the ARN of an EKS cluster."
  }
}

variable "namespace" {
  description = "Kubernetes namespace of the suite."
  type        = string
  default     = "aegis"

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace must be a Kubernetes name: lower-case letters, digits and hyphens, 63 at most."
  }
}

variable "mode" {
  description = "How pods get their role: pod-identity (the agent of EKS; nothing in the chart) or irsa (an OIDC provider, and an annotation on each service account)."
  type        = string
  default     = "pod-identity"

  validation {
    condition     = contains(["pod-identity", "irsa"], var.mode)
    error_message = "mode must be pod-identity or irsa."
  }
}

variable "oidc_issuer" {
  description = "The eks module's `oidc_issuer`; required with mode = irsa."
  type        = string
  default     = null

  validation {
    condition     = var.mode != "irsa" || try(startswith(var.oidc_issuer, "https://"), false)
    error_message = "mode = irsa needs oidc_issuer, the https:// address of the cluster's issuer."
  }
}

variable "bucket_arns" {
  description = "The data module's `bucket_arns`."
  type        = object({ models = string, anchor = string })
}

variable "key_arns" {
  description = "The data module's `key_arns`."
  type        = map(string)

  validation {
    condition = alltrue([
      for purpose in ["models", "anchor", "secrets", "state-aggregator", "state-privacy-accountant"] :
      contains(keys(var.key_arns), purpose)
    ])
    error_message = "key_arns must have models, anchor, secrets, state-aggregator and state-privacy-accountant."
  }
}

variable "secret_arns" {
  description = "The data module's `secret_arns`."
  type        = map(string)
}

variable "secret_readers" {
  description = "The data module's `secret_readers`."
  type        = map(list(string))
}

variable "external_secrets" {
  description = "Service account of External Secrets, which copies secrets of this suite into the cluster: `{ namespace, service_account }`. Null: no role for it."
  type        = object({ namespace = string, service_account = string })
  default     = { namespace = "external-secrets", service_account = "external-secrets" }
}

variable "emulator" {
  description = "Leave out Pod Identity associations, which AWS emulators do not know."
  type        = bool
  default     = false
}

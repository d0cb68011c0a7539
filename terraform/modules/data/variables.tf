variable "name" {
  description = "Prefix of every name this module gives. Roles of the identity module and of the sagemaker module must have the same."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "model_operators" {
  description = "ARNs of roles, besides the services, that may read and write exported models: people who register them, for example."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.model_operators : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", arn))])
    error_message = "model_operators holds ARNs of IAM roles (arn:aws:iam::123456789012:role/NAME): no users, and no wildcard for an account."
  }
}

variable "models" {
  description = <<-TEXT
    Life of models in S3. `infrequent_after_days`: move to the cheaper class; `noncurrent_days`: how long replaced or deleted versions stay
    restorable; `object_lock`: null, or `{ mode = "GOVERNANCE" | "COMPLIANCE", days = N }`, which nobody can take back in COMPLIANCE mode.
  TEXT
  type = object({
    infrequent_after_days = optional(number, 90)
    noncurrent_days       = optional(number, 90)
    object_lock           = optional(object({ mode = string, days = number }))
  })
  default = {}

  validation {
    condition     = var.models.infrequent_after_days >= 30
    error_message = "models.infrequent_after_days must be at least 30: S3 refuses to move objects to STANDARD_IA sooner."
  }

  validation {
    condition     = var.models.noncurrent_days >= 1
    error_message = "models.noncurrent_days must be at least 1."
  }

  validation {
    condition     = var.models.object_lock == null || try(contains(["GOVERNANCE", "COMPLIANCE"], var.models.object_lock.mode) && var.models.object_lock.days >= 1, false)
    error_message = "models.object_lock needs mode GOVERNANCE or COMPLIANCE and days of at least 1; leave it out for none."
  }
}

variable "anchor_lock_days" {
  description = "Days that a written state of the ledger anchor can be neither changed nor deleted (object lock, GOVERNANCE); 0 = no lock. The anchor proves that the privacy ledger was not put back."
  type        = number
  default     = 35

  validation {
    condition     = var.anchor_lock_days >= 0 && floor(var.anchor_lock_days) == var.anchor_lock_days
    error_message = "anchor_lock_days must be 0 or a whole number of days."
  }
}

variable "secrets" {
  description = <<-TEXT
    Secrets by name, each with the services whose own role may read it (Secrets Store CSI driver). External Secrets reads all of them, and the
    chart needs no other way. Terraform makes the empty secret; its value is put in by you and never enters Terraform's state.
  TEXT
  type        = map(list(string))
  default     = { "gateway-keys" = [], "nats-keys" = [], "issuer" = [], "edge-tls" = [] }

  validation {
    condition     = alltrue([for name in keys(var.secrets) : can(regex("^[a-z][a-z0-9-]*$", name))])
    error_message = "names of secrets are lower-case letters, digits and hyphens."
  }

  validation {
    condition = alltrue([
      for services in values(var.secrets) :
      alltrue([for s in services : contains(["gateway", "aggregator", "secagg", "privacy-accountant", "issuer"], s)])
    ])
    error_message = "readers of secrets are of: gateway, aggregator, secagg, privacy-accountant, issuer."
  }
}

variable "secret_writers" {
  description = "ARNs of roles that put values into the secrets. Empty: everybody of the account whose IAM policy allows it, which also lets them read values."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.secret_writers : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", arn))])
    error_message = "secret_writers holds ARNs of IAM roles (arn:aws:iam::123456789012:role/NAME)."
  }
}

variable "secret_recovery_days" {
  description = "Days in which a deleted secret can be brought back (7 to 30), or 0 to delete at once."
  type        = number
  default     = 30

  validation {
    condition     = var.secret_recovery_days == 0 || (var.secret_recovery_days >= 7 && var.secret_recovery_days <= 30)
    error_message = "secret_recovery_days must be 0, or 7 to 30."
  }
}

variable "images" {
  description = "Names of the image repositories in ECR, below the prefix."
  type        = set(string)
  default     = ["gateway", "aggregator", "secagg", "privacy-accountant", "issuer", "nats"]

  validation {
    condition     = length(var.images) > 0 && alltrue([for image in var.images : can(regex("^[a-z0-9]+(?:[._/-][a-z0-9]+)*$", image))])
    error_message = "images must name at least one repository, in lower-case letters, digits and single separators."
  }
}

variable "images_kept" {
  description = "How many images each repository keeps; older ones are removed."
  type        = number
  default     = 30

  validation {
    condition     = var.images_kept >= 2
    error_message = "images_kept must be at least 2: a rollback needs the image before the newest."
  }
}

variable "key_deletion_days" {
  description = "Days between the deletion of a KMS key and its end (7 to 30). What it sealed is lost then."
  type        = number
  default     = 30

  validation {
    condition     = var.key_deletion_days >= 7 && var.key_deletion_days <= 30
    error_message = "key_deletion_days must be 7 to 30; KMS knows no other periods."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` also empties buckets and repositories. For examples and tests; never where models matter."
  type        = bool
  default     = false
}

variable "name" {
  description = "Prefix of every name this module gives; the same as the data module's, whose key policy knows the training role by name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "vpc_id" {
  description = "VPC in which training jobs run."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of training jobs."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids must name at least one subnet: jobs without a VPC could not be kept from the rest of the internet."
  }
}

variable "gateway" {
  description = "Address of the gateway as jobs reach it, HOST:PORT."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9.-]+:[0-9]{1,5}$", var.gateway)) && try(tonumber(split(":", var.gateway)[1]) >= 1 && tonumber(split(":", var.gateway)[1]) <= 65535, false)
    error_message = "gateway must be HOST:PORT, for example aegis.example.org:9443."
  }
}

variable "gateway_cidrs" {
  description = "Networks in which the gateway's addresses lie; besides them jobs reach HTTPS (443) alone, which AWS's own endpoints need."
  type        = list(string)
  default     = ["0.0.0.0/0"]

  validation {
    condition     = length(var.gateway_cidrs) > 0 && alltrue([for cidr in var.gateway_cidrs : can(cidrhost(cidr, 0))])
    error_message = "gateway_cidrs holds networks such as 10.40.0.0/16."
  }
}

variable "training_image" {
  description = "Image of the training entry (terraform/sagemaker/Dockerfile) in ECR, with tag or digest."
  type        = string

  validation {
    condition     = can(regex("^[^:]+[.]dkr[.]ecr[.][a-z0-9-]+[.]amazonaws[.]com(/[a-z0-9._/-]+)(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$", var.training_image))
    error_message = "training_image must be an image in ECR with a tag or digest: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME:TAG."
  }
}

variable "training_data" {
  description = "Objects that jobs may read as training data, as `{ bucket_arn, prefix, key_arn }`; key_arn null where the bucket has no KMS key of yours."
  type = list(object({
    bucket_arn = string
    prefix     = string
    key_arn    = optional(string)
  }))
  default = []

  validation {
    condition     = alltrue([for data in var.training_data : can(regex("^arn:aws[a-z-]*:s3:::[^/*]+$", data.bucket_arn)) && can(regex("^[^*?]*$", data.prefix))])
    error_message = "training_data needs the ARN of one bucket each, and a prefix without wildcards."
  }
}

variable "models_bucket" {
  description = "The models bucket as `{ name, arn, key_arn }`: jobs keep their identity and checkpoints below sagemaker/ and read no model; registered packages lie below packages/."
  type        = object({ name = string, arn = string, key_arn = string })
}

variable "emulator" {
  description = "Leave out the model package group, which AWS emulators make and cannot delete."
  type        = bool
  default     = false
}

variable "name" {
  description = "Prefix of every name this module gives."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 32 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "cidr" {
  description = "Addresses of the VPC, /16 to /20. Every zone gets a sixteenth of them for load balancers and a quarter for nodes and pods."
  type        = string
  default     = "10.40.0.0/16"

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && try(tonumber(split("/", var.cidr)[1]) >= 16 && tonumber(split("/", var.cidr)[1]) <= 20, false)
    error_message = "cidr must be an IPv4 network between /16 and /20, for example 10.40.0.0/16: pods have addresses of the VPC, a smaller one runs out of them."
  }
}

variable "zones" {
  description = "Three availability zones of the provider's region. Empty: the region's first three."
  type        = list(string)
  default     = []

  validation {
    condition     = contains([0, 3], length(var.zones)) && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones must name three different zones, or none: NATS keeps three replicas, and two zones cannot lose one of them and still agree."
  }
}

variable "nat" {
  description = "How private subnets reach the internet: per-zone (a NAT gateway in each), single (one, cheaper, lost with its zone) or none (endpoints only; images must then be in ECR)."
  type        = string
  default     = "per-zone"

  validation {
    condition     = contains(["per-zone", "single", "none"], var.nat)
    error_message = "nat must be per-zone, single or none."
  }
}

variable "interface_endpoints" {
  description = "AWS services reached inside the VPC instead of over NAT. Each costs by the hour and zone; S3 has its gateway endpoint in any case, which costs nothing."
  type        = set(string)
  default     = ["ecr.api", "ecr.dkr", "ec2", "eks", "eks-auth", "elasticloadbalancing", "kms", "logs", "secretsmanager", "sqs", "sts"]

  validation {
    condition     = alltrue([for s in var.interface_endpoints : can(regex("^[a-z0-9.-]+$", s)) && s != "s3"])
    error_message = "interface_endpoints holds short service names such as kms or ecr.api; S3 has a gateway endpoint and is not one of them."
  }

  validation {
    condition     = var.nat != "none" || alltrue([for s in ["ecr.api", "ecr.dkr", "ec2", "eks", "eks-auth", "sts"] : contains(var.interface_endpoints, s)])
    error_message = "nat = none needs interface_endpoints ecr.api, ecr.dkr, ec2, eks, eks-auth and sts: nodes could not join the cluster without them."
  }
}

variable "flow_log_days" {
  description = "Days that flow logs of the VPC are kept in CloudWatch; 0 = no flow logs."
  type        = number
  default     = 365

  validation {
    condition     = contains([0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731], var.flow_log_days)
    error_message = "flow_log_days must be a period that CloudWatch knows: 0 (off), 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545 or 731."
  }
}

variable "logs_key_arn" {
  description = "KMS key for the flow logs (the data module's `key_arns.operations`); required when flow_log_days is not 0."
  type        = string
  default     = null

  validation {
    condition     = var.logs_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:", var.logs_key_arn))
    error_message = "logs_key_arn must be the ARN of a KMS key."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-central-1"
}

variable "name" {
  description = "Name of the cluster and prefix of everything else."
  type        = string
  default     = "aegis-dev"

  validation {
    condition     = length(var.name) <= 20
    error_message = "name must have 20 characters at most: names of roles are made from it and end at 64."
  }
}

variable "public_endpoint_cidrs" {
  description = "Networks from which you use kubectl and helm, for example [\"203.0.113.7/32\"]. Empty: from inside the VPC alone."
  type        = list(string)
  default     = []
}

variable "alarm_emails" {
  description = "Addresses for alarms and the budget."
  type        = set(string)
  default     = []
}

variable "monthly_budget_usd" {
  description = "Budget of a month in US dollars."
  type        = number
  default     = 300
}

variable "gateway_host" {
  description = "Name under which nodes reach the gateway. SageMaker jobs are told it, and the chart."
  type        = string
  default     = "aegis.example.org"
}

variable "emulator" {
  description = "Apply to an AWS emulator (AWS_ENDPOINT_URL): what emulators do not know is left out. Refused for a real account."
  type        = bool
  default     = false
}

variable "image_tag" {
  description = "Tag of the images that you push, the chart's appVersion."
  type        = string
  default     = "0.1.0"
}

output "role_arns" {
  description = "ARNs of the roles by service, and of External Secrets'."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}

output "role_names" {
  description = "Names of the same roles: the data module's key policies expect exactly these."
  value       = { for name, role in aws_iam_role.this : name => role.name }
}

output "service_accounts" {
  description = "Service accounts by service: name, and the annotations that they need (none with Pod Identity)."
  value = {
    for service in keys(local.services) : service => {
      name        = local.accounts[service].name
      annotations = var.mode == "irsa" ? { "eks.amazonaws.com/role-arn" = aws_iam_role.this[service].arn } : {}
    }
  }
}

output "namespace" {
  description = "Namespace of the suite."
  value       = var.namespace
}

output "left_out" {
  description = "Resources left out because of emulator = true."
  value       = var.emulator ? ["aws_eks_pod_identity_association"] : []
}

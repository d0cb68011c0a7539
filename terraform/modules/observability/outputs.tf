output "alarm_topic_arn" {
  description = "SNS topic of alarms; give it to Alertmanager's SNS receiver too."
  value       = aws_sns_topic.alarms.arn
}

output "prometheus_remote_write_url" {
  description = "Where the collector writes metrics, or null."
  value       = try("${aws_prometheus_workspace.this[0].prometheus_endpoint}api/v1/remote_write", null)
}

output "collector_role_arn" {
  description = "Role of the collector, or null."
  value       = try(aws_iam_role.pod["collector"].arn, null)
}

output "grafana_url" {
  description = "Address of Grafana, or null."
  value       = try("https://${aws_grafana_workspace.this[0].endpoint}", null)
}

output "left_out" {
  description = "Resources left out because of emulator = true."
  value       = var.emulator ? ["aws_budgets_budget", "aws_eks_pod_identity_association", "aws_grafana_workspace", "aws_eks_addon"] : []
}

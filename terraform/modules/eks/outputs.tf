output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "cluster_arn" {
  description = "ARN of the cluster, known before it exists: roles that trust it wait for nothing."
  value       = local.cluster_arn
}

output "endpoint" {
  description = "Address of the Kubernetes API."
  value       = aws_eks_cluster.this.endpoint
}

output "oidc_issuer" {
  description = "Issuer of service-account tokens, for IRSA."
  value       = aws_eks_cluster.this.identity[0].oidc[0].issuer
}

output "security_group_id" {
  description = "Group of the control plane and all nodes."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "node_role_arn" {
  description = "Role of the nodes; Karpenter's EC2NodeClass names it."
  value       = aws_iam_role.node.arn
}

output "node_groups" {
  description = "Names of the node groups with their kind."
  value       = { for name, group in aws_eks_node_group.this : name => group.capacity_type }
}

output "interruption_queue" {
  description = "Name of the queue of interruptions: Karpenter's settings.interruptionQueue."
  value       = aws_sqs_queue.interruptions.name
}

output "interruption_queue_url" {
  description = "URL of the same queue: queueURL of aws-node-termination-handler."
  value       = aws_sqs_queue.interruptions.url
}

output "controller_role_arns" {
  description = "Roles of the volume driver, the autoscaler and the reader of interruptions."
  value       = { for name, role in aws_iam_role.controller : name => role.arn }
}

output "left_out" {
  description = "Resources left out because of emulator = true."
  value       = var.emulator ? ["aws_eks_addon", "aws_eks_access_entry", "aws_eks_access_policy_association", "aws_eks_pod_identity_association", "aws_autoscaling_group_tag", "aws_eks_cluster.access_config"] : []
}

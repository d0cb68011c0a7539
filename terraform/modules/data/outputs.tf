output "key_arns" {
  description = "ARNs of the KMS keys by purpose: models, anchor, secrets, cluster, operations and `state-SERVICE` of services whose data keys KMS wraps."
  value       = { for purpose, key in merge(aws_kms_key.this, aws_kms_key.platform) : purpose => key.arn }
}

output "key_ids" {
  description = "Ids of the same keys."
  value       = { for purpose, key in merge(aws_kms_key.this, aws_kms_key.platform) : purpose => key.key_id }
}

output "bucket_names" {
  description = "Names of the buckets: models, anchor, access."
  value       = { for name, bucket in local.all_buckets : name => bucket.id }
}

output "bucket_arns" {
  description = "ARNs of the same buckets."
  value       = { for name, bucket in local.all_buckets : name => bucket.arn }
}

output "secret_arns" {
  description = "ARNs of the secrets by name."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "secret_names" {
  description = "Full names of the secrets by short name, as External Secrets and `aws secretsmanager` want them."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.name }
}

output "secret_readers" {
  description = "Services that may read each secret."
  value       = var.secrets
}

output "repository_urls" {
  description = "Where to push images, by name."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "job" {
  description = "What start_training.py needs of a job, as it reads it with --settings."
  value = {
    role_arn           = aws_iam_role.training.arn
    image              = var.training_image
    gateway            = var.gateway
    subnet_ids         = var.subnet_ids
    security_group_ids = [aws_security_group.training.id]
    identity_prefix    = "s3://${var.models_bucket.name}/sagemaker/identity/"
    output_path        = "s3://${var.models_bucket.name}/sagemaker/output/"
    checkpoint_path    = "s3://${var.models_bucket.name}/sagemaker/checkpoints/"
    key_arn            = var.models_bucket.key_arn
  }
}

output "registration" {
  description = "What register_model.py needs, as it reads it with --settings."
  value = {
    group   = local.group
    bucket  = var.models_bucket.name
    key_arn = var.models_bucket.key_arn
  }
}

output "training_role_name" {
  description = "Name of the training role: the data module's key policy expects exactly this."
  value       = aws_iam_role.training.name
}

output "register_policy_arn" {
  description = "IAM policy for roles that register models."
  value       = aws_iam_policy.register.arn
}

output "left_out" {
  description = "Resources left out because of emulator = true."
  value       = var.emulator ? ["aws_sagemaker_model_package_group"] : []
}

# Empty secrets: `aws secretsmanager put-secret-value` fills them, Terraform never sees a value.

resource "aws_secretsmanager_secret" "this" {
  for_each = var.secrets

  #checkov:skip=CKV2_AWS_57:Rotation of these is the federation's own act (`aegis ca`, `aegis certs`), not a function that could be called on a timer.
  name                    = "${var.name}/${each.key}"
  description             = "Of the Aegis suite ${var.name}: ${each.key}"
  kms_key_id              = aws_kms_key.this["secrets"].arn
  recovery_window_in_days = var.secret_recovery_days
}

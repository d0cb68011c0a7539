mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name = "aegis"
}

run "keys_by_purpose" {
  module {
    source = "./modules/data"
  }

  assert {
    condition     = keys(output.key_arns) == ["anchor", "cluster", "models", "operations", "secrets", "state-aggregator", "state-privacy-accountant"]
    error_message = "A purpose has no key."
  }

  assert {
    condition     = alltrue([for key in merge(aws_kms_key.this, aws_kms_key.platform) : key.enable_key_rotation && key.deletion_window_in_days == 30])
    error_message = "Keys rotate, and are kept for 30 days after deletion."
  }

  # The policy document's content: who may use the models key, and how.
  assert {
    condition = one([for s in data.aws_iam_policy_document.key["models"].statement : [
      for c in s.condition : c.values if c.variable == "aws:PrincipalArn"
    ] if s.sid == "Use"])[0] == tolist(["arn:aws:iam::111122223333:role/aegis-aegis-aggregator", "arn:aws:iam::111122223333:role/aegis-sagemaker"])
    error_message = "Somebody besides the aggregator and training jobs may use the models key."
  }

  assert {
    condition = one([for s in data.aws_iam_policy_document.key["anchor"].statement : [
      for c in s.condition : c.values if c.variable == "aws:PrincipalArn"
    ] if s.sid == "Use"])[0] == tolist(["arn:aws:iam::111122223333:role/aegis-aegis-privacy-accountant"])
    error_message = "Somebody besides the accountant may use the anchor's key."
  }

  assert {
    condition = alltrue(flatten([
      for document in data.aws_iam_policy_document.key : [
        for s in document.statement : [for action in s.actions : !contains(["kms:*", "kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"], action)] if s.sid == "Manage"
      ]
    ]))
    error_message = "Whoever manages a key must not be able to use it by that."
  }

  assert {
    condition = alltrue([
      for purpose in ["models", "anchor", "secrets"] :
      length([for s in data.aws_iam_policy_document.key[purpose].statement : s if s.sid == "Use" && length([for c in s.condition : c if c.variable == "kms:ViaService"]) == 1]) == 1
    ])
    error_message = "Keys of buckets and secrets are used through their service alone."
  }
}

run "buckets" {
  module {
    source = "./modules/data"
  }

  assert {
    condition     = alltrue([for b in aws_s3_bucket_versioning.this : b.versioning_configuration[0].status == "Enabled"]) && keys(aws_s3_bucket_versioning.this) == ["anchor", "models"]
    error_message = "Models and anchor are versioned."
  }

  assert {
    condition     = alltrue([for name in ["models", "anchor"] : one(one(aws_s3_bucket_server_side_encryption_configuration.this[name].rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"])
    error_message = "Models and anchor are encrypted with KMS."
  }

  assert {
    condition = alltrue([
      for document in concat(values(data.aws_iam_policy_document.bucket), [data.aws_iam_policy_document.access]) :
      anytrue([for s in document.statement : s.effect == "Deny" && s.actions == toset(["s3:*"]) && anytrue([for c in s.condition : c.variable == "aws:SecureTransport" && c.values == tolist(["false"])])])
    ])
    error_message = "A bucket answers without TLS."
  }

  assert {
    condition     = alltrue([for b in aws_s3_bucket_public_access_block.this : b.block_public_acls && b.block_public_policy && b.ignore_public_acls && b.restrict_public_buckets]) && length(aws_s3_bucket_public_access_block.this) == 3
    error_message = "A bucket could be made public."
  }

  assert {
    condition     = keys(aws_s3_bucket_logging.this) == ["anchor", "models"] && keys(aws_s3_bucket_lifecycle_configuration.this) == ["access", "anchor", "models"]
    error_message = "A bucket's accesses are not logged, or what is old in it never goes."
  }

  assert {
    condition     = !aws_s3_bucket.this["models"].object_lock_enabled && aws_s3_bucket.this["anchor"].object_lock_enabled && keys(aws_s3_bucket_object_lock_configuration.this) == ["anchor"]
    error_message = "By default the anchor is locked and models are not."
  }

  assert {
    condition     = alltrue([for r in aws_ecr_repository.this : r.image_tag_mutability == "IMMUTABLE" && r.image_scanning_configuration[0].scan_on_push])
    error_message = "Images are scanned, and a tag is never moved."
  }
}

run "object_lock" {
  command = plan

  module {
    source = "./modules/data"
  }

  variables {
    models = { object_lock = { mode = "COMPLIANCE", days = 400 } }
  }

  assert {
    condition     = aws_s3_bucket.this["models"].object_lock_enabled && one(one(aws_s3_bucket_object_lock_configuration.this["models"].rule).default_retention).days == 400
    error_message = "Object lock was asked for and not set."
  }
}

run "refuses_bad_values" {
  command = plan

  module {
    source = "./modules/data"
  }

  variables {
    models               = { infrequent_after_days = 7, object_lock = { mode = "governance", days = 1 } }
    secrets              = { "gateway-keys" = ["everybody"] }
    secret_recovery_days = 3
    key_deletion_days    = 1
    images_kept          = 1
    images               = ["Gateway"]
    model_operators      = ["arn:aws:iam::111122223333:root"]
    anchor_lock_days     = -1
  }

  expect_failures = [
    var.models, var.secrets, var.secret_recovery_days, var.key_deletion_days, var.images_kept, var.images, var.model_operators, var.anchor_lock_days,
  ]
}

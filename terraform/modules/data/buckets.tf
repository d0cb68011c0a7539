# Three buckets: models, the ledger's anchor (apart from everything that could be restored together with the ledger), and the
# access logs of both.

locals {
  buckets = {
    models = { key = aws_kms_key.this["models"].arn, lock = var.models.object_lock }
    anchor = { key = aws_kms_key.this["anchor"].arn, lock = var.anchor_lock_days > 0 ? { mode = "GOVERNANCE", days = var.anchor_lock_days } : null }
  }
}

resource "aws_s3_bucket" "this" {
  for_each = local.buckets

  #checkov:skip=CKV_AWS_144:Models and anchor stay in their region: where data may lie is the federation's decision, not this module's.
  #checkov:skip=CKV2_AWS_62:Nothing waits for objects to appear; the aggregator knows what it wrote.
  #checkov:skip=CKV_AWS_18:Set below for every bucket; checkov does not follow for_each over a map of buckets. tests/data.tftest.hcl does.
  #checkov:skip=CKV_AWS_21:The same.
  #checkov:skip=CKV_AWS_145:The same.
  #checkov:skip=CKV2_AWS_6:The same.
  #checkov:skip=CKV2_AWS_61:The same.
  bucket              = "${var.name}-${each.key}-${local.account}"
  object_lock_enabled = each.value.lock != null
  force_destroy       = var.force_destroy

  tags = { purpose = each.key }
}

resource "aws_s3_bucket" "access" {
  #checkov:skip=CKV_AWS_18:This is the bucket of access logs; logging its own accesses would never end.
  #checkov:skip=CKV_AWS_21:Access logs are written once, and expire.
  #checkov:skip=CKV_AWS_144:Access logs stay in their region.
  #checkov:skip=CKV_AWS_145:S3 delivers access logs only to buckets with SSE-S3.
  #checkov:skip=CKV2_AWS_62:Nothing waits for access logs.
  bucket        = "${var.name}-access-${local.account}"
  force_destroy = var.force_destroy

  tags = { purpose = "access-logs" }
}

locals {
  all_buckets = merge(aws_s3_bucket.this, { access = aws_s3_bucket.access })
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.all_buckets

  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.all_buckets

  bucket = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.all_buckets

  bucket = each.value.id

  rule {
    bucket_key_enabled = each.key != "access"

    apply_server_side_encryption_by_default {
      sse_algorithm     = each.key == "access" ? "AES256" : "aws:kms"
      kms_master_key_id = each.key == "access" ? null : local.buckets[each.key].key
    }
  }
}

resource "aws_s3_bucket_object_lock_configuration" "this" {
  for_each = { for name, bucket in local.buckets : name => bucket.lock if bucket.lock != null }

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    default_retention {
      mode = each.value.mode
      days = each.value.days
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_logging" "this" {
  for_each = aws_s3_bucket.this

  bucket        = each.value.id
  target_bucket = aws_s3_bucket.access.id
  target_prefix = "${each.key}/"

  depends_on = [aws_s3_bucket_policy.access]
}

data "aws_iam_policy_document" "bucket" {
  for_each = local.buckets

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this[each.key].arn, "${aws_s3_bucket.this[each.key].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  # An upload that names another key would put objects there that this key's policy does not guard. (Without the Null test this
  # would also refuse uploads that name no key, which is what the bucket's default is for.)
  statement {
    sid       = "ThisKeyOnly"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this[each.key].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "s3:x-amz-server-side-encryption-aws-kms-key-id"
      values   = ["false"]
    }

    condition {
      test     = "StringNotEquals"
      variable = "s3:x-amz-server-side-encryption-aws-kms-key-id"
      values   = [each.value.key]
    }
  }

  # And an upload that names another algorithm would not be encrypted with a key at all. One that names none gets the default.
  statement {
    sid       = "KmsOnly"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this[each.key].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Null"
      variable = "s3:x-amz-server-side-encryption"
      values   = ["false"]
    }

    condition {
      test     = "StringNotEquals"
      variable = "s3:x-amz-server-side-encryption"
      values   = ["aws:kms"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = aws_s3_bucket.this

  bucket = each.value.id
  policy = data.aws_iam_policy_document.bucket[each.key].json

  depends_on = [aws_s3_bucket_public_access_block.this]
}

data "aws_iam_policy_document" "access" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.access.arn, "${aws_s3_bucket.access.arn}/*"]

    principals {
      type        = "AWS"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  statement {
    sid       = "Delivery"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.access.arn}/*"]

    principals {
      type        = "Service"
      identifiers = ["logging.s3.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [for bucket in aws_s3_bucket.this : bucket.arn]
    }
  }
}

resource "aws_s3_bucket_policy" "access" {
  bucket = aws_s3_bucket.access.id
  policy = data.aws_iam_policy_document.access.json

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.all_buckets

  bucket = each.value.id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = each.key == "models" ? [1] : []

    content {
      id     = "models"
      status = "Enabled"

      filter {}

      transition {
        days          = var.models.infrequent_after_days
        storage_class = "STANDARD_IA"
      }

      noncurrent_version_expiration {
        noncurrent_days = var.models.noncurrent_days
      }
    }
  }

  # Old states of the anchor are proof of nothing any more once the lock on them has ended.
  dynamic "rule" {
    for_each = each.key == "anchor" ? [1] : []

    content {
      id     = "old-anchors"
      status = "Enabled"

      filter {}

      noncurrent_version_expiration {
        noncurrent_days = max(var.anchor_lock_days, 1)
      }
    }
  }

  dynamic "rule" {
    for_each = each.key == "access" ? [1] : []

    content {
      id     = "access-logs"
      status = "Enabled"

      filter {}

      expiration {
        days = 365
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

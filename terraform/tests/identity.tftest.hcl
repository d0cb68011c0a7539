mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name         = "aegis"
  cluster_name = "aegis"
  cluster_arn  = "arn:aws:eks:eu-central-1:111122223333:cluster/aegis"
  bucket_arns  = { models = "arn:aws:s3:::aegis-models", anchor = "arn:aws:s3:::aegis-anchor" }

  key_arns = {
    models                   = "arn:aws:kms:eu-central-1:111122223333:key/models"
    anchor                   = "arn:aws:kms:eu-central-1:111122223333:key/anchor"
    secrets                  = "arn:aws:kms:eu-central-1:111122223333:key/secrets"
    state-aggregator         = "arn:aws:kms:eu-central-1:111122223333:key/state-aggregator"
    state-privacy-accountant = "arn:aws:kms:eu-central-1:111122223333:key/state-privacy-accountant"
  }

  secret_arns    = { gateway-keys = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:aegis/gateway-keys", issuer = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:aegis/issuer" }
  secret_readers = { gateway-keys = [], issuer = ["issuer"] }
}

run "pod_identity" {
  module {
    source = "./modules/identity"
  }

  # The names that the data module's key policies expect, see tests/data.tftest.hcl.
  assert {
    condition = output.role_names == {
      gateway            = "aegis-aegis-gateway"
      aggregator         = "aegis-aegis-aggregator"
      secagg             = "aegis-aegis-secagg"
      privacy-accountant = "aegis-aegis-privacy-accountant"
      issuer             = "aegis-aegis-issuer"
      external-secrets   = "aegis-external-secrets"
    }
    error_message = "Roles have other names than key policies expect."
  }

  assert {
    condition     = { for key, a in aws_eks_pod_identity_association.this : "${a.namespace}/${a.service_account}" => key } == { "aegis/aegis-gateway" = "gateway", "aegis/aegis-aggregator" = "aggregator", "aegis/aegis-secagg" = "secagg", "aegis/aegis-privacy-accountant" = "privacy-accountant", "aegis/aegis-issuer" = "issuer", "external-secrets/external-secrets" = "external-secrets" }
    error_message = "A service account has no role, or another's."
  }

  # Who may reach what: everything that any service may touch, by service.
  assert {
    condition = jsonencode({ for service, document in data.aws_iam_policy_document.service : service => sort(distinct(flatten([for s in coalesce(document.statement, []) : tolist(s.resources)]))) }) == jsonencode({
      gateway            = []
      aggregator         = ["arn:aws:kms:eu-central-1:111122223333:key/models", "arn:aws:kms:eu-central-1:111122223333:key/state-aggregator", "arn:aws:s3:::aegis-models", "arn:aws:s3:::aegis-models/*"]
      secagg             = []
      privacy-accountant = ["arn:aws:kms:eu-central-1:111122223333:key/anchor", "arn:aws:kms:eu-central-1:111122223333:key/state-privacy-accountant", "arn:aws:s3:::aegis-anchor", "arn:aws:s3:::aegis-anchor/*"]
      issuer             = ["arn:aws:kms:eu-central-1:111122223333:key/secrets", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:aegis/issuer"]
    })
    error_message = "A service may reach more, or less, than it needs."
  }

  assert {
    condition     = !contains(flatten([for s in data.aws_iam_policy_document.service["privacy-accountant"].statement : s.actions]), "s3:DeleteObject")
    error_message = "The accountant must not be able to delete the ledger's anchor."
  }

  assert {
    condition = alltrue([
      for account, document in data.aws_iam_policy_document.trust :
      toset([for c in document.statement[0].condition : c.variable]) == toset(["aws:SourceAccount", "aws:SourceArn", "aws:RequestTag/kubernetes-namespace", "aws:RequestTag/kubernetes-service-account"])
    ])
    error_message = "A role could be taken by another cluster or another service account."
  }

  assert {
    condition     = alltrue([for account in output.service_accounts : length(account.annotations) == 0])
    error_message = "Pod Identity needs no annotations."
  }
}

run "irsa" {
  module {
    source = "./modules/identity"
  }

  variables {
    mode        = "irsa"
    oidc_issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/MOCK"
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.this) == 0 && alltrue([for service, account in output.service_accounts : one(keys(account.annotations)) == "eks.amazonaws.com/role-arn"])
    error_message = "IRSA annotates every service account and associates nothing."
  }

  assert {
    condition     = one([for c in data.aws_iam_policy_document.trust["aggregator"].statement[0].condition : c.values if c.variable == "oidc.eks.eu-central-1.amazonaws.com/id/MOCK:sub"]) == tolist(["system:serviceaccount:aegis:aegis-aggregator"])
    error_message = "A role is for one service account."
  }
}

run "emulator" {
  module {
    source = "./modules/identity"
  }

  variables {
    emulator = true
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.this) == 0 && length(aws_iam_role.this) == 6 && one(output.left_out) == "aws_eks_pod_identity_association"
    error_message = "emulator = true leaves out associations and keeps roles."
  }
}

run "refuses_bad_values" {
  command = plan

  module {
    source = "./modules/identity"
  }

  variables {
    mode      = "irsa"
    namespace = "Aegis"
    key_arns  = { models = "arn:aws:kms:eu-central-1:111122223333:key/models" }
  }

  expect_failures = [var.oidc_issuer, var.namespace, var.key_arns]
}

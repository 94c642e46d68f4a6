"""devops/monitoring's README and RUNBOOK: every command on them is run here, or this says why it is not."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
import redis
import yaml

from otel_celery import catalogue
from otel_celery.record.reference import exported_name
from tests.integration.stack import options
from tests.integration.stack.guide_commands import WORKER, Bench, open_bench
from tests.integration.stack.markdown import COMMANDS, GUIDE, LOOKS, RUNBOOK, blocks, queries, spans
from tests.integration.stack.servers import MONITORING, OK, ROOT, repointed, start_prometheus, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.stack.servers import Server

pytestmark = [pytest.mark.xdist_group("guide"), pytest.mark.services]

POOLS = "otel-celery pools up"

NOT_RUN = {
    "pip install 'otel-celery[pools]'": "it installs; nox's session `package` does that, from what was built",
    "pip install 'celery[redis]'": "it installs",
    "npm run celery": "tests/integration/pools/test_package_json.py runs this script",
    POOLS: "tests/integration/pools/test_up.py runs it, on two small pools",
    f"{POOLS} trading": "the same",
    WORKER: "the worker that all the others ask: the fixture starts it by this line",
    "dmesg -T | grep -i 'killed process'": "the kernel's log, which not everybody may read",
    "py-spy dump --pid <main process>": "it looks into another process, which not everybody may do",
    "py-spy dump --pid <child>": "the same",
    "py-spy dump --pid <beat>": "the same",
    "grep -B2 WorkerLostError celery.log": "no child is lost here; in tests/integration/worker/test_ends.py some are",
    "docker unpause <container>": "no container runs here",
    "pgrep -af 'celery.*beat'": "no beat runs here; in tests/integration/beat it does",
    "rabbitmq-diagnostics ping": "the broker here is Redis",
    "rabbitmq-diagnostics alarms": "the same",
    **dict.fromkeys(
        (line for line in LOOKS if line.startswith(("rabbitmqctl", "rabbitmq-plugins"))),
        "the same; tests/integration/queues/test_slip.py runs these on a RabbitMQ",
    ),
    "celery -A proj control shutdown -d trading@localhost -t 10": "it would end the worker that all the others ask",
    "kill -TERM <main process>": "the same; tests/integration/pools/test_up.py has a pool started again",
    "kill -QUIT <main process>": "the same",
    "kill -KILL <main process>": "the same",
    **dict.fromkeys(
        (line for line in LOOKS if line.startswith(("systemctl", "journalctl"))),
        "no systemd runs here; test_runbook.py has the units' names",
    ),
    **dict.fromkeys(
        (line for line in LOOKS if line.startswith("kubectl")), "no cluster; test_runbook.py has the names"
    ),
    "pg_isready -h localhost": "PostgreSQL does not run here; in test_stack.py it does, and the health check asks this",
}
"""Commands that are not run by `test_each_command_does_what_the_guide_says`, and why."""


OTHER_NAMES = {
    *("docker-compose -f ...", "pnpm celery", "otel-celery queues serve", "kill -CONT"),
    *("otel-celery pools", "celery worker", "celery control"),
}
"""What a sentence says of a command that stands in a block beside it."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Start the worker by the guide's own line, and the rest by compose's, scraping often."""
    with open_bench(tmp_path_factory.mktemp("guide") / "worker") as opened:
        yield opened


def is_metrics(out: str, _: Bench) -> bool:
    """Tell whether these are the worker's metrics."""
    return 'celery_worker_up{worker="trading@localhost"} 1.0' in out


def is_discovered(_: str, bench: Bench) -> bool:
    """Prometheus has noticed the file that was written."""
    (first, *_) = json.loads((bench.site.copy / "targets" / "web1.json").read_text())
    assert first == {"targets": [f"web1:{bench.site.ports[9101]}"], "labels": {"pool": "trading"}}
    wait_until(lambda: [t for t in bench.prometheus.targets() if "web1:" in t["scrapeUrl"]], "the file is noticed")
    return True


def is_scraped(_: str, bench: Bench) -> bool:
    """Prometheus reaches the worker, and says so where the guide looks."""
    bench.prometheus.wait_for('up{job="celery", pool="trading", instance=~"127.*"} == 1', "the worker is scraped")
    return '"health":"up"' in bench.run(next(line for line in COMMANDS if "/api/v1/targets" in line))


def is_moved(out: str, bench: Bench) -> bool:
    """Tell whether the message that waited in the misspelt queue waits there no longer."""
    with redis.Redis.from_url(bench.broker) as client:
        return "orders.cancel" in out and client.llen("tradign") == 0


def is_silenced(out: str, bench: Bench) -> bool:
    """Alertmanager has the silence whose number was printed."""
    (silence,) = json.loads(bench.alertmanager.get("/api/v2/silences")[1])
    assert silence["id"] == out.strip()
    return {matcher["value"] for matcher in silence["matchers"]} == {"CeleryWorkerDown", "trading"}


def leads_home(_: str, bench: Bench) -> bool:
    """No link to the runbook is relative any more, and the file is still one of rules."""
    rules = (bench.site.copy / "alerts.yml").read_text().partition("groups:")[2]
    assert "SUCCESS" in bench.run("promtool check rules alerts.yml")
    return "runbook_url: https://git.example.org/" in rules and "runbook_url: devops/" not in rules


def says(*words: str) -> Callable[[str, Bench], bool]:
    """Make a check of some words in the output."""
    return lambda out, _: all(word in out for word in words)


CHECKS: dict[str, Callable[[str, Bench], bool]] = {
    r"docker compose -f docker-compose\.\w+\.yml( --profile [\w-]+)* up -d": says(),
    r"docker compose -f docker-compose\.\w+\.yml (down|ps|restart prometheus|exec grafana .*)": says(),
    r"docker compose -f docker-compose\.\w+\.yml config -q": says(),
    r"docker compose -f docker-compose\.\w+\.yml config --volumes": says("prometheus-data", "grafana-data"),
    r"cp \.env\.example \.env": says(),
    r"otel-celery targets .*": is_discovered,
    r"promtool check .*": says("SUCCESS"),
    r"amtool check-config .*": says("SUCCESS"),
    r"amtool config routes test .* severity=critical": says("pager"),
    r"curl -s http://localhost:9090/api/v1/rules": says("CeleryWorkerDown", "HighTaskFailureRate"),
    r"curl -s http://localhost:9090/api/v1/alerts": says('"status":"success"'),
    r"curl -s 'http://localhost:9090/api/v1/targets\?state=active'": is_scraped,
    r"htpasswd -nBC 10 prometheus": says("prometheus:$2y$10$"),
    r"PROMETHEUS_ENABLED=true PROMETHEUS_PORT=9201 otel-celery check": says("Metrics are served on http://localhost:"),
    r"curl http://localhost:9101/metrics": is_metrics,
    r"curl (-s )?http://localhost:9101/-/ready": says("ready"),
    r"otel-celery pools status trading": says("trading", "up"),
    r"sed -i 's/localhost:9101/localhost:9201/' prometheus\.yml": says(),
    r"sed -i 's\|runbook_url: .*' alerts\.yml": leads_home,
    r"sed -i '/region/!s/, team.* alertmanager\.yml": says(),  # test_inhibition reads what it makes
    # The runbook's.
    r"otel-celery pools status": says("trading", "up", "general", "down"),
    r"curl -s http://localhost:9101/metrics \| grep .*": is_metrics,
    r"curl -i http://localhost:9101/-/healthy": says("200 OK"),
    r"curl -s http://localhost:9121/metrics \| grep redis_up": says("redis_up 1"),
    r"curl -s http://localhost:9187/metrics \| grep pg_up": says("pg_up 0"),
    r"amtool silence add .*": is_silenced,
    r"pgrep -af 'celery\.\*worker'": says("trading@localhost"),
    r"pgrep -af 'otel-celery queues'": says("queues serve"),
    r"curl -s http://localhost:9106/-/ready": says("ready"),
    r"grep -A\d+ 'Task orders.place.*": says("TypeError"),
    r"grep -A\d+ otel_celery celery\.log": says(),
    r"celery -A proj inspect active(_queues)? .*": says("trading@localhost: OK"),
    r"celery -A proj control (terminate KILL|revoke|pool_grow|pool_shrink|(cancel|add)_consumer) .*": says(
        "trading@localhost: OK"
    ),
    r"ps -ww -o pid,stat,.*": says("-A proj"),
    r"kill -CONT .*": says(),
    r"grep TracerPid .*": says("TracerPid"),
    r"celery -A proj call reports\.nightly": says("-"),
    r'redis-cli -u "\$CELERY_BROKER_URL" ping': says("PONG"),
    r'redis-cli -u "\$CELERY_BROKER_URL" lmove .*': is_moved,
}
"""What each command is, and what is so once it has run; Compose reads what would start containers."""

STATUS = {"otel-celery pools status": 1}
"""What says by its status that something is down: here the other four pools are."""


@pytest.mark.parametrize("command", [line for line in (*COMMANDS, *LOOKS) if line not in NOT_RUN])
def test_each_command_does_what_the_guide_says(bench: Bench, command: str) -> None:
    """Each command exits with 0, and what it promises is so; one that nobody has thought of here fails."""
    (check,) = [check for pattern, check in CHECKS.items() if re.fullmatch(pattern, command)]
    assert check(bench.run(command, STATUS.get(command, 0)), bench)


def test_what_is_not_run_is_still_there() -> None:
    """The list of commands that are not run names none that the pages have lost."""
    assert set(NOT_RUN) <= {*COMMANDS, *LOOKS}


@pytest.mark.parametrize("page", [GUIDE, RUNBOOK], ids=["README", "RUNBOOK"])
def test_no_command_hides_in_a_sentence(page: str) -> None:
    """What begins with a program that is run somewhere is run itself: it stands in a block, where the tests find it."""
    lines = [*COMMANDS, *LOOKS]
    programs = {line.split()[0] for line in lines} | {"docker-compose", "journalctl", "kubectl", "pnpm"}
    hidden = [span for span in spans(page) if span.split()[0] in programs and len(span.split()) > 1]
    assert set(hidden) <= {*lines, *OTHER_NAMES}


@pytest.mark.parametrize("expression", queries(GUIDE))
def test_each_query_answers(bench: Bench, expression: str) -> None:
    """Each query of the guide has data, while the pool works."""

    def answered() -> list[dict[str, Any]]:
        bench.work()
        return bench.prometheus.query(expression)

    assert wait_until(answered, f"{expression} has data")


def test_the_worker_says_the_documented_line(bench: Bench) -> None:
    """The line that operators look for is the worker's own, but for the port."""
    (line,) = blocks("text", GUIDE)
    assert line.strip().replace("9101", str(bench.site.ports[9101])) in bench.fleet.said()


def test_the_configuration_is_what_the_guide_shows() -> None:
    """Each YAML block is in prometheus.yml, or is what it becomes with the option that the guide names."""
    text = (MONITORING / "prometheus.yml").read_text()
    shown, _, remote = (yaml.safe_load(block) for block in blocks("yaml", GUIDE))
    plain = yaml.safe_load(text)
    assert set(shown["rule_files"]) <= set(plain["rule_files"])
    assert shown["alerting"] == plain["alerting"]
    assert remote["remote_write"] == yaml.safe_load(options.switched_on(text, "long-term storage"))["remote_write"]


def test_two_prometheus_send_one_alert(bench: Bench, tmp_path: Path) -> None:
    """With the guide's block for high availability two Prometheus raise an alert that Alertmanager takes for one."""
    (block,) = [block for block in blocks("yaml", GUIDE) if "replica" in block]
    text = "groups: [{name: g, rules: [{alert: Always, expr: vector(1), labels: {pool: trading}}]}]"
    (tmp_path / "alerts.yml").write_text(text)
    with ExitStack() as stack:
        servers = []
        for replica in "ab":
            shown = repointed(block.replace("replica: a", f"replica: {replica}"), bench.site.ports)
            configuration = {**yaml.safe_load(shown), "rule_files": [str(tmp_path / "alerts.yml")]}
            configuration["global"]["evaluation_interval"] = "1s"
            directory = tmp_path / replica
            directory.mkdir()
            # What fires before Alertmanager is discovered goes to nobody, and is sent again after a minute.
            again = ("--rules.alert.resend-delay=1s",)
            started = start_prometheus(yaml.safe_dump(configuration), directory, arguments=again)
            servers.append(stack.enter_context(started))
        wait_until(lambda: all(map(has_sent, servers)), "both have sent their alert")
        status, body = bench.alertmanager.get("/api/v2/alerts", filter='alertname="Always"')
        assert status == OK, body
        assert [alert["labels"] for alert in json.loads(body)] == [{"alertname": "Always", "pool": "trading"}]


def has_sent(prometheus: Server) -> bool:
    """Tell whether a Prometheus has sent an alert on."""
    page = prometheus.get("/metrics")[1]
    return re.search(r"^prometheus_notifications_sent_total{.*} [1-9]", page, re.MULTILINE) is not None


def test_the_table_of_metrics_is_true() -> None:
    """The metrics that the guide calls documented are the catalogue's documented ones."""
    named = re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)
    assert sorted(named) == sorted(exported_name(metric) for metric in catalogue.METRICS if metric.documented)


def test_the_list_of_panels_is_the_dashboards() -> None:
    """The eight documented panels come first in the dashboard, in the guide's order."""
    board = json.loads((MONITORING / "grafana_dashboards.json").read_text())
    titles = [panel["title"] for panel in board["panels"] if panel["type"] != "row"]
    listed = re.findall(r"^\d\. \*\*([^*]+)\*\*", GUIDE[: GUIDE.index("### Importing")], re.MULTILINE)
    assert len(listed) == 8
    assert titles[:8] == listed


def test_a_port_can_be_changed_as_the_guide_says() -> None:
    """The string of the guide, put in place of its port's, leaves a package.json that has it."""
    (changed,) = (json.loads(block) for block in blocks("json", GUIDE))
    text = (ROOT / "package.json").read_text()
    assert json.loads(text.replace("PROMETHEUS_PORT=9101", changed))["config"]["trading"] == changed


def test_what_the_guide_points_to_is_there() -> None:
    """Each link within the repository, and each file that the guide's table names, exists."""
    links = [link.partition("#")[0] for link in re.findall(r"\]\((?!http)([^)]+)\)", GUIDE)]
    table = GUIDE[GUIDE.index("| file | what |") : GUIDE.index("Elsewhere:")]
    for path in {*filter(None, links), *re.findall(r"`([\w./-]+)`", table)}:
        assert (MONITORING / path).exists(), path

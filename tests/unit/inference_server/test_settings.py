from pathlib import Path

import pytest

from edgemodel import serving
from inference_server.settings import parse


def test_without_anything_the_defaults_are_those_of_a_pod() -> None:
    settings = parse([], {})
    assert settings.port == 8080
    assert settings.models == (Path("/model"),)
    assert settings.termination_log == Path("/dev/termination-log")
    assert settings.max_body_bytes == 64 * 1024 * 1024
    assert settings.latency_objective_seconds is None
    assert settings.warm_up_seconds == 60


def test_the_environment_of_the_operator_is_read() -> None:
    environment = {
        serving.NAMESPACE: "factory",
        serving.MODEL: "anomaly",
        serving.REVISION: "anomaly-0123456789",
        serving.VARIANT: "arm",
        serving.NODE: "node-1",
        serving.PORT: "9000",
        serving.MODEL_DIRECTORY: "/elsewhere",
        serving.LATENCY_OBJECTIVE_MILLISECONDS: "12.5",
        serving.WARM_UP_SECONDS: "300",
    }
    settings = parse([], environment)
    assert (settings.namespace, settings.model, settings.revision) == ("factory", "anomaly", "anomaly-0123456789")
    assert (settings.variant, settings.node, settings.port) == ("arm", "node-1", 9000)
    assert settings.models == (Path("/elsewhere"),)
    assert (settings.latency_objective_seconds, settings.warm_up_seconds) == (0.0125, 300)


def test_a_flag_wins_over_its_variable_and_an_empty_variable_is_unset() -> None:
    assert parse(["--port", "1"], {serving.PORT: "2"}).port == 1
    assert parse([], {serving.PORT: ""}).port == 8080


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--port", "70000"], {}, "argument --port: '70000' is not an integer from 0 to 65535"),
        ([], {serving.PORT: "http"}, "argument --port: 'http' is not an integer from 0 to 65535"),
        (["--concurrency", "0"], {}, "argument --concurrency: '0' is not an integer from 1 to 1024"),
        ([], {serving.LATENCY_OBJECTIVE_MILLISECONDS: "-3"}, "'-3' is not a number of milliseconds above 0"),
        ([], {serving.LATENCY_OBJECTIVE_MILLISECONDS: "nan"}, "'nan' is not a number of milliseconds above 0"),
        (["--warm-up-seconds", "1.5"], {}, "argument --warm-up-seconds: '1.5' is not an integer from 0 to 3600"),
        (["--memory-arena", "grow"], {}, "argument --memory-arena: 'grow' is none of Shrink, Keep, Off"),
        (
            [],
            {serving.TUNING["maxBatchItems"]: "0"},
            "argument --max-batch-items: '0' is not an integer from 1 to 4096",
        ),
        (["--speed", "9"], {}, "unrecognized arguments: --speed"),
    ],
)
def test_a_wrong_value_ends_with_a_message(
    arguments: list[str], environment: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(arguments, environment)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_help_names_the_variables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"], {})
    told = "".join(capsys.readouterr().out.split())
    assert serving.LATENCY_OBJECTIVE_MILLISECONDS in told
    assert "(default:8080)" in told
    assert "default:None" not in told

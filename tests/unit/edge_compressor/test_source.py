"""The fetching of sources, from a real HTTP server and a real registry."""

import base64
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.download import Downloader, shown
from edge_compressor.sources.fetcher import Fetched, Fetcher, Use
from edge_oci.artifacts import push_artifact
from edge_oci.client import Registries
from edge_oci.credentials import Login, StaticLogin
from edge_oci.references import parse_reference
from edge_oci.transport import Patience
from edgemodel import reasons
from edgemodel.compression_request import Source
from edgemodel.digest import digest_of
from edgemodel.errors import EdgeModelError, LargeSource, Stalled, Transient
from tests.support.registry import RegistryProgram
from tests.unit.edge_compressor.servers import Exchange, FileServer

DATA = bytes(range(256)) * 4000
"""The data, about 1 MB."""

Fetch = Callable[..., Fetched]


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def fetch(tmp_path: Path, quiet: Progress, pauses: list[float]) -> Fetch:
    def run(uri: str, digest: str | None = None, *, use: Use = "source", **settings: Any) -> Fetched:
        impatient = Patience(tries=2, sleep=pauses.append)
        access = RegistryAccess(
            secrets=tmp_path / "secrets",
            plain_http_hosts=settings.pop("plain_http_hosts", ()),
            patience=impatient,
            own_host=settings.pop("own_host", None),
            token_file=settings.pop("token_file", None),
        )
        fetcher = Fetcher(
            access,
            quiet,
            secrets=tmp_path / "secrets",
            claims=tmp_path / "claims",
            downloader=Downloader(sleep=pauses.append, read_timeout_seconds=5),
            **settings,
        )
        return fetcher.fetch(Source(uri, digest), use, tmp_path / "fetched")

    return run


def refusal(fetch: Fetch, uri: str, digest: str | None = None, **settings: Any) -> EdgeModelError:
    with pytest.raises(EdgeModelError) as caught:
        fetch(uri, digest, **settings)
    return caught.value


def told(error: EdgeModelError) -> tuple[type[EdgeModelError], str]:
    return type(error), error.reason


def secret(folder: Path, use: str, **keys: str) -> None:
    (folder / "secrets" / use).mkdir(parents=True)
    for name, value in keys.items():
        (folder / "secrets" / use / name).write_text(value)


# --- HTTP ---


def test_bytes_arrive_as_they_were_named(fetch: Fetch, web: FileServer) -> None:
    fetched = fetch(web.serve("/m.onnx", DATA), digest_of(DATA))
    assert fetched.path.read_bytes() == DATA
    assert fetched.digest == digest_of(DATA)


def test_other_bytes_than_named_are_refused_with_both_digests_and_not_kept(
    fetch: Fetch, web: FileServer, tmp_path: Path
) -> None:
    error = refusal(fetch, web.serve("/m.onnx", DATA), digest_of(b"other"))
    assert told(error) == (Stalled, reasons.DIGEST_MISMATCH)
    assert digest_of(b"other") in error.message
    assert digest_of(DATA) in error.message
    assert not (tmp_path / "fetched").exists()


def test_a_broken_download_is_resumed(fetch: Fetch, web: FileServer, pauses: list[float]) -> None:
    url = web.serve("/m.onnx", DATA, cut_after=300_000)
    assert fetch(url, digest_of(DATA)).path.read_bytes() == DATA
    assert [headers.get("Range") for _, headers in web.requests] == [None, "bytes=300000-"]
    assert len(pauses) == 1


def test_a_file_that_changed_during_the_download_is_loaded_again_not_mixed(fetch: Fetch, web: FileServer) -> None:
    newer = DATA[::-1]

    def change_then_serve(exchange: Exchange) -> None:
        if exchange.headers.get("Range"):
            exchange.answer(200, newer, ETag='"two"')
        else:
            exchange.answer(200, DATA[:1000], Content_Length=str(len(DATA)), ETag='"one"')
            exchange.close_connection = True

    web.routes["/m.onnx"] = change_then_serve
    assert fetch(web.url("/m.onnx"), digest_of(newer)).path.read_bytes() == newer
    assert web.requests[1][1]["If-Range"] == '"one"'


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (404, Stalled, reasons.SOURCE_NOT_FOUND),
        (410, Stalled, reasons.SOURCE_NOT_FOUND),
        (401, Stalled, reasons.SOURCE_UNAUTHORIZED),
        (403, Stalled, reasons.SOURCE_UNAUTHORIZED),
        (429, Transient, reasons.SOURCE_UNREACHABLE),
        (503, Transient, reasons.SOURCE_UNREACHABLE),
    ],
)
def test_each_refusal_of_a_server_has_its_reason(
    fetch: Fetch, web: FileServer, status: int, kind: type[EdgeModelError], reason: str
) -> None:
    web.routes["/m.onnx"] = lambda exchange: exchange.answer(status)
    error = refusal(fetch, web.url("/m.onnx"), digest_of(DATA), use="evaluation")
    assert told(error) == (kind, reason)
    assert error.message.startswith("evaluation set: ")
    assert str(status) in error.message


def test_a_server_that_is_not_there_is_transient_after_a_few_tries(fetch: Fetch, pauses: list[float]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = refusal(fetch, f"http://127.0.0.1:{unused.getsockname()[1]}/m.onnx", digest_of(DATA))
    assert told(error) == (Transient, reasons.SOURCE_UNREACHABLE)
    assert pauses == [1.0, 2.0, 4.0]


def test_a_server_that_hangs_up_for_ever_is_transient(fetch: Fetch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            for _ in range(4):
                connection, _ = server.accept()
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = refusal(fetch, f"http://127.0.0.1:{server.getsockname()[1]}/m.onnx", digest_of(DATA))
        thread.join()
    assert told(error) == (Transient, reasons.SOURCE_UNREACHABLE)


def test_the_keys_of_a_secret_are_sent_and_wrong_ones_reported(fetch: Fetch, web: FileServer, tmp_path: Path) -> None:
    secret(tmp_path, "source", username="ann", password="right\n")

    def guarded(exchange: Exchange) -> None:
        right = "Basic " + base64.b64encode(b"ann:right").decode()
        exchange.answer(*((200, DATA) if exchange.headers.get("Authorization") == right else (401,)))

    web.routes["/m.onnx"] = guarded
    assert fetch(web.url("/m.onnx"), digest_of(DATA)).digest == digest_of(DATA)
    assert "it needs a secretRef" in refusal(fetch, web.url("/m.onnx"), digest_of(DATA), use="evaluation").message
    (tmp_path / "secrets" / "source" / "password").write_text("wrong")
    assert "these credentials are refused" in refusal(fetch, web.url("/m.onnx"), digest_of(DATA)).message


def test_a_token_is_sent_as_bearer(fetch: Fetch, web: FileServer, tmp_path: Path) -> None:
    secret(tmp_path, "source", token="abc")
    fetch(web.serve("/m.onnx", DATA), digest_of(DATA))
    assert web.requests[0][1]["Authorization"] == "Bearer abc"


def test_half_a_pair_of_credentials_is_refused(fetch: Fetch, web: FileServer, tmp_path: Path) -> None:
    secret(tmp_path, "source", username="ann")
    error = refusal(fetch, web.serve("/m.onnx", DATA), digest_of(DATA))
    assert told(error) == (Stalled, reasons.SOURCE_UNAUTHORIZED)
    assert "no key 'password'" in error.message


def redirect(web: FileServer, path: str, to: str) -> str:
    web.routes[path] = lambda exchange: exchange.answer(302, Location=to)
    return web.url(path)


def test_a_redirect_to_another_host_is_followed_without_the_credentials(
    fetch: Fetch, web: FileServer, tmp_path: Path
) -> None:
    secret(tmp_path, "source", token="abc")
    target = web.serve("/there", DATA).replace("127.0.0.1", "localhost")
    fetch(redirect(web, "/here", target), digest_of(DATA))
    assert [headers.get("Authorization") for _, headers in web.requests] == ["Bearer abc", None]


def test_a_redirect_to_a_host_that_is_not_allowed_is_refused(fetch: Fetch, web: FileServer) -> None:
    target = web.serve("/there", DATA).replace("127.0.0.1", "localhost")
    error = refusal(fetch, redirect(web, "/here", target), digest_of(DATA), allowed_hosts=("127.0.0.1",))
    assert told(error) == (Stalled, reasons.SOURCE_NOT_ALLOWED)
    assert "localhost" in error.message
    assert len(web.requests) == 1


def test_redirects_in_a_circle_end(fetch: Fetch, web: FileServer) -> None:
    error = refusal(fetch, redirect(web, "/here", web.url("/here")), digest_of(DATA))
    assert told(error) == (Stalled, reasons.SOURCE_NOT_ALLOWED)


def test_a_redirect_to_a_local_file_is_refused(fetch: Fetch, web: FileServer) -> None:
    error = refusal(fetch, redirect(web, "/here", "file:///etc/passwd"), digest_of(DATA))
    assert told(error) == (Stalled, reasons.SOURCE_NOT_ALLOWED)


def test_plain_http_without_a_digest_is_refused_without_a_request(fetch: Fetch, web: FileServer) -> None:
    error = refusal(fetch, web.serve("/m.onnx", DATA))
    assert told(error) == (Stalled, reasons.SOURCE_NOT_ALLOWED)
    assert web.requests == []


@pytest.mark.parametrize(
    ("allowed", "url", "permitted"),
    [
        ((), "https://models.example/m", True),
        (("models.example",), "https://models.example:8443/m", True),
        (("models.example:8443",), "https://models.example/m", False),
        (("*.example",), "https://models.example/m", True),
        (("*.example",), "https://example/m", False),
        (("*.example",), "https://badexample/m", False),
        (("models.example",), "https://models.example.evil.org/m", False),
        (("MODELS.example",), "https://models.EXAMPLE/m", True),
    ],
)
def test_hosts_are_allowed_by_name_by_port_or_below_a_domain(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, allowed: tuple[str, ...], url: str, permitted: bool
) -> None:
    asked: list[str] = []

    def load(self: Downloader, request: Any, path: Path, progress: Any) -> None:
        asked.append(request.url)
        path.write_bytes(DATA)

    monkeypatch.setattr(Downloader, "load", load)
    if permitted:
        fetch(url, allowed_hosts=allowed)
    else:
        assert told(refusal(fetch, url, allowed_hosts=allowed)) == (Stalled, reasons.SOURCE_NOT_ALLOWED)
    assert bool(asked) == permitted


def test_more_bytes_than_the_limit_are_refused_announced_or_not(
    fetch: Fetch, web: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_compressor.sources.fetcher.MAX_MODEL_BYTES", 1000)
    error = refusal(fetch, web.serve("/m.onnx", DATA), digest_of(DATA))
    assert told(error) == (Stalled, reasons.SOURCE_INVALID)

    def unannounced(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Connection", "close")
        exchange.end_headers()
        exchange.wfile.write(DATA[:2000])
        exchange.close_connection = True

    web.routes["/endless"] = unannounced
    assert "limit" in refusal(fetch, web.url("/endless"), digest_of(DATA)).message


@pytest.mark.parametrize("uri", ["ftp://host/m", "file:///etc/passwd", "/etc/passwd", "https://ann:pw@host/m"])
def test_other_schemes_paths_and_credentials_in_the_uri_are_refused(fetch: Fetch, uri: str) -> None:
    error = refusal(fetch, uri)
    assert told(error) == (Stalled, reasons.SOURCE_NOT_ALLOWED)


def test_a_host_without_an_address_is_not_found(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = refusal(fetch, "https://models.nowhere.example/m")
    assert told(error) == (Stalled, reasons.SOURCE_NOT_FOUND)


def test_a_resolver_that_is_down_is_transient(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", down)
    error = refusal(fetch, "https://models.example/m")
    assert told(error) == (Transient, reasons.SOURCE_UNREACHABLE)


def test_signatures_and_passwords_do_not_get_into_logs() -> None:
    assert shown("https://ann:pw@host:8443/a/b?X-Signature=abc#x") == "https://host:8443/a/b"


# --- volumes and local paths ---


def test_a_file_of_a_claim_is_copied(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "claims" / "models" / "a").mkdir(parents=True)
    (tmp_path / "claims" / "models" / "a" / "m.onnx").write_bytes(DATA)
    fetched = fetch("pvc://models/a/m.onnx", digest_of(DATA))
    assert (fetched.path, fetched.uri) == (tmp_path / "fetched", "pvc://models/a/m.onnx")


@pytest.mark.parametrize("path", ["../other/m.onnx", "a/../../other/m.onnx", "link/m.onnx", "absolute"])
def test_no_path_or_link_leads_out_of_a_claim(fetch: Fetch, tmp_path: Path, path: str) -> None:
    for claim in ("models", "other"):
        (tmp_path / "claims" / claim).mkdir(parents=True)
    (tmp_path / "claims" / "other" / "m.onnx").write_bytes(DATA)
    (tmp_path / "claims" / "models" / "link").symlink_to("../other")
    (tmp_path / "claims" / "models" / "absolute").symlink_to(tmp_path / "claims" / "other" / "m.onnx")
    error = refusal(fetch, f"pvc://models/{path}")
    assert told(error) == (Stalled, reasons.SOURCE_NOT_ALLOWED)
    assert "leaves the volume" in error.message


@pytest.mark.parametrize("uri", ["pvc://models", "pvc://models/", "pvc:///m.onnx", "pvc://../m.onnx", "pvc://A B/m"])
def test_invalid_claims_and_paths_are_refused(fetch: Fetch, uri: str) -> None:
    assert told(refusal(fetch, uri)) == (Stalled, reasons.SOURCE_NOT_ALLOWED)


@pytest.mark.parametrize("path", ["gone.onnx", "folder"])
def test_a_claim_without_that_file_is_reported(fetch: Fetch, tmp_path: Path, path: str) -> None:
    (tmp_path / "claims" / "models" / "folder").mkdir(parents=True)
    assert told(refusal(fetch, f"pvc://models/{path}")) == (Stalled, reasons.SOURCE_NOT_FOUND)


def test_a_local_path_is_for_the_command_line_only(fetch: Fetch, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(DATA)
    assert fetch(str(tmp_path / "m.onnx"), local_paths=True).digest == digest_of(DATA)
    assert told(refusal(fetch, str(tmp_path / "m.onnx"))) == (Stalled, reasons.SOURCE_NOT_ALLOWED)


# --- registries ---


def pushed(registry: RegistryProgram, folder: Path, repository: str, **files: bytes) -> str:
    registries = Registries(
        plain_http_hosts=(registry.host,),
        credentials=StaticLogin(frozenset({registry.host}), Login("ann", "secret")),
    )
    reference = parse_reference(f"{registry.host}/{repository}")
    paths = {}
    for name, data in files.items():
        paths[name] = folder / name
        paths[name].write_bytes(data)
    target = registries.repository(reference)
    return push_artifact(target, paths, artifact_type="application/vnd.edgemodel.model.v1", tag="v1").digest


def test_the_one_file_of_an_artifact_is_pulled_and_named_by_its_manifest(
    fetch: Fetch, registry: RegistryProgram, tmp_path: Path
) -> None:
    digest = pushed(registry, tmp_path, "one/model", model=DATA)
    fetched = fetch(f"oci://{registry.host}/one/model:v1", plain_http_hosts=(registry.host,))
    assert fetched.path.read_bytes() == DATA
    assert (fetched.digest, fetched.uri) == (digest, f"oci://{registry.host}/one/model@{digest}")


def test_an_artifact_of_two_files_is_refused(fetch: Fetch, registry: RegistryProgram, tmp_path: Path) -> None:
    pushed(registry, tmp_path, "two/files", a=b"1", b=b"2")
    error = refusal(fetch, f"oci://{registry.host}/two/files:v1", plain_http_hosts=(registry.host,), use="evaluation")
    assert told(error) == (Stalled, reasons.DATASET_INVALID)


def test_a_missing_artifact_is_not_found(fetch: Fetch, registry: RegistryProgram) -> None:
    error = refusal(fetch, f"oci://{registry.host}/nobody/nothing:v1", plain_http_hosts=(registry.host,))
    assert told(error) == (Stalled, reasons.SOURCE_NOT_FOUND)


def test_a_registry_wants_its_credentials(fetch: Fetch, locked_registry: RegistryProgram, tmp_path: Path) -> None:
    host = locked_registry.host
    pushed(locked_registry, tmp_path, "team/model", model=DATA)
    uri = f"oci://{host}/team/model:v1"
    error = refusal(fetch, uri, plain_http_hosts=(host,))
    assert told(error) == (Stalled, reasons.SOURCE_UNAUTHORIZED)
    config = '{"auths": {"%s": {"username": "ann", "password": "%s"}}}'
    secret(tmp_path, "source", **{".dockerconfigjson": config % (host, "wrong")})
    assert told(refusal(fetch, uri, plain_http_hosts=(host,))) == (Stalled, reasons.SOURCE_UNAUTHORIZED)
    (tmp_path / "secrets" / "source" / ".dockerconfigjson").write_text(config % (host, "secret"))
    assert fetch(uri, plain_http_hosts=(host,)).path.read_bytes() == DATA


def test_a_registry_that_is_down_is_transient(fetch: Fetch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{unused.getsockname()[1]}"
        error = refusal(fetch, f"oci://{host}/team/model:v1", plain_http_hosts=(host,))
    assert told(error) == (Transient, reasons.SOURCE_UNREACHABLE)


def test_the_allow_list_holds_for_registries_but_not_for_the_operators_own(
    fetch: Fetch, registry: RegistryProgram, tmp_path: Path
) -> None:
    pushed(registry, tmp_path, "own/model", model=DATA)
    uri, plain = f"oci://{registry.host}/own/model:v1", (registry.host,)
    error = refusal(fetch, uri, plain_http_hosts=plain, allowed_hosts=("registry.example",))
    assert told(error) == (Stalled, reasons.SOURCE_NOT_ALLOWED)
    fetch(uri, plain_http_hosts=plain, allowed_hosts=("registry.example",), own_host=registry.host)


def test_invalid_references_are_reported(fetch: Fetch) -> None:
    assert told(refusal(fetch, "oci://model")) == (Stalled, reasons.SOURCE_NOT_FOUND)


# --- sources that the Job's memory and disk are not for ---


def test_an_artifact_that_is_too_large_for_the_job_is_not_fetched(
    fetch: Fetch, registry: RegistryProgram, tmp_path: Path
) -> None:
    pushed(registry, tmp_path, "large/model", model=DATA)
    where = {"uri": f"oci://{registry.host}/large/model:v1", "plain_http_hosts": (registry.host,)}
    with pytest.raises(LargeSource, match="the memory and disk of the Job are for 999 bytes") as info:
        fetch(**where, source_limit_bytes=999)
    assert (info.value.reason, info.value.size_bytes) == (reasons.INSUFFICIENT_MEMORY, len(DATA))
    assert not (tmp_path / "fetched").exists()
    assert fetch(**where, source_limit_bytes=len(DATA)).path.read_bytes() == DATA


def test_a_download_that_is_too_large_for_the_job_is_refused_before_it_is_written(
    fetch: Fetch, web: FileServer, tmp_path: Path
) -> None:
    url, digest = web.serve("/model.tar", DATA), digest_of(DATA)
    with pytest.raises(LargeSource, match="the memory and disk of the Job are for 999 bytes") as info:
        fetch(url, digest, source_limit_bytes=999)
    assert (info.value.reason, info.value.size_bytes) == (reasons.INSUFFICIENT_MEMORY, len(DATA))
    assert not (tmp_path / "fetched").exists()
    assert fetch(url, digest, source_limit_bytes=len(DATA)).path.read_bytes() == DATA


def test_a_download_without_a_size_ends_where_the_job_has_no_more_room(
    fetch: Fetch, web: FileServer, tmp_path: Path
) -> None:
    def without_length(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Connection", "close")
        exchange.end_headers()
        exchange.wfile.write(DATA)
        exchange.close_connection = True

    web.routes["/model.tar"] = without_length
    error = refusal(fetch, web.url("/model.tar"), digest_of(DATA), source_limit_bytes=999)
    assert told(error) == (Stalled, reasons.INSUFFICIENT_MEMORY)
    assert "more than 999 bytes" in error.message
    assert "Content-Length" in error.message
    assert not (tmp_path / "fetched").exists()
    assert fetch(web.url("/model.tar"), digest_of(DATA), source_limit_bytes=len(DATA)).path.read_bytes() == DATA


@pytest.mark.parametrize(("uri", "size"), [("pvc://models/large", 1200), ("pvc://models/large/a", 600)])
def test_a_source_on_a_volume_that_is_too_large_for_the_job_is_not_copied(
    quiet: Progress, tmp_path: Path, uri: str, size: int
) -> None:
    place = tmp_path / "claims" / "models" / "large"
    place.mkdir(parents=True)
    for name in ("a", "b"):
        (place / name).write_bytes(bytes(600))

    def take(limit: int) -> Fetched:
        fetcher = Fetcher(RegistryAccess(), quiet, claims=tmp_path / "claims", source_limit_bytes=limit)
        return fetcher.fetch(Source(uri), "source", tmp_path / "to", folder=True)

    with pytest.raises(LargeSource) as info:
        take(size - 1)
    assert info.value.size_bytes == size
    assert not (tmp_path / "to").exists()
    assert take(size).path.exists()

"""A real server on this machine: what it answers to photos, and to whom it doesn't."""

import http.client
import io
import json
import threading
from contextlib import closing

import numpy as np
import pytest
import uvicorn
from PIL import Image
from typer.testing import CliRunner

from kerascnn.app import server
from kerascnn.app.eye import PIXELS, Eye
from kerascnn.cli import app
from kerascnn.commands import app as command
from kerascnn.errors import ArgumentError


class Client:
    """Asks a server of this machine."""

    def __init__(self, port):
        self.port = port

    def ask(self, path="/", body=None, **headers):
        """The status, the headers, and the body."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as line:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            line.request("GET" if body is None else "POST", path, body, named)
            answer = line.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def look(self, body, **headers):
        status, _, found = self.ask("/look", body, **headers)
        return status, json.loads(found)


@pytest.fixture(scope="module")
def client(striped_run):
    """A client of a server that looks with the run's eye."""
    with closing(server.listening(0)) as door:
        found = uvicorn.Server(
            uvicorn.Config(server.application(Eye(striped_run)), log_level="warning")
        )
        thread = threading.Thread(target=found.run, kwargs={"sockets": [door]})
        thread.start()
        yield Client(door.getsockname()[1])
        found.should_exit = True
        thread.join()


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


@pytest.fixture(scope="module")
def photo(photos):
    return (photos / "across" / "003.png").read_bytes()


def test_the_page_is_of_this_server_alone(client):
    status, headers, page = client.ask()
    assert status == 200
    assert b"<title>lenet5 on folder:" in page
    assert b"http" not in page
    assert "default-src 'none'" in headers["content-security-policy"]
    for name, kind in server.KINDS.items():
        status, headers, content = client.ask(f"/{name}")
        assert (status, headers["content-type"].partition(";")[0]) == (200, kind)
        assert b"http" not in content
    assert client.ask("/config.json")[0] == 404


def test_a_photo_gets_the_probabilities_of_the_run_and_a_heat_map(client, photo, striped_run):
    status, found = client.look(photo)
    assert status == 200
    pixels = np.asarray(Image.open(io.BytesIO(photo)))[None, ..., None]
    expected = striped_run.predict(pixels)[0]
    shares = {one["name"]: one["share"] for one in found["classes"]}
    for name, probability in zip(striped_run.config.class_names, expected):
        assert shares[name] == pytest.approx(probability, abs=1e-5)
    assert found["classes"][0]["name"] == "across"
    assert [one["title"] for one in found["pictures"]] == ["Why"]
    assert found["pictures"][0]["source"].startswith("data:image/webp;base64,")


def test_what_is_changed_is_said(client):
    found = client.look(png(np.zeros((50, 70, 3), "uint8")))[1]
    assert any("resized" in change for change in found["changes"])


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n cut off"])
def test_a_bad_file_is_one_message(client, content):
    status, found = client.look(content)
    assert status == 400
    assert found["error"].startswith("the photo can't be read as an image")


def test_too_many_pixels_are_refused_before_they_are_unpacked(client):
    side = int(PIXELS**0.5) + 1
    content = io.BytesIO()
    Image.new("1", (side, side)).save(content, "png")
    assert len(content.getvalue()) < 100_000
    status, found = client.look(content.getvalue())
    assert status == 400
    assert "pixels" in found["error"]


def test_too_many_bytes_are_refused(client, monkeypatch):
    monkeypatch.setattr(server, "BYTES", 2**20)
    status, found = client.look(bytes(2**20 + 1))
    assert (status, found["error"]) == (413, "The photo must have at most 1 MiB.")


def test_another_name_of_this_machine_is_refused(client, photo):
    """A stranger's name that is pointed at the loopback address: DNS rebinding."""
    assert client.ask(Host="evil.example")[0] == 400
    assert client.ask("/look", photo, Host=f"evil.example:{client.port}")[0] == 400
    assert client.ask(Host=f"localhost:{client.port}")[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
def test_another_page_in_the_same_browser_is_refused(client, photo, headers):
    status, found = client.look(photo, **headers)
    assert (status, found["error"]) == (403, "Photos are taken from this page alone.")


def test_its_own_page_is_not_refused(client, photo):
    own = f"http://127.0.0.1:{client.port}"
    assert client.look(photo, Origin=own, Sec_Fetch_Site="same-origin")[0] == 200


def test_it_listens_on_the_loopback_address_alone_and_says_what_is_in_use():
    with closing(server.listening(0)) as door:
        address, port = door.getsockname()
        assert address == "127.0.0.1"
        with pytest.raises(ArgumentError, match=f"Port {port} is in use"):
            server.listening(port)


def test_without_its_packages_it_says_how_to_get_them(striped_run, monkeypatch):
    monkeypatch.setattr(command, "NEEDED", ("starlette", "no_such_package"))
    result = CliRunner().invoke(app, ["app", str(striped_run.path)])
    assert isinstance(result.exception, ArgumentError)
    assert 'needs no_such_package: pip install "kerascnn[app]"' in str(result.exception)


@pytest.mark.slow
def test_in_a_real_browser_on_a_phone(client, photo, browser, tmp_path):
    """A photo is chosen, then a bad file; nothing overflows, and nothing is asked of others."""
    (tmp_path / "photo.png").write_bytes(photo)
    (tmp_path / "bad.png").write_bytes(b"no image")
    asked, said = [], []
    tab = browser.new_page(viewport={"width": 390, "height": 800})
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("pageerror", lambda error: said.append(str(error)))
    own = f"http://127.0.0.1:{client.port}/"
    tab.goto(own)
    tab.set_input_files("#file", tmp_path / "photo.png")
    tab.wait_for_selector("#found:not([hidden])", timeout=120_000)
    assert tab.inner_text("#classes li span").strip() == "across"
    pictures = "Promise.all([...document.images].map((one) => one.decode()))"
    tab.evaluate(pictures)  # raises where one is broken
    assert tab.evaluate("document.images.length") == 2
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    tab.set_input_files("#file", tmp_path / "bad.png")
    tab.wait_for_selector("#state.error", timeout=120_000)
    assert "can't be read as an image" in tab.inner_text("#state")
    assert tab.is_hidden("#found")
    assert [url for url in asked if not url.startswith((own, f"blob:{own}", "data:"))] == []
    assert said == []
    tab.close()

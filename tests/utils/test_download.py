"""Downloads against a server on loopback that drops, lies and refuses."""

import errno
import hashlib
import io
import shutil
import socket

import pytest

from tests.loopback import serve
from utils import download as module
from utils.download import ATTEMPTS, RemoteFile, download
from utils.errors import UserError

BODY = bytes(range(256)) * 4000  # about 1 MB


@pytest.fixture
def server():
    with serve({"/a.bin": BODY, "/empty.bin": b"", "/mirror/a.bin": BODY}) as running:
        yield running


def fetch(server, target, *paths, check=None, **facts):
    urls = tuple(f"{server.url}{path}" for path in (paths or ("/a.bin",)))
    return download(RemoteFile(urls, **facts), target, check, timeout=5, pause=0)


def test_an_empty_file(server, tmp_path):
    assert fetch(server, tmp_path / "x", "/empty.bin").read_bytes() == b""


def test_whole_file_into_a_new_folder(server, tmp_path):
    target = fetch(server, tmp_path / "new folder" / "ä.bin", size=len(BODY), sha256=hashlib.sha256(BODY).hexdigest())
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == ["ä.bin"]
    assert server.requests == [("/a.bin", None)]


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(BODY)
    fetch(server, target, size=len(BODY))
    fetch(server, target)
    assert server.requests == []


def test_a_file_of_the_wrong_size_is_replaced(server, tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"short")
    assert fetch(server, target, size=len(BODY)).read_bytes() == BODY


def test_dropped_connections_are_resumed_where_they_broke(server, tmp_path):
    server.drops = [100_000, 300_000, 1, 250_000]
    assert fetch(server, tmp_path / "a.bin").read_bytes() == BODY
    starts = [0 if span is None else int(span[6:-1]) for _, span in server.requests]
    assert starts == [0, 100_000, 400_000, 400_001, 650_001]


def test_a_part_of_an_earlier_run_is_used(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY[:777])
    assert fetch(server, tmp_path / "a.bin").read_bytes() == BODY
    assert server.requests == [("/a.bin", "bytes=777-")]


@pytest.mark.parametrize("size", [None, len(BODY)])
def test_a_part_that_is_already_complete(server, tmp_path, size):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    assert fetch(server, tmp_path / "a.bin", size=size).read_bytes() == BODY


@pytest.mark.parametrize("size", [None, len(BODY)])
def test_a_part_longer_than_the_file_is_thrown_away(server, tmp_path, size):
    (tmp_path / "a.bin.part").write_bytes(BODY + b"more")
    assert fetch(server, tmp_path / "a.bin", size=size).read_bytes() == BODY


def test_a_server_without_ranges_starts_anew(server, tmp_path):
    server.ranges, server.drops = False, [400_000]
    assert fetch(server, tmp_path / "a.bin").read_bytes() == BODY


def test_a_server_that_always_drops_at_the_same_place_is_given_up(server, tmp_path):
    server.ranges, server.drops = False, [1000] * 50
    with pytest.raises(UserError, match=rf"dropped, {ATTEMPTS} times in a row.*goes on where it stopped"):
        fetch(server, tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()
    assert len(server.requests) == ATTEMPTS + 1  # the first one brought something new


def test_the_second_mirror_takes_over_and_keeps_what_the_first_sent(server, tmp_path):
    server.drops, server.ranges = [5000], True
    server.files["/first.bin"] = BODY
    with pytest.raises(UserError):
        server.drops = [5000] + [0] * ATTEMPTS
        fetch(server, tmp_path / "a.bin", "/first.bin")
    server.requests.clear()
    assert fetch(server, tmp_path / "a.bin", "/missing.bin", "/mirror/a.bin").read_bytes() == BODY
    assert server.requests == [("/missing.bin", "bytes=5000-"), ("/mirror/a.bin", "bytes=5000-")]


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_not_repeated(server, tmp_path, status):
    server.status = {"/a.bin": status}
    with pytest.raises(UserError, match=rf"a\.bin: could not be downloaded .*answers {status}"):
        fetch(server, tmp_path / "a.bin")
    assert len(server.requests) == 1


def test_an_overloaded_server_is_asked_again(server, tmp_path):
    server.status = {"/a.bin": 503}
    with pytest.raises(UserError, match=f"answers 503, {ATTEMPTS} times in a row"):
        fetch(server, tmp_path / "a.bin")
    assert len(server.requests) == ATTEMPTS


def test_a_web_page_is_not_the_file(server, tmp_path):
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(UserError, match="web page"):
        fetch(server, tmp_path / "a.bin")
    assert not list(tmp_path.iterdir())


def test_a_server_that_promises_more_than_it_sends(server, tmp_path):
    server.lies = 10
    with pytest.raises(UserError, match="could not be downloaded"):
        fetch(server, tmp_path / "a.bin")
    assert not (tmp_path / "a.bin").exists()


def test_another_size_than_known_is_refused(server, tmp_path):
    with pytest.raises(UserError, match=f"has {len(BODY)} bytes, not {len(BODY) + 1}"):
        fetch(server, tmp_path / "a.bin", size=len(BODY) + 1)


def test_a_shorter_file_than_known_does_not_pass_as_complete(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    with pytest.raises(UserError, match=f"has {len(BODY)} bytes, not {len(BODY) + 1}"):
        fetch(server, tmp_path / "a.bin", size=len(BODY) + 1)


def test_a_wrong_checksum_is_refused_and_nothing_stays(server, tmp_path):
    with pytest.raises(UserError, match="sha256"):
        fetch(server, tmp_path / "a.bin", sha256="0" * 64)
    assert not list(tmp_path.iterdir())


def test_what_fails_the_check_is_fetched_from_the_next_mirror(server, tmp_path):
    server.files["/a.bin"] = b"bad"

    def check(part):
        if part.stat().st_size < 10:
            raise UserError(f"{part}: is damaged; remove it")

    target = fetch(server, tmp_path / "a.bin", "/a.bin", "/mirror/a.bin", check=check)
    assert target.read_bytes() == BODY


def test_no_network_is_one_sentence(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a.bin"
    with pytest.raises(UserError, match="connection refused.*check the network and run the same command again") as info:
        download(RemoteFile((url,)), tmp_path / "new" / "a.bin")
    assert "\n" not in str(info.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "http://[bad/a", "a.bin"])
def test_only_the_web_is_fetched_from(tmp_path, url):
    with pytest.raises(UserError, match="could not be downloaded"):
        download(RemoteFile((url,)), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_before_the_transfer(server, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(UserError, match=r"1\.0 MB are needed and 0\.0 MB are free"):
        fetch(server, tmp_path / "a.bin")


def test_a_disk_that_fills_up_names_the_file(tmp_path):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"a\.part: no space left on device; free some room"):
        module._write(Full(), b"x", tmp_path / "a.part")


def test_the_name_comes_from_the_first_address():
    assert RemoteFile(("https://x.org/v1/file.zip?download=1", "https://y.org/other")).name == "file.zip"

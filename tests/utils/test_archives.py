"""Archives: whole ones come out byte by byte, anything else is refused before a file is written."""

import io
import shutil
import stat
import tarfile
import zipfile

import pytest

from utils.archives import is_archive, unpack, verify_archive
from utils.errors import UserError

FILES = {"set/a.txt": b"first", "set/deep er/ö.bin": bytes(range(256)) * 5000, "set/empty": b""}


def write_zip(path, files=FILES, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("set/no files/", b"")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path, files=FILES, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_empty_archives(tmp_path):
    for archive in (write_zip(tmp_path / "a.zip", {}), write_tar(tmp_path / "a.tgz", {})):
        assert verify_archive(archive) == 0
        assert unpack(archive, tmp_path / f"out{archive.suffix}").is_dir()


@pytest.mark.parametrize("name, mode", [("a.zip", ""), ("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tar.xz", "w:xz")])
def test_everything_comes_out(tmp_path, name, mode):
    archive = write_tar(tmp_path / name, mode=mode) if mode else write_zip(tmp_path / name)
    assert is_archive(archive)
    assert verify_archive(archive) == sum(map(len, FILES.values()))
    for verified in (False, True):
        folder = unpack(archive, tmp_path / "new" / f"{verified}", verified)
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert found == FILES
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["False", "True"]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_half_an_archive_is_refused_whole(tmp_path, kind, share):
    archive = tmp_path / f"a.{kind}"
    write_zip(archive) if kind == "zip" else write_tar(archive, mode=f"w:{kind[4:]}")
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=rf"a\.{kind}.*; remove it and fetch it again"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_tar_cut_between_two_files_is_refused(tmp_path):
    archive = write_tar(tmp_path / "a.tar", mode="w")
    archive.write_bytes(archive.read_bytes()[:1024])  # one header, one block: the whole first file
    with pytest.raises(UserError, match="its end is missing"):
        verify_archive(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_is_found(tmp_path, method):
    archive = write_zip(tmp_path / "a.zip", {"x.bin": bytes(range(256)) * 40}, method)
    content = bytearray(archive.read_bytes())
    content[content.index(b"x.bin", 60) + 100] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip, x\.bin: is damaged"):
        unpack(archive, tmp_path / "out")
    with pytest.raises(UserError, match=r"a\.zip, x\.bin: is damaged"):
        unpack(archive, tmp_path / "out", verified=True)
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html><html>Not found</html>", "web page"),
        (b"PK\x03\x04 and no more", "only the beginning of a zip"),
        (b"weights", "is not a zip or tar archive"),
    ],
)
def test_other_files_are_named_for_what_they_are(tmp_path, content, words):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(UserError, match=words):
        verify_archive(tmp_path / "a.zip")


def test_a_missing_archive(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        verify_archive(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["../out.txt", "a/../../out.txt", "/etc/out.txt", "..\\out.txt", "C:/out.txt", "a/.."])
def test_no_entry_leaves_the_folder(tmp_path, name):
    for archive in (write_zip(tmp_path / "a.zip", {name: b"x"}), write_tar(tmp_path / "a.tgz", {name: b"x"})):
        with pytest.raises(UserError, match="outside the folder; it is not unpacked"):
            unpack(archive, tmp_path / "in" / "side")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "a.zip"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_no_links_or_devices_in_a_tar(tmp_path, kind):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(UserError, match="link: is a link or a device"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


def test_no_links_and_no_secrets_in_a_zip(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    write_zip(tmp_path / "a.zip", {link: b"/etc/passwd"})
    with pytest.raises(UserError, match="link: is a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    content = bytearray(write_zip(tmp_path / "b.zip", {"x": b"y"}).read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 8] |= 1
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(UserError, match="x: is encrypted"):
        unpack(tmp_path / "b.zip", tmp_path / "out")


def test_an_existing_folder_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="out: exists already"):
        unpack(write_zip(tmp_path / "a.zip"), tmp_path / "out")


def test_a_full_disk_is_said_before_anything_is_written(tmp_path, monkeypatch):
    archive = write_zip(tmp_path / "a.zip")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(UserError, match=r"out: 1\.3 MB are needed and 0\.0 MB are free"):
        unpack(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]

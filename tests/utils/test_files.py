import errno
import stat

import pytest

from utils.errors import UserError, describe_os_error
from utils.files import atomic_path, named_errors, read_yaml, write_text, write_yaml


def test_write_and_replace(tmp_path):
    file = tmp_path / "new folder" / "größe.txt"
    for text in ("", "zwölf\n"):
        write_text(file, text)
        assert file.read_text(encoding="utf-8") == text
    assert [path.name for path in file.parent.iterdir()] == ["größe.txt"]
    assert stat.S_IMODE(file.stat().st_mode) & 0o400


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(RuntimeError), atomic_path(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_temporary_file_has_the_suffix(tmp_path):
    with atomic_path(tmp_path / "a.png") as temporary:
        assert temporary.suffix == ".png" and temporary.parent == tmp_path


def test_yaml_round_trip_keeps_order_and_letters(tmp_path):
    content = {"z": 1, "a": [1.5, None, "車"], "m": {"x": True}}
    write_yaml(tmp_path / "a.yaml", content)
    assert read_yaml(tmp_path / "a.yaml") == content
    assert list(read_yaml(tmp_path / "a.yaml")) == ["z", "a", "m"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"# only a comment\n", "is empty"),
        (b"- 1\n- 2\n", "holds a list"),
        (b"word", "holds a str"),
        (b"a: 1\nb: [1\n", "line 3: is not valid YAML"),
        (b"a: !!python/object/apply:os.system ['true']\n", "line 1: is not valid YAML"),
        (b"a: \xff\xfe", "not a UTF-8 text file"),
        (b"a: 2024-99-99\n", "is not valid YAML"),
        (b"[" * 5000, "is not valid YAML"),
    ],
)
def test_bad_yaml_is_named(tmp_path, content, words):
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"bad.yaml.*{words}"):
        read_yaml(file)


def test_missing_yaml_and_a_folder(tmp_path):
    with pytest.raises(UserError, match="gone.yaml: no such file"):
        read_yaml(tmp_path / "gone.yaml")
    with pytest.raises(UserError, match="is a directory"):
        read_yaml(tmp_path)


def test_a_failing_write_names_the_file(tmp_path):
    with pytest.raises(OSError) as caught, named_errors(tmp_path / "a.csv"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert describe_os_error(caught.value) == f"{tmp_path / 'a.csv'}: no space left on device"
    with pytest.raises(OSError) as caught, named_errors(tmp_path / "a.csv"):
        (tmp_path / "gone").read_text()
    assert caught.value.filename == str(tmp_path / "gone")

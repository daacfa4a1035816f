import pytest

from utils.errors import UserError
from utils.runs import make_run_folder


def test_folders_count_up(tmp_path):
    names = [make_run_folder(tmp_path / "runs" / "val", "exp").name for _ in range(3)]
    assert names == ["exp", "exp2", "exp3"]


def test_the_highest_number_counts_not_the_first_gap(tmp_path):
    for name in ("exp", "exp7", "exp-old", "experiment9"):
        (tmp_path / name).mkdir()
    assert make_run_folder(tmp_path, "exp").name == "exp8"
    assert make_run_folder(tmp_path, "new").name == "new"


def test_exist_ok_reuses(tmp_path):
    assert make_run_folder(tmp_path, "exp") == make_run_folder(tmp_path, "exp", exist_ok=True) == tmp_path / "exp"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="choose another --project"):
        make_run_folder(tmp_path / "file" / "sub", "exp")

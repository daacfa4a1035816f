import cv2
import numpy as np
import pytest
import torch
from torch import nn

from utils.report import COLUMNS, TensorBoard, results_text, write_results

ROW = [0, 0.12345678, 1e-7, 3.0, 0.5, 0.25, 0.125, 1 / 3, 0.1, 0.2, 0.3, 0.1, 0.001, 0.001]


def read_events(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder))
    events.Reload()
    return events


class Maps(nn.Module):
    """A model whose output is a list, as a detector's is."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 1)

    def forward(self, images):
        return [self.convolution(images), images]


def test_results_without_epochs_are_the_header():
    text = results_text([])
    assert text.count("\n") == 1
    cells = text.rstrip("\n").split(",")
    assert len(cells) == 14
    assert {len(cell) for cell in cells} == {20}
    assert [cell.strip() for cell in cells] == list(COLUMNS)


def test_results_rows_are_aligned_as_stock_writes_them(tmp_path):
    write_results(tmp_path / "results.csv", [ROW, [1, *ROW[1:]]])
    lines = (tmp_path / "results.csv").read_text().splitlines()
    assert len(lines) == 3
    assert lines[1] == ",".join("%20.5g" % value for value in ROW)  # noqa: UP031 (stock's own way)
    assert lines[1].startswith("                   0,             0.12346,               1e-07,")


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="14 numbers, not 3"):
        results_text([[1, 2, 3]])


def test_scalars_carry_stock_names_and_resuming_hides_what_was_lost(tmp_path):
    board = TensorBoard(tmp_path)
    for epoch in range(3):
        board.add_epoch([epoch, *ROW[1:]])
    board.close()
    resumed = TensorBoard(tmp_path, first_epoch=1)
    resumed.add_epoch([1, *[9.0] * 13])
    resumed.close()
    events = read_events(tmp_path)
    assert sorted(events.Tags()["scalars"]) == sorted(COLUMNS[1:])
    values = [(event.step, event.value) for event in events.Scalars("metrics/mAP_0.5")]
    assert values == [(0, 0.125), (1, 9.0)]


def test_graph_and_images(tmp_path):
    cv2.imwrite(str(tmp_path / "results.png"), np.zeros((8, 8, 3), np.uint8))
    board = TensorBoard(tmp_path)
    board.add_graph(Maps().eval(), torch.rand(1, 3, 8, 8))
    board.add_images([tmp_path / "results.png", tmp_path / "missing.png"], 5)
    board.close()
    events = read_events(tmp_path)
    assert events.Tags()["graph"]
    assert events.Tags()["images"] == ["results"]


def test_a_full_disk_is_named(tmp_path):
    board = TensorBoard(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    board._writer.add_scalar = full
    with pytest.raises(OSError, match="No space left on device") as error:
        board.add_epoch(ROW)
    assert error.value.filename == str(tmp_path)
    board.close()


def test_disabled_board_writes_nothing(tmp_path):
    board = TensorBoard(tmp_path / "none", enabled=False)
    board.add_epoch(ROW)
    board.add_graph(Maps(), torch.rand(1, 3, 8, 8))
    board.add_images([], 0)
    board.close()
    assert not (tmp_path / "none").exists()

from utils.plain import from_plain
from utils.trainstate import TrainState


def test_best_epochs_and_patience():
    state = TrainState()
    assert not state.is_stale(1)
    assert state.finish_epoch([0.0], 0.0)  # a tie with the start counts
    assert state.finish_epoch([1.0], 0.5)
    assert not state.finish_epoch([2.0], 0.4)
    assert not state.finish_epoch([3.0], None)
    assert (state.epoch, state.best_epoch, state.best_fitness) == (4, 1, 0.5)
    assert state.history == [[0.0], [1.0], [2.0], [3.0]]
    assert state.is_stale(2)
    assert not state.is_stale(3)
    assert not state.is_stale(0)


def test_state_comes_back():
    state = TrainState(epoch=2, best_fitness=0.1, best_epoch=1, history=[[1.0, 2.0]], class_map=[0.5])
    assert from_plain(TrainState, state.pack(), "last.pt") == state

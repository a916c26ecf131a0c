"""What all loops share: orders that depend on the step alone, checkpoints that are whole, curves without loops."""

import json
import math
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fulora.diffusion.config import ControlConfig
from fulora.stage import PreemptedError
from fulora.training.averages import MovingAverage, copy_into
from fulora.training.checkpointer import Checkpointer
from fulora.training.checkpoints import (
    CHECKPOINTS,
    LATEST,
    CheckpointError,
    load_checkpoint,
    remove_checkpoint,
    save_checkpoint,
)
from fulora.training.devices import pick_device
from fulora.training.learning_rate import cosine_rate, set_rate
from fulora.training.metrics_log import MetricsLog, TrainingDivergedError
from fulora.training.preemption import preemption
from fulora.training.processes import Processes
from fulora.training.run_digest import run_digest
from fulora.training.seeded_draws import batch_indices, seeded_generator


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 13), st.integers(1, 30))
def test_every_image_comes_once_an_epoch_whatever_the_batch(count: int, batch_size: int) -> None:
    steps = math.ceil(3 * count / batch_size)
    drawn = torch.cat([batch_indices(count, batch_size, step, "test", 0) for step in range(steps)]).tolist()
    for epoch in range(3):
        assert sorted(drawn[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_batches_depend_on_the_step_alone_and_the_batch_size_only_cuts() -> None:
    straight = torch.cat([batch_indices(7, 3, step, "test", 0) for step in range(14)])
    resumed = torch.cat([batch_indices(7, 3, step, "test", 0) for step in range(5, 14)])
    assert torch.equal(straight[15:], resumed)
    assert torch.equal(straight, torch.cat([batch_indices(7, 21, step, "test", 0) for step in range(2)]))


def test_epochs_names_and_seeds_have_their_own_orders() -> None:
    first = batch_indices(50, 50, 0, "test", 0)
    assert not torch.equal(first, batch_indices(50, 50, 1, "test", 0))
    assert not torch.equal(first, batch_indices(50, 50, 0, "test", 1))
    assert not torch.equal(first, batch_indices(50, 50, 0, "other", 0))


def test_a_generator_draws_by_its_names_and_not_by_the_state_of_the_process() -> None:
    one = torch.rand(3, generator=seeded_generator("noise", 0, 4))
    torch.manual_seed(99)
    assert torch.equal(one, torch.rand(3, generator=seeded_generator("noise", 0, 4)))
    assert not torch.equal(one, torch.rand(3, generator=seeded_generator("noise", 0, 5)))


def test_the_schedule_warms_up_and_falls_along_half_a_cosine() -> None:
    assert [cosine_rate(step, 10, warmup=4) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert cosine_rate(4, 10, warmup=4) == 1.0
    assert cosine_rate(7, 10, warmup=4) == pytest.approx(0.5)
    assert cosine_rate(10, 10, warmup=4) == pytest.approx(0.0)
    assert cosine_rate(0, 10) == 1.0
    parameter = torch.nn.Parameter(torch.zeros(1))
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer := torch.optim.SGD([parameter], lr=1.0), 20)
    for step in range(20):
        assert cosine_rate(step, 20) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()


def test_the_rate_of_each_group_is_its_own_times_the_factor() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "base_lr": rate} for rate in (1e-3, 1e-4)]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    for _ in range(2):
        set_rate(optimizer, 0.5)
        assert [group["lr"] for group in optimizer.param_groups] == [5e-4, 5e-5]


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    save_checkpoint(tmp_path, 3, {"weights": {"w": torch.arange(4)}, "best": 0.5})
    save_checkpoint(tmp_path, 4, {"weights": {"w": torch.arange(5)}, "best": 0.25})
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert (found["step"], found["best"]) == (4, 0.25)
    assert torch.equal(found["weights"]["w"], torch.arange(5))
    save_checkpoint(tmp_path, 5, {})
    files = sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir())
    assert files == [LATEST, "step_00000004.pt", "step_00000005.pt"]
    remove_checkpoint(tmp_path)
    assert not list(tmp_path.iterdir())
    remove_checkpoint(tmp_path)


def test_dying_while_a_checkpoint_is_written_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 3, {"w": torch.ones(2)})

    def die(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", die)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, 4, {"w": torch.zeros(2)})
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found["step"] == 3
    assert torch.equal(found["w"], torch.ones(2))
    remove_checkpoint(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, {"bad": Path("x")})
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_named_with_the_way_out(tmp_path: Path) -> None:
    for step in (3, 4):
        save_checkpoint(tmp_path, step, {"w": torch.ones(2)})
    newest = tmp_path / CHECKPOINTS / "step_00000004.pt"
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"write step_00000003\.pt into .*LATEST to continue from there"):
        load_checkpoint(tmp_path)
    (tmp_path / CHECKPOINTS / LATEST).write_text("step_00000003.pt\n")
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found["step"] == 3


@pytest.mark.parametrize("damage", ["bits", "junk", "empty", "no name"])
def test_a_damaged_checkpoint_is_reported_and_not_used(tmp_path: Path, damage: str) -> None:
    save_checkpoint(tmp_path, 4, {"w": torch.zeros(10_000)})
    newest = tmp_path / CHECKPOINTS / "step_00000004.pt"
    content = newest.read_bytes()
    middle = len(content) // 2
    if damage == "bits":  # inside the tensor, where torch looks at no checksum
        newest.write_bytes(content[:middle] + b"\x01" * 32 + content[middle + 32 :])
        assert torch.load(newest, weights_only=True)["w"].any()
    elif damage == "no name":
        (tmp_path / CHECKPOINTS / LATEST).write_text("")
    else:
        newest.write_bytes(b"junk" if damage == "junk" else b"")
    with pytest.raises(CheckpointError, match=r"cannot be read .*remove .*checkpoints to begin again"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["foo", "mps"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"device={name}: torch cannot use it here"):
        pick_device(name)


def test_sigterm_is_handled_inside_and_its_handler_restored_after() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with preemption() as asked:
        assert not asked()
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked()
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_a_thread_no_signal_is_caught() -> None:
    def inside() -> bool:
        with preemption() as asked:
            return asked()

    before = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        assert not pool.submit(inside).result()
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_digest_of_a_training_is_that_of_settings_and_inputs(tmp_path: Path) -> None:
    file = tmp_path / "start"
    file.write_bytes(b"a")
    cfg, images = ControlConfig(), np.arange(12, dtype=np.uint8).reshape(1, 3, 4)

    def made_of(cfg: ControlConfig = cfg, images: np.ndarray = images, captions: tuple[str, ...] = ("a", "b")) -> str:
        return run_digest(cfg, images, list(captions), {"w": torch.ones(2)}, file, None)

    same = made_of()
    assert made_of(cfg.changed(device="cuda", checkpoint_every=3), np.asfortranarray(images)) == same
    others = [made_of(cfg.changed(seed=1)), made_of(captions=("ab",)), made_of(images=images.reshape(1, 4, 3))]
    others += [made_of(images=images + np.uint8(1)), made_of(images=images.view(np.int8))]
    file.write_bytes(b"b")
    assert len({same, *others, made_of()}) == 7


class Noted:
    """A part of a checkpoint that counts how often it was saved."""

    saved = 0

    def state_dict(self) -> dict[str, int]:
        self.saved += 1
        return {"saved": self.saved}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.saved = state["saved"]


@pytest.mark.parametrize("index", [0, 1])
def test_several_processes_agree_about_stopping_and_the_first_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    """The other process is told to stop after step 3; both stop after step 10."""
    part = Noted()
    checkpoints = Checkpointer(tmp_path, "a", 100, {"part": part}, Processes(index, 2, torch.device("cpu")))
    monkeypatch.setattr(Processes, "any", lambda self, yes: yes or checkpoints.done >= 3)
    with checkpoints.steps(20, "test") as numbers:
        for done in numbers:
            if done == 10:
                break
            checkpoints.after_step(done)
        with pytest.raises(PreemptedError, match="after step 10 of 20"):
            checkpoints.after_step(10)
    assert part.saved == 1
    assert (load_checkpoint(tmp_path) is None) == (index == 1)


def test_a_resumed_training_says_from_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for said in ("", "  LoRA: goes on after step 3 of 8, from its checkpoint\n"):
        with Checkpointer(tmp_path, "a", 1, {"part": Noted()}).steps(8, "LoRA"):
            pass
        assert capsys.readouterr() == ("", said)
        save_checkpoint(tmp_path, 3, {"run": "a", "part": {"saved": 1}})


def test_a_checkpoint_without_a_digest_is_of_another_training(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 3, {"part": {"saved": 1}})
    with pytest.raises(CheckpointError, match="is of another training"):
        Checkpointer(tmp_path, "a", 1, {"part": Noted()})


def steps_of(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_resumed_log_drops_what_lies_beyond_its_step(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    for step in range(1, 7):
        log.write(step, loss=1 / step)
    MetricsLog(tmp_path, start=4).write(5, loss=0.0)
    assert steps_of(tmp_path) == [1, 2, 3, 4, 5]
    assert json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[2]) == {"step": 3, "loss": 0.333333}


def test_a_log_drops_half_a_line(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.write(1, loss=1.0)
    with log.path.open("a") as file:
        file.write('{"step": 2, "lo')
    MetricsLog(tmp_path, start=2).write(3, loss=1.0)
    assert steps_of(tmp_path) == [1, 3]


def test_a_new_run_has_a_new_log(tmp_path: Path) -> None:
    MetricsLog(tmp_path).write(0, loss=1.0)
    MetricsLog(tmp_path)
    assert steps_of(tmp_path) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stops_the_training(tmp_path: Path, value: float) -> None:
    log = MetricsLog(tmp_path)
    with pytest.raises(TrainingDivergedError, match=r"loss is -?(nan|inf) at step 7; lower the learning rate"):
        log.write(7, rate=1.0, loss=value)
    assert steps_of(tmp_path) == []


def test_an_average_follows_its_parameters() -> None:
    parameters = [torch.nn.Parameter(torch.zeros(2))]
    average = MovingAverage(parameters, 0.5)
    with torch.no_grad():
        parameters[0].fill_(1.0)
    average.update(parameters, 1)  # decay (1 + 1) / (10 + 1)
    torch.testing.assert_close(average.values[0], torch.full((2,), 9 / 11))
    average.update(parameters, 1000)  # decay 0.5
    torch.testing.assert_close(average.values[0], torch.full((2,), 10 / 11))
    assert torch.equal(parameters[0], torch.ones(2))
    copy_into(parameters, average.values)
    torch.testing.assert_close(parameters[0].detach(), torch.full((2,), 10 / 11))
    assert parameters[0].requires_grad


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device("cpu").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(ValueError, match=r"device=cuda:0: torch .* sees no GPU; use device=cpu or device=auto"):
        pick_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"

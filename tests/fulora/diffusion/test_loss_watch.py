import pytest
import torch

from fulora.diffusion.training.loss_watch import LossMonitor
from fulora.training.metrics_log import TrainingDivergedError


def fed(watch: LossMonitor, losses: list[float]) -> None:
    for loss in losses:
        watch.add(torch.tensor(loss))
        watch.read()


def test_the_mean_is_of_the_steps_since_the_last_one() -> None:
    watch = LossMonitor(5.0)
    for loss in (1.0, 2.0, 3.0):
        watch.add(torch.tensor(loss))
    assert watch.mean() == 2.0
    watch.add(torch.tensor(8.0))
    watch.read()
    watch.add(torch.tensor(10.0))
    assert watch.mean() == 9.0


def test_a_loss_that_is_not_finite_is_reported_with_its_step() -> None:
    watch = LossMonitor(None)
    fed(watch, [0.1, 0.2])
    watch.add(torch.tensor(0.3))
    watch.add(torch.tensor(float("inf")))
    with pytest.raises(TrainingDivergedError, match=r"the loss is inf at step 4: lower unet_learning_rate"):
        watch.read()


def test_a_spike_is_many_losses_far_above_all_before() -> None:
    watch = LossMonitor(5.0)
    fed(watch, [0.1] * 50)
    fed(watch, [1.0] * 7)  # the mean of the last 20 is 0.415
    with pytest.raises(
        TrainingDivergedError, match=r"steps 40 to 59 is 0\.505, more than 5 times.*\(0\.1\).*spike=null"
    ):
        fed(watch, [1.0] * 13)


def test_one_high_loss_among_low_ones_is_no_spike_nor_is_one_at_the_start() -> None:
    watch = LossMonitor(5.0)
    fed(watch, [0.001] * 5 + [0.9] * 20 + [0.1] * 100 + [0.9, 0.9] + [0.1] * 10)
    allowed = LossMonitor(None)
    fed(allowed, [0.1] * 50 + [9.0] * 30)


def test_it_continues_from_its_state() -> None:
    losses = [0.1 + 0.01 * step for step in range(45)]
    straight, first, second = LossMonitor(5.0), LossMonitor(5.0), LossMonitor(5.0)
    fed(straight, losses)
    fed(first, losses[:30])
    second.load_state_dict(first.state_dict())
    fed(second, losses[30:])
    assert second.state_dict() == straight.state_dict()
    assert second.mean() == straight.mean()

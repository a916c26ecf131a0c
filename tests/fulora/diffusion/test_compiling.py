import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from fulora.diffusion.models.compiling import choose_unet, median_seconds

GPU, CPU = torch.device("cuda"), torch.device("cpu")


class Clock:
    """A GPU on which the plain UNet takes 1 s a step, the compiled one `compiled_s`, and compiling 40 s."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, compiled_s: float) -> None:
        self.now, self.compiled_s, self.made = 0.0, compiled_s, False
        self.unet = torch.nn.Identity()
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
        monkeypatch.setattr(torch, "compile", lambda unet, dynamic: self.compiled)

    def compiled(self) -> None: ...

    def probe(self, unet: Callable[..., Any]) -> None:
        if unet is self.unet:
            self.now += 1.0
        else:
            self.now += self.compiled_s + (0 if self.made else 40)
            self.made = True


def test_many_steps_pay_for_compiling(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock(monkeypatch, 0.6)
    assert choose_unet(clock.unet, clock.probe, 1000, "auto", GPU) == clock.compiled
    assert "compiled: a step 1.000 s before and 0.600 s after 41 s of work" in capsys.readouterr().err


def test_few_steps_do_not_and_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 0.6)
    assert choose_unet(clock.unet, clock.probe, 100, "auto", GPU) is clock.unet
    assert not clock.made


def test_what_is_no_faster_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 1.1)
    assert choose_unet(clock.unet, clock.probe, 1000, "auto", GPU) is clock.unet
    assert clock.made


def test_on_a_cpu_only_by_request(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 0.1)
    assert choose_unet(clock.unet, clock.probe, 10**6, "auto", CPU) is clock.unet
    assert choose_unet(clock.unet, clock.probe, 10**6, "never", GPU) is clock.unet
    assert choose_unet(clock.unet, clock.probe, 1, "always", CPU) == clock.compiled
    assert not clock.made


@pytest.mark.parametrize(("device", "waits"), [(GPU, 4), (CPU, 0)])
def test_a_step_takes_the_median_of_three_after_one_to_warm_up(
    monkeypatch: pytest.MonkeyPatch, device: torch.device, waits: int
) -> None:
    """A GPU is waited for each time, since it works on while Python goes on."""
    clock = Clock(monkeypatch, 0.1)
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    seconds = iter([100.0, 3.0, 1.0, 2.0])

    def probe(unet: Callable[..., Any]) -> None:
        clock.now += next(seconds)

    assert median_seconds(probe, clock.unet, device) == 2.0
    assert waited == [device] * waits
    assert next(seconds, None) is None

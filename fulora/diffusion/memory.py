"""How much memory a training will take: its own steps, run on tensors that have shapes but no numbers."""

import os
import weakref
from typing import Any

import numpy as np
import torch
from torch._subclasses import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fulora.diffusion.backbone import OMITTED, quiet
from fulora.diffusion.batches import Batch
from fulora.diffusion.conditioning import Pipeline, embed, text_encoders
from fulora.diffusion.learner import Learner
from fulora.diffusion.lora import all_lora_parameters
from fulora.diffusion.objective import encode
from fulora.diffusion.train import batch_error
from fulora.diffusion.watch import LossWatch
from fulora.processes import Processes


class _Live(TorchDispatchMode):
    """Follows the bytes of all storages that are alive, and their peak."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block
        self.now = self.peak = 0
        self.sizes: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for item in tree_leaves(result):
            if isinstance(item, torch.Tensor):
                self._follow(item.untyped_storage())
        if PROBE and function in CONVS:
            extra = sum(t.nbytes for t in tree_leaves((args, result)) if isinstance(t, torch.Tensor))
            self.peak = max(self.peak, self.now + extra)
        return result

    def _follow(self, storage: Any) -> None:
        key = storage._cdata
        if key in self.sizes:
            return
        size = -(-storage.nbytes() // self.block) * self.block

        def gone(_: object) -> None:
            del self.sizes[key]
            self.now -= size

        self.sizes[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)

PROBE = bool(os.environ.get("PROBE"))
CONVS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)

class _NormsInFp32(TorchFunctionMode):
    """Normalisations as CUDA's autocast does them, in fp32; the CPU's does them in the precision of their input."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (torch.nn.functional.group_norm, torch.nn.functional.layer_norm):
            args, kwargs = (_raised(args), {k: _raised((v,))[0] for k, v in (kwargs or {}).items()})
        return function(*args, **(kwargs or {}))

def _raised(values):
    return tuple(v.float() if isinstance(v, torch.Tensor) and torch.is_autocast_enabled("cpu") else v for v in values)


def outline(pipe: Pipeline) -> Pipeline:
    parts = {name: _shapes(part) if isinstance(part, torch.nn.Module) else part for name, part in pipe.components.items()}
    return type(pipe)(**(parts | OMITTED[type(pipe).__name__]))

def _shapes(module):
    with torch.device("meta"), quiet():
        copy = type(module).from_config(module.config) if hasattr(type(module), "from_config") else type(module)(module.config)
    return copy.eval()

def _fill(module, channels_last):
    for part in module.modules():
        for table in (part._parameters, part._buffers):
            for name, value in table.items():
                if value is not None:
                    new = torch.empty(value.shape, dtype=value.dtype)
                    if channels_last and new.dim() == 4:
                        new = new.to(memory_format=torch.channels_last)
                    table[name] = torch.nn.Parameter(new, requires_grad=value.requires_grad) if isinstance(value, torch.nn.Parameter) else new

def nbytes(module, dtype=None):
    return sum(p.numel() * (dtype or p.dtype).itemsize for p in [*module.parameters(), *module.buffers()])

STATES={"adamw": lambda n: 8*n, "adamw8bit": lambda n: 2*n if n>=4096 else 8*n, "prodigy": lambda n:16*n}

def encode_peak(pipe, sizes, block):
    with FakeTensorMode(allow_non_fake_inputs=True), _Live(block) as live:
        _fill(pipe.vae, False)
        for (w,h), n in sizes.items():
            n = max(1, min(32, n, 2**20//(w*h)))
            encode(pipe.vae, [np.zeros((h,w),np.uint8)]*n)
    return live.peak

def train_peak(pipe, cfg, sizes, captions, block, gpu):
    (w,h) = max(sizes, key=lambda s: s[0]*s[1])
    f = pipe.vae_scale_factor
    mode = _NormsInFp32() if gpu else __import__("contextlib").nullcontext()
    with FakeTensorMode(allow_non_fake_inputs=True), _Live(block) as live, mode:
        _fill(pipe.unet, gpu)
        for e in text_encoders(pipe).values(): _fill(e, False)
        ps = all_lora_parameters(pipe)
        n = sum(STATES[cfg.optimizer](p.numel()) for p in ps)
        copies = (cfg.ema_decay is not None) + (cfg.keep=="best")
        held = [torch.empty(n + copies*4*sum(p.numel() for p in ps), dtype=torch.uint8)]
        held.append(torch.empty(sum(c*2*4*4*(a//f)*(b//f) for (a,b),c in sizes.items())*(2 if cfg.flip else 1),dtype=torch.uint8))
        b = cfg.batch_size//cfg.accumulation
        texts=None
        if cfg.text_encoder_learning_rate==0:
            with torch.no_grad(): texts={t: embed(pipe,[t],cfg.clip_skip).to(pipe.unet.dtype) for t in {*captions,""}}
            for e in text_encoders(pipe).values():
                e.to_empty if 0 else None
        learner=Learner(pipe,pipe.unet,ps,None,None,Processes(0,1,torch.device("cpu")),LossWatch(None),texts,None)
        batch=Batch(torch.empty(b,4,h//f,w//f),torch.empty(b,4,h//f,w//f),torch.zeros(b,dtype=torch.long),[captions[i%len(captions)] for i in range(b)],(w,h))
        base=live.now
        for _ in range(2 if cfg.accumulation>1 else 1):
            loss=batch_error(learner,cfg,batch,pipe.unet).mean()
            fwd=live.now
            loss.backward()
    return live.peak, base, fwd

"""A plain LoRA training loop, in the manner of the public example scripts: everything is computed anew at every step.

    python benchmarks/plain_lora.py --pretrained_model_name_or_path FOLDER --train_data_dir FOLDER --output_dir FOLDER

It is what `train_lora.py` measures fulora against, and takes the options of diffusers' `train_text_to_image_lora.py`
by the same names. Each step decodes and transforms its pictures, encodes them with the autoencoder and their captions
with the text encoder, runs the UNet under autocast, reads the loss back twice, clips, and calls AdamW as it comes.
Unlike that script, it keeps the LoRA in fp32 under a bf16 base, and its clipping clips.
"""

import argparse
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from diffusers.optimization import get_scheduler
from diffusers.training_utils import cast_training_params
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from tqdm.auto import tqdm

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
DTYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Example = tuple[Tensor, str]


class Folder(Dataset[Example]):
    """Pictures of an `imagefolder` and their captions; a picture is read and transformed whenever it is asked for."""

    def __init__(self, folder: Path, resolution: int) -> None:
        lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
        self.folder, self.rows = folder, [json.loads(line) for line in lines]
        self.transform = transforms.Compose(
            [
                transforms.Resize(resolution, interpolation=transforms.InterpolationMode.LANCZOS),
                transforms.CenterCrop(resolution),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.5]),
            ]
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Example:
        with Image.open(self.folder / self.rows[place]["file_name"]) as image:
            return self.transform(image.convert("RGB")), self.rows[place]["text"]


def loader(pipe: StableDiffusionPipeline, folder: Path, resolution: int, batch_size: int) -> DataLoader[Example]:
    """Batches of pictures (b, 3, h, w) from -1 to 1 and token ids (b, tokens), shuffled, without workers."""

    def collate(examples: Sequence[Example]) -> tuple[Tensor, Tensor]:
        ids = pipe.tokenizer(
            [caption for _, caption in examples],
            max_length=pipe.tokenizer.model_max_length,
            padding="max_length",
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return torch.stack([pixels for pixels, _ in examples]), ids

    return DataLoader(Folder(folder, resolution), batch_size=batch_size, shuffle=True, collate_fn=collate)


@dataclass(frozen=True)
class Model:
    """A frozen pipeline with a LoRA on its UNet, and where and in what precision it computes."""

    pipe: StableDiffusionPipeline
    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> AbstractContextManager[object]:
        """As accelerate has it around the UNet's forward."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def loss(self, pixels: Tensor, ids: Tensor) -> Tensor:
        """Mean squared error of the predicted noise."""
        pipe = self.pipe
        latents = pipe.vae.encode(pixels.to(self.device, self.dtype)).latent_dist.sample()
        latents = latents * pipe.vae.config.scaling_factor
        noise = torch.randn_like(latents)
        total = pipe.scheduler.config.num_train_timesteps
        timesteps = torch.randint(0, total, (len(latents),), device=self.device)
        noisy = pipe.scheduler.add_noise(latents, noise, timesteps)
        states = pipe.text_encoder(ids.to(self.device), return_dict=False)[0]
        with self.autocast():
            predicted = pipe.unet(noisy, timesteps, states, return_dict=False)[0]
        return torch.nn.functional.mse_loss(predicted.float(), noise.float())


def prepare(folder: Path, rank: int, precision: str) -> Model:
    """The pipeline of a diffusers folder, frozen, with a LoRA of alpha = rank on the UNet's attention."""
    device, dtype = torch.device("cuda" if torch.cuda.is_available() else "cpu"), DTYPES[precision]
    pipe = StableDiffusionPipeline.from_pretrained(
        folder, safety_checker=None, feature_extractor=None, requires_safety_checker=False, dtype=torch.float32
    )
    for module in (pipe.unet, pipe.vae, pipe.text_encoder):
        module.requires_grad_(False)
        module.to(device, dtype)
    pipe.unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=TARGETS))
    cast_training_params(pipe.unet, dtype=torch.float32)
    pipe.unet.train()
    return Model(pipe, device, dtype)


def train(given: argparse.Namespace) -> None:
    """The loop; writes `pytorch_lora_weights.safetensors` to the output folder."""
    torch.manual_seed(given.seed)
    model = prepare(given.pretrained_model_name_or_path, given.rank, given.mixed_precision)
    batches = loader(model.pipe, given.train_data_dir, given.resolution, given.train_batch_size)
    learned = [parameter for parameter in model.pipe.unet.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=given.learning_rate, weight_decay=1e-2)
    schedule = get_scheduler("constant", optimizer=optimizer)
    scaler = torch.amp.GradScaler(model.device.type, enabled=model.dtype == torch.float16)
    bar, total, epoch = tqdm(total=given.max_train_steps, desc="Steps"), 0.0, iter(batches)
    for _ in range(given.max_train_steps):
        if (batch := next(epoch, None)) is None:
            batch = next(epoch := iter(batches))
        loss = model.loss(*batch)
        total += loss.repeat(given.train_batch_size).mean().item()  # what gathering from one process comes to
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        optimizer.zero_grad()
        bar.update(1)
        bar.set_postfix(step_loss=loss.detach().item(), lr=schedule.get_last_lr()[0])
    bar.close()
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(model.pipe.unet))
    StableDiffusionPipeline.save_lora_weights(given.output_dir, unet_lora_layers=layers)


def options() -> argparse.ArgumentParser:
    """Options, by the names that diffusers' script has for them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained_model_name_or_path", type=Path, required=True, help="a folder")
    parser.add_argument("--train_data_dir", type=Path, required=True, help="pictures and a metadata.jsonl")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--train_batch_size", type=int, default=16)
    parser.add_argument("--max_train_steps", type=int, default=100)
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--mixed_precision", choices=sorted(DTYPES), default="no")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    train(options().parse_args())

from pathlib import Path

import pytest
import torch

from fulora.diffusion.models.architectures import build
from fulora.diffusion.models.conditioning import embed, text_encoders, token_ids, unet_arguments
from fulora.diffusion.models.loading import BackboneError, load_backbone, quiet

TEXTS = ["a photo of fetal brain", "", "a photo of fetal femur"]


def test_clip_skip_counts_from_the_end_and_normalises(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    encoder, ids = pipe.text_encoder, token_ids(pipe.tokenizer, TEXTS)
    with torch.no_grad():
        last = encoder(ids)[0]
        skipped = embed(pipe, TEXTS, 2).states
        encoder.encoder.layers = encoder.encoder.layers[:-1]  # without its last layer, the one before it is the last
        assert torch.allclose(embed(pipe, TEXTS, 1).states, skipped, atol=1e-6)
        assert not torch.allclose(last, skipped, atol=1e-3)
    with pytest.raises(BackboneError, match="layer 3 from the end of a text encoder with 1: lower it"):
        embed(pipe, TEXTS, 3)


def test_each_distinct_caption_is_encoded_once_and_given_back_in_order(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    seen = []
    pipe.text_encoder.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    with torch.no_grad():
        many = embed(pipe, [*TEXTS, *TEXTS[::-1]])
        assert seen == [3]
        for place, text in enumerate([*TEXTS, *TEXTS[::-1]]):
            assert torch.allclose(many.states[place], embed(pipe, [text]).states[0], atol=1e-6)
    assert many.pooled is None
    assert many.at([1, 1]).states.shape[0] == 2


def test_a_text_that_is_too_long_is_refused(backbone: Path) -> None:
    with pytest.raises(BackboneError, match=r"has \d+ tokens, the backbone reads 32; shorten it"):
        embed(load_backbone(backbone), ["brain " * 40])


def test_sdxl_gets_the_same_conditioning_as_from_its_own_pipeline(tmp_path: Path) -> None:
    pipe = build("sdxl", tmp_path, small=True, seed=0)
    with torch.no_grad(), quiet():
        states, _, pooled, _ = pipe.encode_prompt(TEXTS[0], do_classifier_free_guidance=False)
        skipped = pipe.encode_prompt(TEXTS[0], do_classifier_free_guidance=False, clip_skip=1)[0]
        found = embed(pipe, [TEXTS[0]])
        assert found.pooled is not None
        assert torch.allclose(found.states, states, atol=1e-6)
        assert torch.allclose(found.pooled, pooled, atol=1e-6)
        assert torch.allclose(embed(pipe, [TEXTS[0]], 2).states, skipped, atol=1e-6)
    arguments = unet_arguments(found, (64, 96))
    assert arguments["added_cond_kwargs"]["time_ids"].tolist() == [[64, 96, 0, 0, 64, 96]]
    assert list(text_encoders(pipe)) == ["text_encoder", "text_encoder_2"]

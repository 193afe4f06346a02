"""A checkpoint of real size with random weights: for speed, which does not depend on their values.

    python benchmarks/random_checkpoint.py --backbone vit-b-32 --out runs/random-b32

It says nothing of accuracy. Labels are those of the mocap data set, so that its clips can be asked.
"""

from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

app = typer.Typer(add_completion=False)
PATCHES = {"vit-b-32": 32, "vit-b-16": 16}
CONTEXT, VOCABULARY = 77, 49408  # of OpenAI's CLIPs, as all sizes that are not named here


@app.command()
def main(
    backbone: Annotated[Literal["vit-b-32", "vit-b-16"], typer.Option(help="Vision tower.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    data: Annotated[Path, typer.Option(help="Data set whose labels it has.")] = Path(
        "build/data/mocap"
    ),
    frames: Annotated[int, typer.Option(help="Frames sampled from a video.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 0,
) -> None:
    """Writes the checkpoint whole or not at all."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    from clip_har.checkpoint import save_checkpoint
    from clip_har.dataset import data_set_from_folder
    from clip_har.nn.clip import OPENAI_MEAN, OPENAI_STD
    from clip_har.nn.model import CLIPHARModel
    from clip_har.spec import ModelSpec, Preprocessing

    torch.manual_seed(seed)
    clip = CLIPModel(CLIPConfig(vision_config={"patch_size": PATCHES[backbone]}))
    size = clip.config.vision_config.image_size
    spec = ModelSpec(
        backbone=f"random {backbone}",
        clip=clip.config.to_dict(),
        embed_dim=clip.config.projection_dim,
        frames=frames,
        temporal="attention_motion",
        labels=data_set_from_folder(data).labels,
        prompts=("a video of a person {}",),
        preprocessing=Preprocessing(image_size=size, mean=OPENAI_MEAN, std=OPENAI_STD),
    )
    model = CLIPHARModel(spec, clip)
    told = {"backbone": spec.backbone, "seed": seed, "weights": "random: of no use but for speed"}
    save_checkpoint(out, model, random_tokenizer(), told)
    print(f"{out}: written, {sum(p.numel() for p in model.parameters()) / 1e6:.0f} M weights")


def random_tokenizer() -> Any:
    """A tokenizer of CLIP's kind and size: its bytes, and made-up merges of two letters."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    ends = [f"{letter}</w>" for letter in letters]
    merges: Any = list(product(letters, ends))[: VOCABULARY - 2 * len(letters) - 2]
    tokens = [*letters, *ends, *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)


if __name__ == "__main__":
    app()

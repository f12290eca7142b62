"""Files of saved weights: whether they are whole, and the trained model's in bfloat16."""

import json
import zipfile
from pathlib import Path


def is_whole(file: Path) -> bool:
    """Whether a file of safetensors, or one of torch's, is there up to its end; what it holds is not read."""
    from safetensors import SafetensorError, safe_open  # needs torch, an optional package

    if file.suffix != ".safetensors":
        return zipfile.is_zipfile(file)
    try:
        with safe_open(file, framework="pt"):
            return True
    except (SafetensorError, OSError):
        return False


def round_to_bf16(folder: Path) -> None:
    """Rewrite the saved weights of a model or an adapter in bfloat16, file by file, each of them whole or not at all."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    size = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata()
        weights = {
            name: tensor.to(torch.bfloat16) if tensor.is_floating_point() else tensor
            for name, tensor in load_file(file).items()
        }
        size += sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
        partial = file.with_suffix(".partial")
        save_file(weights, partial, metadata=metadata)
        partial.replace(file)
    index, config = folder / "model.safetensors.index.json", folder / "config.json"
    if index.is_file():
        content = json.loads(index.read_text(encoding="utf-8"))
        content["metadata"]["total_size"] = size
        _replace(index, content)
    if config.is_file():
        content = json.loads(config.read_text(encoding="utf-8")) | {"dtype": "bfloat16"}
        _replace(config, content)


def _replace(file: Path, content: object) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.replace(file)

"""A base of a few thousand random weights with the small model's tokenizer, of Llama 3's kind, and data for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from training.data.dataset import Note
from training.data.prompt import load_prompt
from training.notes.generator import make_notes

ROOT = Path(__file__).resolve().parent.parent.parent
TOKENIZER = ROOT / "models" / "small" / "base"
ADAPTER: dict[str, Any] = {
    "rank": 4,
    "alpha": 8,
    "dropout": 0.1,  # so that a resumed run needs the random state too
    "targets": ["q_proj", "v_proj"],
    "learning_rate": 0.004,
    "warmup_steps": 2,
    "epochs": 2,
    "batch_size": 2,
    "accumulation": 2,
    "selection_notes": 3,
    "max_new_tokens": 4,
    "eval_steps": 6,
    "save_steps": 4,
    "keep_checkpoints": 2,
    "seed": 5,
}


def write_base(folder: Path) -> Path:
    """Write the base into the folder and return it."""
    from training.config import ModelConfig
    from training.model.llama import build_model, save_model
    from training.model.tokenizer import load_tokenizer

    shape = ModelConfig(
        hidden=16, intermediate=24, layers=2, heads=2, kv_heads=1, head_size=8, context=2048, rope_theta=500_000.0
    )
    save_model(build_model(shape, load_tokenizer(TOKENIZER), seed=1), folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(TOKENIZER / name, folder / name)
    return folder


def notes(count: int, seed: int) -> list[Note]:
    """Generate notes, some of them without cancer."""
    return list(make_notes(count, 0.2, seed))


def write_data(folder: Path) -> Path:
    """Write a data set: 27 training notes, of which 24 are trained on in 6 steps an epoch, and 2 for validation."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count, seed in (("train", 27, 1), ("validation", 2, 2)):
        records = [
            {"instruction": load_prompt().instruction, "input": note.text, "output": note.answer}
            for note in notes(count, seed)
        ]
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


def write_config(path: Path, **changes: object) -> Path:
    """Write a configuration with an adapter only."""
    path.write_text(yaml.safe_dump({"adapter": ADAPTER | changes}), encoding="utf-8")
    return path

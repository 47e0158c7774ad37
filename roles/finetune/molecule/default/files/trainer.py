"""Fake of the trainer: leaves behind what training and evaluation do; the first training ends as a killed one does."""

import pathlib
import sys

KILLED = 137
out = pathlib.Path("/out")
if sys.argv[1] == "adapter":
    began = out / "checkpoints/checkpoint-1/complete"
    if not began.exists():
        began.parent.mkdir(parents=True)
        began.touch()
        sys.exit(KILLED)
    (out / "metrics.jsonl").write_text('{"step": 2, "eval_f1": 0.5, "eval_loss": 0.1}\n', encoding="utf-8")
    (out / "adapter").mkdir(exist_ok=True)
    (out / "adapter/adapter_config.json").write_text("{}", encoding="utf-8")
else:
    (out / "evaluation.json").write_text("{}", encoding="utf-8")

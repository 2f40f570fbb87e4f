"""nnU-Net's side of training.py; run by a Python that has nnunetv2 (2.8.1), never by autoseg's.

    python nnunet_training_side.py STEPS

Trains on Dataset004_Hippocampus, preprocessed already, fold 0, as `nnUNetv2_train 4 3d_fullres 0 -device cpu` does, for
some steps. Prints their seconds, the first two left out, as JSON on the last line.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import time

import torch
from nnunetv2.run.run_training import get_trainer_from_args

WARM_UP = 2


def main() -> None:
    torch.set_num_threads(multiprocessing.cpu_count())  # as nnUNetv2_train does
    trainer = get_trainer_from_args("4", "3d_fullres", 0, device=torch.device("cpu"))
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    seconds = []
    for _ in range(WARM_UP + int(sys.argv[1])):
        started = time.perf_counter()
        trainer.train_step(next(trainer.dataloader_train))
        seconds.append(time.perf_counter() - started)
    batch = trainer.batch_size
    print("\n" + json.dumps({"seconds": statistics.median(seconds[WARM_UP:]), "batch": batch}), flush=True)
    trainer.dataloader_train._finish()
    trainer.dataloader_val._finish()


if __name__ == "__main__":
    main()

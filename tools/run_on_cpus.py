"""Run the numeric tests as other processors would: python tools/run_on_cpus.py [PYTEST OPTION...].

PyTorch picks its vector instructions from the processor, and adds up in another order with each; so it does with
another number of threads. What under10k promises must hold with all of them. Those that this processor lacks are left
out, and named. Ends with 1 where a test fails with any of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parent.parent / "tests"

NUMERIC = [
    "data/test_augment.py",
    "data/test_framing.py",
    "data/test_mixing.py",
    "data/test_synthetic.py",
    "evaluation",
    "export/test_export_c.py::test_float_gives_the_logits_of_pytorch",
    "export/test_export_c.py::test_int8_equals_its_reference_bit_for_bit",
    "export/test_export_c.py::test_the_reference_adds_up_exactly_in_float32_too",
    "export/test_export_onnx.py::test_onnx_gives_the_logits_of_pytorch_for_one_image_and_for_seven",
    "export/test_export_onnx.py::test_int8_is_smaller_and_near",
    "export/test_export_plain.py",
    "export/test_own_plain.py",
    "export/test_page_program.py::test_node_computes_the_logits_of_every_network",
    "models/test_models.py",
    "pictures/test_prediction.py::test_one_digit_in_any_mode_is_the_same_digit",
    "pictures/test_prediction.py::test_an_image_in_mnists_frame_comes_out_nearly_as_it_is",
    "pictures/test_prediction.py::test_most_digits_are_read_under_each_condition",
    "study/test_study.py::test_worker_processes_find_what_one_process_finds",
    "training/test_averaging.py",
    "training/test_layout.py",
    "training/test_resume.py",
    "training/test_schedule.py",
    "training/test_selection.py",
    "training/test_sgd.py",
    "training/test_shards.py",
    "training/test_start.py::test_a_killed_training_resumes_to_the_same_bytes",
    "training/test_teacher.py",
    "training/test_training.py::test_a_run_killed_anywhere_and_resumed_ends_byte_identical",
    "training/test_training.py::test_a_stop_within_an_epoch_forgets_no_loss_that_images_are_skipped_by",
    "training/test_training.py::test_a_training_is_the_same_whatever_torch_is_set_to",
    "training/test_training.py::test_every_recipe_trains_and_leaves_a_whole_run_folder",
    "training/test_training.py::test_held_out_never_trains_on_the_validation_images",
    "training/test_training.py::test_the_loaded_model_scores_what_the_result_says",
    "training/test_training.py::test_the_same_recipe_and_seed_give_byte_identical_weights",
    "training/test_training.py::test_training_learns",
    "training/test_training.py::test_two_trainings_in_two_threads_end_as_each_does_alone",
    "weights/test_weights.py",
]
"""The tests that compute with PyTorch; all others are about files, words, processes and pictures before any network."""

INSTRUCTIONS = {"default": "SSE41", "avx2": "AVX2", "avx512": "AVX512_CORE"}
"""What ATEN_CPU_CAPABILITY can be on x86, lowest first, and oneDNN's name for it."""


def main(options: list[str]) -> int:
    """Run the tests with each kind of instructions, on one thread and on two; return the exit code."""
    best = torch.backends.cpu.get_cpu_capability().lower()
    kinds = list(INSTRUCTIONS)
    known = kinds[: kinds.index(best) + 1] if best in kinds else ["default"]
    results = []
    for kind in known:
        for threads in "1", "2":
            asked = {"ATEN_CPU_CAPABILITY": kind, "ONEDNN_MAX_CPU_ISA": INSTRUCTIONS[kind], "TEST_THREADS": threads}
            asked["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin would slow the other worker's tests
            tests = [str(TESTS / name) for name in NUMERIC]
            command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "worksteal", *options, *tests]
            print(f"\n{kind}, {threads} thread(s)", flush=True)
            done = subprocess.run(command, env=os.environ | asked)  # noqa: S603
            results.append((kind, threads, done.returncode))
    print()
    for kind, threads, code in results:
        print(f"{kind:8} {threads} thread(s)  {'passed' if code == 0 else 'failed'}")
    for kind in kinds[len(known) :]:
        print(f"{kind:8} left out: this processor has {best} at most")
    return int(any(code for _, _, code in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

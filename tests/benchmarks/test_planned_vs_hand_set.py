"""What hand-set plans are given of a dataset, how minutes are shared out, and the table."""

from __future__ import annotations

import csv
import io
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import planned_vs_hand_set
import pytest
import torch
from comparison_page import as_csv, by_dice, page
from hand_set_settings import settings_for, smaller_batches
from planned_vs_hand_set import answering, compare, main, parted, share_minutes, shared_out

from autoseg.dataset import Description, Labels, generate_kidneys, make_folds
from autoseg.errors import AutosegError
from autoseg.fingerprint import Fingerprint
from autoseg.fingerprint.model import CaseFacts, ImageIntensities, Intensities, LabelFacts
from autoseg.inference.model import read_model
from autoseg.plan import Plan, Stage, read_plan, with_settings, write_plan
from autoseg.plan.preprocessing import CTWindow, ZScore
from autoseg.plan.shipped import find_plan, shipped_plans


def shipped(name: str) -> Plan:
    return read_plan(find_plan(name))


def facts(
    names: tuple[str, str], channel: str, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> Fingerprint:
    labels = Labels(values={"background": 0, names[0]: 1, names[1]: 2})
    case = {"shape": shape, "spacing_mm": spacing_mm, "shape_after_crop": shape, "relative_size": 1.0}
    numbers = {"mean": 50, "median": 50, "std": 9, "min": 0, "max": 99, "percentile_00_5": 1, "percentile_99_5": 98}
    label = LabelFacts(values=(1,), voxels=9, share_of_cases=1, volume_mm3=None, components=None)
    return Fingerprint(
        dataset=Description(name="Test", channels=(channel,), labels=labels),
        cases=tuple(CaseFacts(name=f"case_{n}", orientation="LPS", **case) for n in range(3)),
        intensities=(Intensities(**numbers),),
        median_relative_size=1.0,
        labels=dict.fromkeys(names, label),
        image_intensities=(ImageIntensities(min=-3.0, max=200.0, whole_numbers=1.0),),
    )


def planned(normalisation: CTWindow | ZScore) -> Stage:
    stage = shipped("small_unet_3d").stages["3d_fullres"]
    return stage.model_copy(
        update={"preprocessing": stage.preprocessing.model_copy(update={"normalisation": (normalisation,)})}
    )


SMALL_MR = facts(("Anterior", "Posterior"), "MRI", (35, 50, 36), (1.0, 1.0, 1.0))
KIDNEY_CT = facts(("kidney", "tumour"), "CT", (60, 120, 120), (3.0, 1.6, 1.6))


def values(name: str, fingerprint: Fingerprint, stage: Stage) -> dict[str, Any]:
    settings = (setting.partition("=") for setting in settings_for(shipped(name), fingerprint, stage))
    return {path: json.loads(value) for path, _, value in settings}


class TestSettings:
    @pytest.mark.parametrize(
        ("plan", "stage", "patch"),  # 35 × 50 × 36 voxels, up to a multiple of the strides
        [
            ("residual_unet_3d", "3d_fullres", [48, 64, 64]),  # 16 × 32 × 32
            ("recursive_unet_2d", "2d", [64, 64]),  # 32 × 32
            ("cascade_residual_unet", "full", [48, 64, 64]),
            ("coarse_to_fine_vnet", "coarse", [48, 64, 48]),  # 16 × 16 × 16
        ],
    )
    def test_patch_holds_the_image(self, plan: str, stage: str, patch: list[int]) -> None:
        found = values(plan, SMALL_MR, planned(ZScore()))

        assert found[f"stages.{stage}.sampling.patch_size"] == patch

    def test_patch_is_not_larger_than_the_published_one(self) -> None:
        large = facts(("a", "b"), "MRI", (300, 300, 300), (1.0, 1.0, 1.0))

        found = values("residual_unet_3d", large, planned(ZScore()))

        assert found["stages.3d_fullres.sampling.patch_size"] == [80, 160, 160]

    def test_fixed_window_of_hounsfield_units_is_not_for_magnetic_resonance(self) -> None:
        found = values("residual_unet_3d", SMALL_MR, planned(ZScore()))

        assert [scale["kind"] for scale in found["stages.3d_fullres.preprocessing.normalisation"]] == ["zscore"]

    def test_outside_of_a_mask_is_the_lowest_intensity(self) -> None:
        found = values("coarse_to_fine_vnet", SMALL_MR, planned(ZScore()))

        assert found["stages.tumour_densenet.previous.mask.value"] == -3.0

    def test_a_stage_is_coarse_only_where_the_image_would_not_fit(self) -> None:
        small = values("cascade_residual_unet", SMALL_MR, planned(ZScore()))
        large = values(
            "cascade_residual_unet", facts(("a", "b"), "MRI", (120, 240, 160), (1.0, 1.0, 1.0)), planned(ZScore())
        )

        assert small["stages.roi.preprocessing.spacing_mm"] == [1.0, 1.0, 1.0]
        assert large["stages.roi.preprocessing.spacing_mm"] == [1.5, 1.5, 1.5]  # 240 voxels into a patch of 160
        assert large["stages.full.preprocessing.spacing_mm"] == [1.0, 1.0, 1.0]

    def test_box_is_not_larger_than_the_image(self) -> None:
        found = values("cascade_residual_unet", SMALL_MR, planned(ZScore()))

        assert found["stages.full.previous.crop.size_mm"] == [35.0, 50.0, 36.0]

    def test_validation_takes_no_more_of_the_minutes_than_planned(self) -> None:
        found = values("slicewise_unet_2d", SMALL_MR, planned(ZScore()))

        assert found["stages.2d.training.validation_iterations"] == 5  # 100 in the plan of hours on a GPU

    def test_computed_tomography_of_the_same_labels_keeps_what_is_published(self) -> None:
        window = CTWindow(lower=-50, upper=250, mean=100, std=60)

        found = values("residual_unet_3d", KIDNEY_CT, planned(window))

        assert found["stages.3d_fullres.preprocessing.spacing_mm"] == [3.22, 1.62, 1.62]
        assert "stages.3d_fullres.preprocessing.normalisation" not in found

    def test_voxels_are_not_finer_than_planned(self) -> None:
        window = CTWindow(lower=-50, upper=250, mean=100, std=60)

        found = values("cascade_residual_unet", KIDNEY_CT, planned(window))

        assert found["stages.full.preprocessing.spacing_mm"] == [3.0, 1.6, 1.6]  # published: 1.0 × 0.78 × 0.78

    def test_smaller_batches_keep_a_patch_and_its_copies_together(self) -> None:
        stage = shipped("residual_unet_3d").stages["3d_fullres"]  # 6: 2 patches with 2 copies each

        assert list(smaller_batches(stage)) == [3]


class TestMinutes:
    @pytest.mark.parametrize("name", sorted(shipped_plans()))
    def test_the_trainings_of_a_system_last_the_minutes_together(self, name: str) -> None:
        plan = shipped(name)
        answer = answering(plan, name)

        shares = share_minutes(plan, answer, 8.0)

        models = {stage: 1 if stage in answer else 2 for stage in shares}  # one on either half of the cases
        assert sum(minutes * models[stage] for stage, minutes in shares.items()) == pytest.approx(8.0)

    def test_stages_share_equally(self) -> None:
        plan = shipped("coarse_to_fine_vnet")

        shares = share_minutes(plan, answering(plan, "coarse_to_fine_vnet"), 8.0)

        assert shares == {"coarse": 1.0, "fine_se_resnext": 1.0, "tumour_densenet": 2.0, "tumour_se_resnext": 2.0}

    def test_published_lengths_are_left(self) -> None:
        assert shared_out(Namespace(minutes=None), shipped("cascade_residual_unet"), "cascade_residual_unet") == []

    def test_each_case_is_predicted_once_by_a_model_that_did_not_see_it(self) -> None:
        names = [f"case_{n}" for n in range(7)]

        folds = parted(names, 2)

        assert sorted(name for fold in folds for name in fold.validation) == names
        assert all(sorted((*fold.training, *fold.validation)) == names for fold in folds)


def a_mean(value: float | None) -> dict[str, Any]:
    return {"mean": value, "low": None if value is None else value - 0.1, "high": value, "cases": 9}


def a_row(plan: str, dice: float) -> dict[str, Any]:
    stage = {"minutes": 8, "iterations": [3, 4], "seconds_per_iteration": 2.5, "waiting_share": 0.25, "models": 2}
    stage |= {"parameters": 10, "patch_size": [8, 8], "batch_size": 2, "spacing_mm": [1.0, 1.0], "stopped": []}
    stage |= {"normalisation": ["ct"], "planned_training_gb": 1.1, "predicted_gb": 1.0, "measured_gb": None}
    label = {"dice": a_mean(dice), "surface_dice": a_mean(0.5), "hd95_mm": a_mean(12.0)}
    machine = {"hardware": "a processor", "threads": "2", "device": "cpu", "python": "3", "torch": "2", "date": "2026"}
    row = {"plan": plan, "title": plan, "answer": ["2d"], "folds": 1, "cases": 9, "tolerance_mm": 1.0}
    row |= {"mean": a_mean(dice), "labels": {"kidney": label}, "stages": {"2d": stage}, "trained_minutes": 8.0}
    return {**row, "parameters": 10, "prediction_seconds_a_case": 0.5, "machine": machine}


RUN = {
    "dataset": "Test",
    "minutes": 8,
    "published": False,
    "mirrored": True,
    "command": "python …",
    "note": "Nothing else ran.",
}
ROWS = [
    a_row("worse", 0.5),
    {"plan": "large", "title": "large", "problem": "needs 40 GB"},
    a_row("better", 0.75),
    a_row("planned", 0.25),
]


def test_planned_comes_first_then_the_best() -> None:
    assert [row["plan"] for row in by_dice(ROWS)] == ["planned", "better", "worse", "large"]


def test_csv_has_a_line_a_system() -> None:
    read = {row["plan"]: row for row in csv.DictReader(io.StringIO(as_csv(ROWS)))}

    assert float(read["better"]["kidney_dice"]) == 0.75
    assert float(read["better"]["kidney_dice_low"]) == 0.65
    assert float(read["better"]["2d.iterations"]) == 7
    assert read["better"]["2d.measured_gb"] == ""
    assert read["large"]["problem"] == "needs 40 GB"


def test_page_says_what_was_not_trained() -> None:
    text = page(RUN, by_dice(ROWS), "figure.png")

    assert "| better | **0.750** (0.650–0.750) | 0.750 (0.650–0.750) | 0.500 / 12.0 |" in text
    assert "| better | 8.0 | 3+4 | 2.50 | 25% | 0.0 M | 1.00 / – | 0.50 |" in text
    assert "- large (`large`): needs 40 GB" in text
    assert "Nothing else ran." in text


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The benchmark as a shell would run it, in an empty folder; its exit code."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def ran(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["planned_vs_hand_set.py", *map(str, words), "-o", "results"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code

    return ran


class TestMistakes:
    @pytest.mark.parametrize(
        ("words", "problem"),
        [
            (["--minutes", "0"], "--minutes 0: give 0.01 to 100000 minutes."),
            (["--minutes", "-1"], "--minutes -1: give"),
            (["--minutes", "nan"], "--minutes nan: give"),
            (["--minutes", "inf"], "--minutes inf: give"),
            (["--minutes", "1e6"], "--minutes 1e+06: give"),  # a + would stand in the plan's name
            (["--tolerance", "-1"], "--tolerance -1: give 0 to 1e+06 mm."),
            (["--device", "tpu"], "device 'tpu' is not to be had on this machine."),
            (["--plans", "planned", "nonsense"], "'nonsense' is neither a file nor a plan that ships with autoseg"),
            (["--plans", "my plan.json"], "my plan.json: no such file."),
            ([], "nowhere: no such folder."),
        ],
    )
    def test_are_told_before_anything_is_done(
        self, run: Callable[..., int], capsys: pytest.CaptureFixture[str], words: list[str], problem: str
    ) -> None:
        assert run("nowhere", *words) == 2
        assert problem in capsys.readouterr().err
        assert list(Path.cwd().iterdir()) == []

    def test_names_of_files_must_do_for_plans(
        self, run: Callable[..., int], capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        plan = tmp_path / "my plan.json"
        write_plan(plan, shipped("small_unet_3d"))
        assert run("nowhere", "--plans", plan) == 2
        assert f"{plan}: a file's name becomes a plan's here." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failing", "code", "written"), [([], 0, True), (["planned"], 1, True), (["planned", "small_unet_3d"], 1, False)]
)
def test_systems_that_fail(
    run: Callable[..., int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failing: list[str],
    code: int,
    written: bool,
) -> None:
    def run_system(arguments: Namespace, name: str) -> dict[str, Any]:
        if name in failing:
            raise AutosegError("it does not fit")
        return a_row(name, 0.5)

    pages: list[list[dict[str, Any]]] = []
    monkeypatch.setattr(planned_vs_hand_set, "run_system", run_system)
    monkeypatch.setattr(planned_vs_hand_set, "write_results", lambda run, rows, folder: pages.append(rows))
    data = generate_kidneys(tmp_path / "kidneys", cases=5, shape=(10, 32, 32), spacing_mm=(12.0, 5.0, 5.0)).path

    assert run(data, "--plans", "planned", "small_unet_3d") == code
    assert bool(pages) == written
    for row in pages[-1] if pages else []:
        assert row.get("problem") == ("it does not fit" if row["plan"] in failing else None)


def small_cascade() -> Plan:
    """The published cascade, with networks and lengths that take a second."""
    network = {"kind": "plain_unet", "features": [4, 8], "kernels": [[3, 3, 3]] * 2, "strides": [[1, 1, 1], [2, 2, 2]]}
    network |= {"encoder_convolutions": [1, 1], "decoder_convolutions": [1], "deep_supervision": False}
    training = {"epochs": 1, "iterations_per_epoch": 2, "validation_iterations": 1}
    values = {"network": network, "training": training, "preprocessing.spacing_mm": [12, 5, 5]}
    values |= {"sampling.patch_size": [8, 16, 16], "inference.mirror_axes": []}
    return with_settings(
        shipped("cascade_residual_unet"), [f"stages.*.{path}={json.dumps(value)}" for path, value in values.items()]
    )


@pytest.mark.slow
def test_held_back_cases_are_scored_and_never_trained_on(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    dataset = generate_kidneys(tmp_path / "kidneys", cases=6, shape=(10, 32, 32), spacing_mm=(12.0, 5.0, 5.0))
    held_back = make_folds(dataset)[0].validation
    plan = tmp_path / "small.json"
    write_plan(plan, small_cascade())
    arguments = Namespace(dataset=dataset.path, minutes=None, published=True, plans=[str(plan)], device="cpu")
    for name, value in (("workspace", tmp_path / "work"), ("output", tmp_path / "results"), ("note", "")):
        setattr(arguments, name, value)
    for name, value in (("tolerance", 5.0), ("no_tta", True), ("kits_like", False)):
        setattr(arguments, name, value)

    compare(arguments)

    models = sorted((tmp_path / "work" / "fold_0" / "models").glob("*/*/fold_*"))
    assert [f"{folder.parent.name}/{folder.name}" for folder in models] == [
        "full/fold_all",
        *(f"roi/fold_{number}" for number in range(5)),
    ]
    for folder in models:
        model = read_model(folder)
        assert not {*model.training_cases, *model.validation_cases} & set(held_back)
    results = tmp_path / "results" / "planned_vs_hand_set_kidneys_published"
    row = json.loads(results.with_suffix(".json").read_text())["rows"][0]
    assert row["cases"] == len(held_back) == 2
    assert [stage["iterations"] for stage in row["stages"].values()] == [[2] * 5, [2]]
    assert all(results.with_suffix(end).is_file() for end in (".csv", ".png", ".md"))

    written = {folder: (folder / "weights.safetensors").stat().st_mtime_ns for folder in models}
    compare(arguments)

    assert {folder: (folder / "weights.safetensors").stat().st_mtime_ns for folder in models} == written
    assert json.loads(results.with_suffix(".json").read_text())["rows"] == [row]

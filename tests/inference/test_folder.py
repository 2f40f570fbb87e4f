"""Predictions on disk: their names, their grids, and what is kept."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage as ndi
from torch import nn

from autoseg.dataset import Labels, Region, find_cases, read_image, read_label_map, write_image, write_label_map
from autoseg.errors import AutosegError
from autoseg.geometry import plain_grid
from autoseg.inference import folder, way
from autoseg.inference.folder import predict_cases
from autoseg.inference.memory import Way
from autoseg.inference.record import read_labels
from autoseg.inference.team import Team
from autoseg.plan.postprocessing import KeepLargest, RemoveUncertain

TURN = np.deg2rad(20)
STRAIGHT = (1, 0, 0, 0, 1, 0, 0, 0, 1)
OBLIQUE = (np.cos(TURN), -np.sin(TURN), 0, np.sin(TURN), np.cos(TURN), 0, 0, 0, 1)
TURNED = (0, 0, 1, 1, 0, 0, 0, 1, 0)  # another order of axes
FLIPPED = (-1, 0, 0, 0, -1, 0, 0, 0, 1)


def write(path: Path, shape=(6, 7, 5), direction=STRAIGHT, seed=0, dtype=np.float32) -> np.ndarray:
    """Writes random voxels with SimpleITK alone, anisotropic and off the origin; returns them."""
    array = np.random.default_rng(seed).normal(0, 100, size=shape).astype(dtype)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-31.25, 18.5, 940.0))
    image.SetDirection(direction)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return array


def header(path: Path) -> tuple[tuple[float, ...], ...]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def predictor(make_predictor):
    return make_predictor(patch=(4, 4, 4), spacing_mm=(2.5, 0.8, 0.7))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("direction", [STRAIGHT, OBLIQUE, TURNED, FLIPPED], ids=["straight", "oblique", "axes", "flip"])
def test_grids_are_those_of_the_images(predictor, tmp_path, ending, direction):
    image = tmp_path / "images" / f"scan_0000{ending}"
    array = write(image, direction=direction)
    assert predict_cases(predictor, find_cases([image.parent], 1), tmp_path / "out").failures == []
    written = tmp_path / "out" / f"scan{ending}"
    assert header(written) == header(image)
    label_map = sitk.ReadImage(str(written))
    assert label_map.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label_map), np.where(array > 0, 7, 0))


@pytest.mark.parametrize("spacing_mm", [(2.5, 0.8, 0.7), (1.0, 1.0, 1.0), (5.0, 3.0, 3.0)])
def test_grids_are_kept_whatever_the_plans_spacing(make_predictor, tmp_path, spacing_mm):
    write(tmp_path / "scan_0000.nii.gz", direction=OBLIQUE)
    predictor = make_predictor(patch=(4, 4, 4), spacing_mm=spacing_mm)
    assert predict_cases(predictor, find_cases([tmp_path / "scan_0000.nii.gz"], 1), tmp_path / "out").failures == []
    assert header(tmp_path / "out" / "scan.nii.gz") == header(tmp_path / "scan_0000.nii.gz")


@pytest.mark.parametrize("name", ["ct_3mm.nii.gz", "brain.nrrd"])
def test_grids_of_real_images(real_data, make_predictor, tmp_path, name):
    image = real_data(f"samples/{name}")
    predictor = make_predictor(patch=(32, 32, 32), spacing_mm=(8.0, 8.0, 8.0), overlap=0.0)
    assert predict_cases(predictor, find_cases([image], 1), tmp_path).failures == []
    assert header(tmp_path / name) == header(image)


def test_the_names_of_predictions(predictor, tmp_path):
    """NAME.nii.gz for NAME_0000.nii.gz; a file without a channel's number keeps its name; 4-D files work, too."""
    images = tmp_path / "images"
    for name in ("liver_0000.nii.gz", "case_12.nii.gz", "spleen_0000.nrrd"):
        write(images / name)
    four = sitk.JoinSeries([sitk.ReadImage(str(images / "case_12.nii.gz"))])
    sitk.WriteImage(four, str(images / "decathlon.nii.gz"))
    assert predict_cases(predictor, find_cases([images], 1), tmp_path / "out").failures == []
    assert listed(tmp_path / "out") == [
        "case_12.nii.gz",
        "decathlon.nii.gz",
        "liver.nii.gz",
        "predictions.json",
        "spleen.nrrd",
    ]
    assert header(tmp_path / "out" / "decathlon.nii.gz") == header(images / "case_12.nii.gz")


def test_one_ending_for_all(predictor, tmp_path):
    write(tmp_path / "in" / "a_0000.mha")
    assert (
        predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / "out", file_ending=".nii.gz").failures
        == []
    )
    assert listed(tmp_path / "out") == ["a.nii.gz", "predictions.json"]


def test_channels_of_a_case(make_predictor, tmp_path):
    class Higher(nn.Module):
        """Sees a kidney where the second channel is above the first."""

        def forward(self, images):
            return (images,)

    first, second = (write(tmp_path / "in" / f"brain_{channel:04d}.nii.gz", seed=channel) for channel in range(2))
    predictor = make_predictor([Higher()], patch=(4, 4, 4), channels=("T1", "T2"), spacing_mm=(2.5, 0.8, 0.7))
    assert predict_cases(predictor, find_cases([tmp_path / "in"], 2), tmp_path / "out").failures == []
    assert listed(tmp_path / "out") == ["brain.nii.gz", "predictions.json"]
    label_map, _ = read_label_map(tmp_path / "out" / "brain.nii.gz")
    np.testing.assert_array_equal(label_map, np.where(second > first, 7, 0))


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_pictures(make_predictor, tmp_path, ending):
    array = np.random.default_rng(0).integers(0, 2, (9, 14)).astype(np.uint8) * 200
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"cell_0000{ending}"))
    predictor = make_predictor(patch=(6, 4))
    assert predict_cases(predictor, find_cases([tmp_path / f"cell_0000{ending}"], 1), tmp_path / "out").failures == []
    label_map = sitk.ReadImage(str(tmp_path / "out" / f"cell{ending}"))
    assert label_map.GetSize() == (14, 9)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label_map), np.where(array > 0, 7, 0))


def test_colour_pictures(make_predictor, tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (9, 14, 3)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "skin.png"))
    predictor = make_predictor(patch=(6, 4), channels=("red", "green", "blue"))
    assert predict_cases(predictor, find_cases([tmp_path / "skin.png"], 3), tmp_path / "out").failures == []
    label_map = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out" / "skin.png")))
    np.testing.assert_array_equal(label_map, np.where(array[..., 0] > 0, 7, 0))


def test_an_image_of_nothing_but_air(make_predictor, tmp_path):
    image = sitk.GetImageFromArray(np.zeros((5, 6, 7), np.int16))
    sitk.WriteImage(image, str(tmp_path / "air.nii.gz"))
    predictor = make_predictor(patch=(4, 4, 4), crop_to_nonzero=True)
    assert predict_cases(predictor, find_cases([tmp_path / "air.nii.gz"], 1), tmp_path / "out").failures == []
    assert not read_label_map(tmp_path / "out" / "air.nii.gz")[0].any()


def test_predictions_that_are_there_are_kept(predictor, tmp_path):
    for number in range(3):
        write(tmp_path / "in" / f"case_{number}_0000.nii.gz", seed=number)
    cases = find_cases([tmp_path / "in"], 1)
    assert predict_cases(predictor, cases[:2], tmp_path / "out") == (2, 0, [])
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "out").glob("*.nii.gz")}
    asked = predictor.networks[0].calls
    assert predict_cases(predictor, cases[:2], tmp_path / "out") == (0, 2, [])
    assert predictor.networks[0].calls == asked
    assert predict_cases(predictor, cases, tmp_path / "out") == (1, 2, [])
    assert predictor.networks[0].calls == asked * 3 / 2
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert listed(tmp_path / "out") == [*(f"case_{number}.nii.gz" for number in range(3)), "predictions.json"]


def test_probabilities_beside_the_label_map(predictor, tmp_path):
    array = write(tmp_path / "in" / "a_0000.nii.gz")
    cases = find_cases([tmp_path / "in"], 1)
    predict_cases(predictor, cases, tmp_path / "out")
    made = predict_cases(predictor, cases, tmp_path / "out", probabilities=True)
    assert made == (1, 0, [])  # although the label map is there
    assert listed(tmp_path / "out") == ["a.nii.gz", "a.npz", "predictions.json"]
    with np.load(tmp_path / "out" / "a.npz", allow_pickle=False) as stored:
        assert stored.files == ["probabilities"]
        probabilities = stored["probabilities"]
    assert (probabilities.dtype, probabilities.shape) == (np.float32, (2, *array.shape))
    np.testing.assert_array_equal(probabilities[1] > 0.5, array > 0)
    made = (tmp_path / "out" / "a.npz").stat()
    predict_cases(predictor, cases, tmp_path / "out", probabilities=True)
    assert (tmp_path / "out" / "a.npz").stat().st_mtime_ns == made.st_mtime_ns


def test_a_broken_image_does_not_stop_the_others(predictor, tmp_path):
    for name in ("a", "b", "c", "d"):
        write(tmp_path / "in" / f"{name}_0000.nii.gz")
    truncated = tmp_path / "in" / "b_0000.nii.gz"
    truncated.write_bytes(truncated.read_bytes()[:200])
    nan = sitk.ReadImage(str(tmp_path / "in" / "c_0000.nii.gz"))
    nan[1, 1, 1] = float("nan")
    sitk.WriteImage(nan, str(tmp_path / "in" / "c_0000.nii.gz"))
    predicted, kept, failures = predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / "out")
    assert (predicted, kept, len(failures)) == (2, 0, 2)
    assert failures[0].startswith(f"case 'b': {truncated}: ")
    assert failures[1].startswith("case 'c': ")
    assert "NaN" in failures[1]
    assert listed(tmp_path / "out") == ["a.nii.gz", "d.nii.gz", "predictions.json"]


def test_cases_of_other_channels_do_not_stop_the_others(make_predictor, tmp_path):
    for name in ("a_0000", "a_0001", "b_0000", "c_0000", "c_0001", "c_0002", "d"):
        write(tmp_path / "in" / f"{name}.nii.gz")
    predictor = make_predictor(channels=("T1", "T2"))
    predicted, kept, failures = predict_cases(predictor, find_cases([tmp_path / "in"], 2), tmp_path / "out")
    takes = "the model takes 2 channels (T1, T2)"
    assert (predicted, kept, listed(tmp_path / "out")) == (1, 0, ["a.nii.gz", "predictions.json"])
    for failure, beginning in zip(
        failures,
        (
            f"case 'b': {tmp_path}/in/b_0001.nii.gz is missing; {takes}. ",
            f"case 'c': 3 channels in c_0000.nii.gz, c_0001.nii.gz, c_0002.nii.gz, but {takes}. ",
            f"case 'd': 1 channel in d.nii.gz, but {takes}. ",
        ),
        strict=True,
    ):
        assert failure.startswith(beginning)


def test_progress_is_told_in_shares_of_a_case(make_predictor, tmp_path):
    """A large image shows that it goes on; and every case counts one, be it predicted, kept or failed."""

    class OnceTooLarge(nn.Module):
        calls = 0

        def forward(self, images):
            self.calls += 1
            if self.calls == 12 + 3:  # 12 windows an image
                raise torch.OutOfMemoryError
            return (torch.cat((-images, images), dim=1),)

    for name in ("a", "b", "c", "d"):
        write(tmp_path / "in" / f"{name}_0000.nii.gz")
    cases = find_cases([tmp_path / "in"], 1)
    predictor = make_predictor([OnceTooLarge()], patch=(4, 4, 4), spacing_mm=(2.5, 0.8, 0.7))
    told = []

    @contextmanager
    def progress(description, total):
        told.append((description, total))
        yield lambda done, note: told.append((note, done))

    predict_cases(predictor, cases[:1], tmp_path / "out")
    predicted, kept, [failure] = predict_cases(predictor, cases, tmp_path / "out", progress=progress)
    assert (predicted, kept) == (2, 1)
    assert failure.startswith("case 'b': the GPU's memory ran out in a single window of 4 × 4 × 4 voxels.")
    assert told.pop(0) == ("predicting by net", 4)
    shares = {name: [done for case, done in told if case == name] for name in "abcd"}
    assert {name: len(steps) for name, steps in shares.items()} == {"a": 1, "b": 2 + 1, "c": 12 + 1, "d": 12 + 1}
    assert [sum(steps) for steps in shares.values()] == pytest.approx([1, 1, 1, 1])


def test_an_image_of_the_same_name_is_not_taken_for_predicted(predictor, tmp_path):
    """Two hospitals call their scans alike: neither's label maps are kept for, or lost to, the other's."""
    for seed, hospital in enumerate("AB"):
        write(tmp_path / hospital / "scan_0000.nii.gz", seed=seed)
    (a, b), out = (find_cases([tmp_path / hospital], 1) for hospital in "AB"), tmp_path / "out"
    predict_cases(predictor, a, out)
    before = (out / "scan.nii.gz").read_bytes()
    refused = (
        f"case 'scan': {out / 'scan.nii.gz'}: the prediction of another image of this name, or of this one before it "
        "was changed. Give another output folder, or remove the file."
    )
    assert predict_cases(predictor, b, out) == (0, 0, [refused])
    assert (out / "scan.nii.gz").read_bytes() == before
    assert predict_cases(predictor, a, out) == (0, 1, [])
    (out / "scan.nii.gz").unlink()
    assert predict_cases(predictor, b, out) == (1, 0, [])
    assert predict_cases(predictor, a, out) == (0, 0, [refused])


def test_moved_images_are_the_same_and_changed_ones_are_not(predictor, tmp_path):
    write(tmp_path / "in" / "scan_0000.nii.gz")
    predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / "out")
    (tmp_path / "in").rename(tmp_path / "moved")
    [case] = find_cases([tmp_path / "moved"], 1)
    assert predict_cases(predictor, [case], tmp_path / "out") == (0, 1, [])
    write(case.images[0], seed=1)
    assert predict_cases(predictor, [case], tmp_path / "out")[:2] == (0, 0)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.npz"])
def test_files_of_unknown_origin_are_not_overwritten(predictor, tmp_path, name):
    for case in "ab":
        write(tmp_path / "in" / f"{case}_0000.nii.gz")
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir()
    foreign.write_bytes(b"a doctor's work")
    cases = find_cases([tmp_path / "in"], 1)
    assert predict_cases(predictor, cases, tmp_path / "out", probabilities=True) == (
        1,
        0,
        [
            f"case 'a': {foreign}: a file that is no prediction made here (predictions.json does not list it). "
            "Give another output folder, or remove the file."
        ],
    )
    assert foreign.read_bytes() == b"a doctor's work"


@pytest.mark.parametrize("output", ["in", "in/../in", "link"])
def test_images_are_not_overwritten(predictor, tmp_path, output):
    write(tmp_path / "in" / "a_0000.nii.gz")
    write(tmp_path / "in" / "b.nii.gz")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    before = {path: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    with pytest.raises(AutosegError) as raised:
        predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / output)
    assert str(raised.value) == (
        f"{tmp_path / output / 'b.nii.gz'}: one of the images to predict, and its label map would get the same name. "
        "Give another output folder."
    )
    assert {path: path.read_bytes() for path in (tmp_path / "in").iterdir()} == before


@pytest.mark.parametrize("killed_at", ["record_files", "atomic_path", "write_label_map"])
def test_a_killed_prediction_is_made_again(predictor, tmp_path, monkeypatch, killed_at):
    def kill(*arguments, **options):
        raise KeyboardInterrupt

    for case in "ab":
        write(tmp_path / "in" / f"{case}_0000.nii.gz")
    cases = find_cases([tmp_path / "in"], 1)
    predict_cases(predictor, cases[:1], tmp_path / "out", probabilities=True)
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(folder, killed_at, kill)
        predict_cases(predictor, cases, tmp_path / "out", probabilities=True)
    assert not (tmp_path / "out" / "b.nii.gz").exists()
    assert predict_cases(predictor, cases, tmp_path / "out", probabilities=True) == (1, 1, [])


def test_an_image_that_is_gone(predictor, tmp_path):
    gone = tmp_path / "in" / "a_0000.nii.gz"
    write(gone)
    cases = find_cases([tmp_path / "in"], 1)
    gone.unlink()
    failure = f"case 'a': {gone} is missing; the model takes 1 channel (CT). Add the file, or leave the case out."
    assert predict_cases(predictor, cases, tmp_path / "out") == (0, 0, [failure])


def test_a_folder_holds_the_predictions_of_one_model(predictor, make_predictor, tmp_path):
    write(tmp_path / "in" / "a_0000.nii.gz")
    cases = find_cases([tmp_path / "in"], 1)
    predict_cases(predictor, cases, tmp_path / "out")
    before = (tmp_path / "out" / "predictions.json").read_bytes()
    ensemble = make_predictor([nn.Identity(), nn.Identity()], patch=(4, 4, 4))
    unmirrored = make_predictor(patch=(4, 4, 4), mirror=False)
    for other, difference in ((ensemble, "folds: 1 there, 2 now"), (unmirrored, "mirrored: True there, False now")):
        with pytest.raises(AutosegError) as raised:
            predict_cases(other, cases, tmp_path / "out")
        assert str(raised.value) == (
            f"{tmp_path / 'out'}: holds predictions of another model ({difference}). "
            "Give another output folder, or remove that one."
        )
    assert (tmp_path / "out" / "predictions.json").read_bytes() == before


def test_the_record_says_what_the_values_mean(make_predictor, tmp_path):
    labels = Labels(values={"background": 0, "liver": 3, "vessel": 5})
    predictor = make_predictor(labels=labels)
    assert read_labels(tmp_path) is None
    predict_cases(predictor, [], tmp_path)
    assert read_labels(tmp_path) == labels
    record = json.loads((tmp_path / "predictions.json").read_text())
    assert (record["plan"], record["stage"], record["folds"], record["mirrored"]) == ("default", "net", 1, True)
    assert record["machine"]["torch"] == torch.__version__


def test_the_record_says_which_images_were_predicted(make_predictor, tmp_path):
    for channel in range(2):
        write(tmp_path / "in" / f"brain_{channel:04d}.nii.gz", seed=channel)
    predict_cases(make_predictor(channels=("T1", "T2")), find_cases([tmp_path / "in"], 2), tmp_path / "out")
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    images = [tmp_path / "in" / f"brain_{channel:04d}.nii.gz" for channel in range(2)]
    assert record["files"] == {
        "brain.nii.gz": [
            {"file": image.name, "size": image.stat().st_size, "modified_ns": image.stat().st_mtime_ns}
            for image in images
        ]
    }


@pytest.mark.parametrize("content", ["[]", "{}", '{"labels": {"values": 3}}', "not json"])
def test_a_broken_record(predictor, tmp_path, content):
    path = tmp_path / "predictions.json"
    path.write_text(content)
    with pytest.raises(AutosegError, match=r"predictions\.json: not a (record of predictions|JSON file)"):
        read_labels(tmp_path)
    with pytest.raises(AutosegError, match=r"predictions\.json: not a (record of predictions|JSON file)"):
        predict_cases(predictor, [], tmp_path)


def test_the_next_image_is_read_while_one_is_predicted(make_predictor, tmp_path, monkeypatch):
    """And the one before is written; whatever waits for something that comes later would wait for ever."""
    reading = {name: threading.Event() for name in "abc"}
    predicted, order = threading.Event(), []

    class Waiting(nn.Module):
        def forward(self, images):
            if not predicted.is_set():
                assert reading["b"].wait(20), "the second image is read only after the first is predicted"
                predicted.set()
            return (torch.cat((-images, images), dim=1),)

    def read(path):
        name = Path(path).name[0]
        reading[name].set()
        order.append(name)
        return read_image(path)

    monkeypatch.setattr(folder, "read_image", read)
    for name in "abc":
        write(tmp_path / "in" / f"{name}_0000.nii.gz")
    predictor = make_predictor([Waiting()], patch=(4, 4, 4), spacing_mm=(2.5, 0.8, 0.7))
    assert predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / "out") == (3, 0, [])
    assert order == ["a", "b", "c"]


@pytest.mark.parametrize("library", [np, torch])
def test_an_image_that_the_memory_does_not_hold_fails_alone(make_predictor, tmp_path, library):
    """NumPy and torch say it each in its own way."""

    class Greedy(nn.Module):
        def forward(self, images):
            if images.max() > 1e5:
                library.empty(2**46, dtype=library.float64)  # more than a processor can address
            return (torch.cat((-images, images), dim=1),)

    for name, brightest in (("a", 1.0), ("b", 1e6), ("c", 1.0)):
        array = np.full((6, 7, 5), brightest, dtype=np.float32)
        write_image(tmp_path / "in" / f"{name}_0000.nii.gz", array, plain_grid(array.shape, (2.5, 0.8, 0.7)))
    predictor = make_predictor([Greedy()], patch=(4, 4, 4), spacing_mm=(2.5, 0.8, 0.7))
    outcome = predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / "out")
    assert (outcome.predicted, outcome.kept) == (2, 0)
    assert outcome.failures == [
        "case 'b': the memory ran out. Predict it alone, on a machine with more, or cut the image."
    ]


def test_what_else_torch_says_is_no_lack_of_memory(make_predictor, tmp_path):
    class Broken(nn.Module):
        def forward(self, images):
            raise RuntimeError("a bug")

    write(tmp_path / "in" / "a_0000.nii.gz")
    predictor = make_predictor([Broken()], patch=(4, 4, 4), spacing_mm=(2.5, 0.8, 0.7))
    with pytest.raises(RuntimeError, match="a bug"):
        predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / "out")


def test_the_memory_is_told_beforehand_and_kept_to(predictor, tmp_path, caplog):
    write(tmp_path / "in" / "small_0000.nii.gz")
    write(tmp_path / "in" / "large_0000.nii.gz", shape=(12, 40, 50))
    cases = find_cases([tmp_path / "in"], 1)
    with caplog.at_level("INFO", "autoseg"):
        predict_cases(predictor, cases, tmp_path / "out", max_memory_gb=64)
    [message] = caplog.messages
    assert re.fullmatch(
        r"predicting is expected to take \d+\.\d GB of memory at the peak \('large', 12 × 40 × 50 voxels\)", message
    )
    with pytest.raises(AutosegError) as raised:
        predict_cases(predictor, cases, tmp_path / "other", max_memory_gb=0.1)
    assert re.fullmatch(
        r"--max-memory 0\.1: predicting takes \d\.\d GB of memory at the peak \('large', 12 × 40 × 50 voxels\) at "
        r"least, \d\.\d GB of them for the program and the model\. Allow it that much \(--max-memory \d(\.\d)?\)\.",
        str(raised.value),
    )  # of a small image nothing can be cut
    assert not (tmp_path / "other").exists()
    enough = float(re.search(r"--max-memory ([\d.]+)\)", str(raised.value))[1])
    assert predict_cases(predictor, cases, tmp_path / "other", max_memory_gb=enough + 0.1).predicted == 2


def test_a_large_image_may_be_cut_to_save_memory(predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(way, "resident_memory_bytes", lambda: 10**6)
    write(tmp_path / "in" / "large_0000.nii.gz", shape=(40, 60, 80))
    with pytest.raises(AutosegError, match=r"\(--max-memory 0\.1\), or cut the image to the part that matters\.$"):
        predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / "out", max_memory_gb=0.001)


def test_predictions_do_not_lie_among_the_images(predictor, tmp_path):
    write(tmp_path / "in" / "a_0000.nii.gz")
    with pytest.raises(AutosegError) as refused:
        predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / "in")
    assert str(refused.value) == (
        f"{tmp_path / 'in'}: holds images to predict, and label maps among them would be taken for images the next "
        "time. Give another output folder."
    )
    assert listed(tmp_path / "in") == ["a_0000.nii.gz"]


def test_a_folder_is_filled_by_one_process_at_a_time(predictor, tmp_path, monkeypatch):
    write(tmp_path / "in" / "a_0000.nii.gz")
    cases = find_cases([tmp_path / "in"], 1)

    @contextmanager
    def busy(place, problem, remedy):
        raise AutosegError(f"{place}: {problem}. {remedy}")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(folder, "alone_in", busy)
        with pytest.raises(AutosegError) as refused:
            predict_cases(predictor, cases, tmp_path / "out")
    assert str(refused.value) == (
        f"{tmp_path / 'out'}: another process predicts into this folder. Wait for it, or give another output folder."
    )
    assert predict_cases(predictor, cases, tmp_path / "out").predicted == 1
    monkeypatch.setattr(folder, "alone_in", busy)
    assert predict_cases(predictor, cases, tmp_path / "out").kept == 1  # which writes nothing


def test_with_little_memory_the_same_is_predicted(predictor, tmp_path, monkeypatch):
    """The sums on disk, one image after the other."""
    write(tmp_path / "in" / "scan_0000.nii.gz")
    write(tmp_path / "in" / "other_0000.nii.gz", seed=1)
    cases = find_cases([tmp_path / "in"], 1)
    predict_cases(predictor, cases, tmp_path / "out", probabilities=True)
    frugal = Way(read_ahead=False, sums_on_disk=True, host_bytes=1)
    monkeypatch.setattr("autoseg.inference.way.find_way", lambda *_: frugal)
    predict_cases(predictor, cases, tmp_path / "frugal", probabilities=True)
    for name in ("scan", "other"):
        one, other = (np.load(tmp_path / where / f"{name}.npz")["probabilities"] for where in ("out", "frugal"))
        np.testing.assert_array_equal(one, other)
        assert (tmp_path / "out" / f"{name}.nii.gz").read_bytes() == (
            tmp_path / "frugal" / f"{name}.nii.gz"
        ).read_bytes()
    assert listed(tmp_path / "frugal") == listed(tmp_path / "out")


def test_what_cannot_be_written_fails_alone(predictor, tmp_path, monkeypatch):
    for name in "abc":
        write(tmp_path / "in" / f"{name}_0000.nii.gz")

    def full(path, label_map, grid):
        if Path(path).name.startswith("b"):
            raise AutosegError(f"{path}: cannot be written: is the disk full?")
        write_label_map(path, label_map, grid)

    monkeypatch.setattr(folder, "write_label_map", full)
    predicted, _, failures = predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / "out")
    assert predicted == 2
    assert failures == [f"case 'b': {tmp_path / 'out' / 'b.nii.gz'}: cannot be written: is the disk full?"]


class Sure(nn.Module):
    """The brighter a voxel, the surer it is of a kidney: as sure as not where it has some value."""

    def __init__(self, even: float) -> None:
        super().__init__()
        self.even = even

    def forward(self, images):
        first = (images[:, :1] - self.even) / 50
        return (torch.cat((torch.zeros_like(first), first), dim=1),)


@pytest.mark.parametrize("probabilities", [False, True])
def test_several_models_are_averaged_on_the_images_own_grid(make_predictor, tmp_path, probabilities):
    """Of other voxel sizes; by hand from what each says alone."""
    for name in ("a", "b"):
        write(tmp_path / "in" / f"{name}_0000.nii.gz", direction=OBLIQUE, seed=ord(name))
    members = (
        make_predictor([Sure(-30.0)], patch=(4, 4, 4), spacing_mm=(2.5, 0.8, 0.7)),
        make_predictor([Sure(50.0)], patch=(4, 4, 4), spacing_mm=(2.0, 1.6, 1.4)),
    )
    cases = find_cases([tmp_path / "in"], 1)
    outcome = predict_cases(Team(members), cases, tmp_path / "out", probabilities)
    assert (outcome.predicted, outcome.failures) == (2, [])
    for name in ("a", "b"):
        image = read_image(tmp_path / "in" / f"{name}_0000.nii.gz")
        mean = np.mean([one.predict(image, probabilities=True).probabilities for one in members], axis=0)
        clear = abs(mean[1] - mean[0]) > 2e-3  # what is nearer may be rounded to either
        written = read_label_map(tmp_path / "out" / f"{name}.nii.gz")[0]
        assert {0, 7} == set(np.unique(written)) and clear.mean() > 0.9
        np.testing.assert_array_equal(written[clear], np.array([0, 7])[mean.argmax(axis=0)][clear])
        if probabilities:
            with np.load(tmp_path / "out" / f"{name}.npz") as stored:
                np.testing.assert_allclose(stored["probabilities"], mean, rtol=0, atol=1e-3)
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert (record["stage"], record["folds"], record["postprocessing"]) == ("net + net", 2, [])
    again = predict_cases(Team(members), cases, tmp_path / "out", probabilities)
    assert (again.predicted, again.kept) == (0, 2)
    with pytest.raises(AutosegError, match=r"another model \(stage: net \+ net there, net now\)"):
        predict_cases(members[0], cases, tmp_path / "out")


def test_models_of_other_labels_are_not_averaged(make_predictor, tmp_path):
    other = make_predictor(labels=Labels(values={"background": 0, "liver": 7}))
    with pytest.raises(AutosegError) as error:
        predict_cases(Team((make_predictor(), other)), [], tmp_path)
    assert str(error.value) == "net + net: trained on other channels or labels. Average models of one dataset."


def test_order_of_labels_and_of_regions_in_models_that_are_averaged(make_predictor):
    """Labels go by their values, regions are outputs one after the other."""
    values = {"background": 0, "kidney": 1, "tumour": 2}
    regions = {"whole": Region(values=(1, 2), paint=1), "tumour": Region(values=(2,), paint=2)}
    turned = dict(reversed(values.items())), dict(reversed(regions.items()))
    first = make_predictor(labels=Labels(values=values, regions=regions))
    other_labels = make_predictor(labels=Labels(values=turned[0], regions=regions))
    assert Team((first, other_labels)).labels == first.model.plan.dataset.labels
    with pytest.raises(AutosegError, match="trained on other channels or labels"):
        Team((first, make_predictor(labels=Labels(values=values, regions=turned[1]))))


def test_rules_are_applied_and_recorded(make_predictor, tmp_path):
    array = write(tmp_path / "scan_0000.nii.gz", shape=(6, 12, 11))
    predictor = make_predictor([Sure(150.0)], patch=(4, 4, 4), spacing_mm=(2.5, 0.8, 0.7))
    numbers, count = ndi.label(array > 150, np.ones((3, 3, 3)))
    largest = np.argsort(-np.bincount(numbers[numbers > 0]))[:4]
    means = ndi.mean(1 / (1 + np.exp((150 - array) / 50)), numbers, largest)
    least = float(np.sort(means)[1]) + 1e-4
    rules = (KeepLargest(target="kidney", count=4), RemoveUncertain(target="kidney", least_probability=least))
    cases = find_cases([tmp_path / "scan_0000.nii.gz"], 1)
    assert predict_cases(Team((predictor,), rules), cases, tmp_path / "out").failures == []
    expected = np.where(np.isin(numbers, largest[means > least]), 7, 0)
    assert count > 4 and len(largest[means > least]) == 2
    np.testing.assert_array_equal(read_label_map(tmp_path / "out" / "scan.nii.gz")[0], expected)
    assert listed(tmp_path / "out") == ["predictions.json", "scan.nii.gz"]
    record = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert record["postprocessing"] == [rule.model_dump() for rule in rules]
    with pytest.raises(AutosegError, match=r"another model \(postprocessing: "):
        predict_cases(predictor, cases, tmp_path / "out")


def test_voxels_of_an_absurd_size_are_told_of(make_predictor, tmp_path, caplog):
    image = sitk.GetImageFromArray(np.random.default_rng(0).normal(size=(6, 7, 5)).astype(np.float32))
    image.SetSpacing((1e-4, 1e-4, 1e-4))
    (tmp_path / "in").mkdir()
    sitk.WriteImage(image, str(tmp_path / "in" / "a_0000.nii.gz"))
    predictor = make_predictor(patch=(4, 4, 4), spacing_mm=(1e-4, 1e-4, 1e-4))
    predict_cases(predictor, find_cases([tmp_path / "in"], 1), tmp_path / "out")
    assert [message for message in caplog.messages if "scanner" in message] == [
        "warning: case 'a' has voxels of 0.0001 × 0.0001 × 0.0001 mm, which is no scanner's: is its header in other "
        "units?"
    ]

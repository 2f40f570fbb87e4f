"""The field 'normalization' of dataset.json."""

from __future__ import annotations

import json

import pytest

from autoseg.dataset import Dataset, Description, Labels
from autoseg.errors import DatasetError

TWO = {"channels": 2, "channel_names": {"0": "T1", "1": "water"}}
KNOWN = "Known are ct, zscore, rescale_0_1, rgb, none, and nnU-Net's words for them."


def declared(folder):
    return Dataset.open(folder).description.normalisation


def test_a_dataset_without_the_field(write_dataset):
    assert declared(write_dataset()) is None


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"0": "ct", "1": "none"}, ("ct", "none")),
        ({"T1": "ct", "water": "rgb"}, ("ct", "rgb")),
        ({"WATER": "ct"}, (None, "ct")),
        ({"1": "zscore"}, (None, "zscore")),
        ({"1": None}, (None, None)),
        ({"0": "ct", "T1": "CT"}, ("ct", None)),  # twice, and the same
        (["ct", None], ("ct", None)),
        ({}, (None, None)),
    ],
)
@pytest.mark.parametrize("name", ["normalization", "normalisation"])
def test_by_number_by_name_or_as_a_list(write_dataset, name, field, expected):
    assert declared(write_dataset(**TWO, **{name: field})) == expected


@pytest.mark.parametrize(
    ("word", "scheme"),
    [
        ("CT", "ct"),
        ("CTNormalization", "ct"),
        ("ZScore", "zscore"),
        ("ZScoreNormalization", "zscore"),
        ("rescale_0_1", "rescale_0_1"),
        ("rescale_to_0_1", "rescale_0_1"),
        ("RescaleTo01Normalization", "rescale_0_1"),
        ("rgb", "rgb"),
        ("rgb_to_0_1", "rgb"),
        ("RGBTo01Normalization", "rgb"),
        ("none", "none"),
        ("noNorm", "none"),
        ("NoNormalization", "none"),
    ],
)
def test_our_words_and_those_of_nnunet(write_dataset, word, scheme):
    assert declared(write_dataset(normalization=[word])) == (scheme,)


def test_a_name_that_two_channels_share_stands_for_both(write_dataset):
    folder = write_dataset(channels=2, channel_names={"0": "phase", "1": "phase"}, normalization={"phase": "none"})
    assert declared(folder) == ("none", "none")


def test_a_name_that_is_a_number_comes_before_the_number(write_dataset):
    folder = write_dataset(channels=2, channel_names={"0": "1", "1": "0"}, normalization={"0": "ct"})
    assert declared(folder) == (None, "ct")


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        ({"0": "hounsfield"}, f"gives channel '0' the scheme 'hounsfield', which is not known. {KNOWN}"),
        ({"0": 1}, f"gives channel '0' the scheme 1, which is not known. {KNOWN}"),
        ({"T3": "ct"}, "names a channel 'T3', which the dataset lacks. It has channel 0 'T1', channel 1 'water'."),
        ({"2": "ct"}, "names a channel '2', which the dataset lacks. It has channel 0 'T1', channel 1 'water'."),
        (
            ["ct"],
            "lists 1 schemes for channel 0 'T1', channel 1 'water'. Give one a channel, null where it is left open.",
        ),
        ({"0": "ct", "T1": "none"}, "names channel 0 ('T1') twice, as '0' and as 'T1'. Keep one."),
        (
            "ct",
            'must be an object {"channel": "scheme"} or a list of one scheme a channel, not \'ct\'. Channels: channel '
            "0 'T1', channel 1 'water'; schemes: ct, zscore, rescale_0_1, rgb, none, and nnU-Net's words for them.",
        ),
    ],
)
def test_faults_name_file_field_and_remedy(write_dataset, field, problem):
    folder = write_dataset(**TWO, normalization=field)
    with pytest.raises(DatasetError) as raised:
        Dataset.open(folder)
    assert str(raised.value) == f"{folder / 'dataset.json'}: field 'normalization' {problem}"
    lenient = Dataset.open(folder, lenient=True)
    assert lenient.faults == (str(raised.value),)
    assert lenient.description.normalisation is None
    assert len(lenient.cases) == 3


def test_every_fault_is_told(write_dataset):
    folder = write_dataset(**TWO, normalization={"0": "a", "T3": "ct", "1": "b"})
    assert len(Dataset.open(folder, lenient=True).faults) == 3


def test_both_spellings_at_once(write_dataset):
    folder = write_dataset(normalization=["ct"], normalisation=["none"])
    with pytest.raises(DatasetError, match=r"field 'normalization' is there twice: as 'normalisation', too\. Keep one"):
        Dataset.open(folder)


def test_in_the_layout_of_the_decathlon(tmp_path, write_json):
    content = {
        "modality": {"0": "scan"},
        "labels": {"0": "background", "1": "liver"},
        "training": [],
        "normalization": {"scan": "ct"},
    }
    write_json(tmp_path, content)
    assert declared(tmp_path) == ("ct",)
    write_json(tmp_path, {**content, "normalization": {"scan": "hu"}})
    with pytest.raises(DatasetError, match=r"field 'normalization' gives channel 'scan' the scheme 'hu'"):
        Dataset.open(tmp_path)


LABELS = Labels(values={"background": 0, "liver": 1})


def test_descriptions_written_before_there_was_the_field_are_read():
    old = Description(name="d", channels=("CT",), labels=LABELS).model_dump(mode="json")
    del old["normalisation"]
    assert Description.model_validate_json(json.dumps(old)).normalisation is None


def test_a_description_has_one_entry_a_channel():
    with pytest.raises(ValueError, match=r"normalisation has 2 of 1 entries \(CT\): give one a channel"):
        Description(name="d", channels=("CT",), labels=LABELS, normalisation=("ct", None))

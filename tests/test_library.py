"""The library as a user meets it: the ten lines of the package's docstring, and its public names."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import autoseg

TINY = [
    "stages.*.training.epochs=1",
    "stages.*.training.iterations_per_epoch=2",
    "stages.*.training.validation_iterations=1",
    "stages.*.sampling.batch_size=1",
    "stages.*.network.features=[4, 8, 8, 8]",
]
PARTS = [name for _, name, is_package in pkgutil.iter_modules(autoseg.__path__) if is_package]


def ten_lines() -> list[str]:
    """The calls of the docstring."""
    code = textwrap.dedent("\n".join(line for line in autoseg.__doc__.splitlines() if line.startswith("    ")))
    assert len(code.splitlines()) == 10
    return code.splitlines()


def test_the_ten_lines_as_written(tmp_path, monkeypatch):
    """Run line by line, with this machine's CPU for the GPU; the plan is shortened to train in a second."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    from autoseg.dataset import generate_kidneys

    monkeypatch.chdir(tmp_path)
    generate_kidneys("hippocampus", cases=5, test_cases=1, shape=(10, 32, 32), spacing_mm=(12.0, 5.0, 5.0))
    Path("hippocampus/imagesTs/kidneys_005_0000.nii.gz").rename("case.nii.gz")
    Path("hippocampus/labelsTs").rename("labelsTr")
    names: dict[str, object] = {}
    for line in ten_lines():
        if "evaluate(" in line:  # what came out is saved, to be scored
            prediction = names["prediction"]
            autoseg.write_label_map("predictions/kidneys_005.nii.gz", prediction.label_map, prediction.grid)
        exec(line.replace('"cuda"', '"cpu"'), names)
        if "make_plan(" in line:
            names["plan"] = autoseg.with_settings(names["plan"], TINY)
    assert names["model"] == Path("work/models/default/3d_fullres/fold_0")
    image = autoseg.read_image("case.nii.gz")
    assert names["prediction"].grid == image.grid
    assert names["prediction"].label_map.shape == image.array.shape[1:]
    assert list(names["scores"].dice) == ["kidneys_005"]
    assert names["scores"].dice["kidneys_005"].keys() == {"kidney", "tumour"}
    again = names["predictor"].predict(image.array, image.grid.spacing_mm)  # "also a bare array + spacing"
    assert (again.label_map == names["prediction"].label_map).all()


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_importing_autoseg_imports_no_torch():
    heavy = ("torch", "numpy", "SimpleITK", "pydantic", "pandas", "matplotlib")
    assert run(f"import sys, autoseg; print([name for name in {heavy} if name in sys.modules])") == "[]"


@pytest.mark.parametrize("name", ["Dataset", "extract_fingerprint", "read_plan", "evaluate", "read_image"])
def test_facts_plans_and_scores_need_no_torch(name):
    assert run(f"import sys, autoseg; autoseg.{name}; print('torch' in sys.modules)") == "False"


def test_names():
    assert set(autoseg.__all__) <= set(dir(autoseg))
    assert sorted(autoseg.__all__) == list(autoseg.__all__)
    for name in autoseg.__all__:
        assert getattr(autoseg, name).__name__ == name
    used = {node.attr for node in ast.walk(ast.parse("\n".join(ten_lines()))) if isinstance(node, ast.Attribute)}
    assert {"Dataset", "Budget", "Predictor", "Workspace", "make_plan", "train"} <= used & set(autoseg.__all__)


def test_editors_see_the_names_that_are_loaded_late():
    """The imports under TYPE_CHECKING and the table of places name the same things."""
    tree = ast.parse(Path(autoseg.__file__).read_text(encoding="utf-8"))
    typed = {
        (alias.name, str(node.module).removeprefix("autoseg."))
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == set(autoseg._PLACES.items())


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'autoseg' has no attribute 'Datset'"):
        _ = autoseg.Datset
    assert not hasattr(autoseg, "torch")


def public_names() -> list[tuple[str, object]]:
    found = [(f"autoseg.{name}", getattr(autoseg, name)) for name in autoseg.__all__]
    for part in PARTS:
        module = importlib.import_module(f"autoseg.{part}")
        found += [(f"autoseg.{part}.{name}", getattr(module, name)) for name in getattr(module, "__all__", ())]
    return [(name, value) for name, value in found if inspect.isclass(value) or inspect.isroutine(value)]


def test_every_public_name_has_a_docstring_of_its_own():
    """Not one that is inherited, or that Python makes up for a dataclass or a named tuple."""
    without = []
    for name, value in public_names():
        doc = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
        made_up = doc is not None and doc.startswith(f"{value.__name__}(")
        if not doc or made_up:
            without.append(name)
    assert len(public_names()) > 80
    assert without == []


def test_every_public_method_has_a_docstring():
    without = [
        f"{name}.{method}"
        for name, value in public_names()
        if inspect.isclass(value) and value.__module__.startswith("autoseg.")
        for method, body in vars(value).items()
        if not method.startswith("_")
        and (inspect.isfunction(body) or isinstance(body, property | staticmethod))
        and not inspect.getdoc(body)
    ]
    assert without == []


def test_every_folder_says_what_comes_in_and_what_goes_out():
    for part in PARTS:
        doc = importlib.import_module(f"autoseg.{part}").__doc__
        assert doc and len(doc) > 40, part

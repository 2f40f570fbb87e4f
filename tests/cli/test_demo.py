from __future__ import annotations

import sys

from autoseg.evaluation import read_scores


def test_demo(autoseg, tmp_path, monkeypatch):
    """The demo on fewer and smaller images, trained for a second: every file it promises is there."""
    demo, dataset = sys.modules["autoseg.cli.demo"], sys.modules["autoseg.dataset"]
    generate = dataset.generate_kidneys

    def smaller(folder, cases, test_cases):
        return generate(folder, cases, test_cases, shape=(10, 32, 32), spacing_mm=(12.0, 5.0, 5.0))

    monkeypatch.setattr(dataset, "generate_kidneys", smaller)
    monkeypatch.setattr(demo, "CASES", 5)
    monkeypatch.setattr(demo, "TEST_CASES", 2)
    folder = tmp_path / "demo"
    ran = autoseg("demo", "-o", folder, "--minutes", 0.01)
    assert ran.code == 0
    model = folder / "work" / "models" / "default" / "3d_fullres" / "fold_0"
    for path in (folder / "predictions", folder / "predictions.png", model / "progress.png"):
        assert path.exists()
        assert str(path) in ran.out
    assert "validation cases" in ran.out
    assert "Selected: 3d_fullres, the only candidate" in ran.out
    assert (folder / "work" / "models" / "default" / "selection.json").is_file()
    assert "New images" in ran.out
    assert list(read_scores(folder / "scores.json").dice) == ["kidneys_005", "kidneys_006"]
    again = autoseg("demo", "-o", folder, "--minutes", 0.01)
    assert again.out == ran.out

"""The results of planned_vs_hand_set.py: numbers, table, page and figure.

Comes in: one row a system. Goes out: planned_vs_hand_set_DATASET.{json,csv,png,md}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from published_systems import PLANNED

from autoseg.files import write_json, write_text
from autoseg.training import log

matplotlib.use("Agg")

Row = Mapping[str, Any]


def write_results(run: Row, rows: Sequence[Row], folder: Path) -> None:
    """Writes all four files."""
    ordered = by_dice(rows)
    mode = "_published" if run["published"] else ""
    stem = folder / f"planned_vs_hand_set_{run['dataset']}{mode}"
    write_json(stem.with_suffix(".json"), {**run, "rows": list(ordered)})
    write_text(stem.with_suffix(".csv"), as_csv(ordered))
    if any("problem" not in row for row in ordered):
        plot(run, ordered, stem.with_suffix(".png"))
    write_text(stem.with_suffix(".md"), page(run, ordered, f"{stem.name}.png"))


def by_dice(rows: Sequence[Row]) -> list[Row]:
    """The planned ones first, then the best; what could not be trained comes last."""

    def place(row: Row) -> tuple[bool, bool, float]:
        dice = row["mean"]["mean"] if "mean" in row else None
        return not row["plan"].startswith(PLANNED), dice is None, -(dice or 0.0)

    return sorted(rows, key=place)


def flat(row: Row) -> dict[str, Any]:
    """One row of the CSV."""
    if "problem" in row:
        return {"plan": row["plan"], "problem": row["problem"]}
    found: dict[str, Any] = {"plan": row["plan"], "cases": row["cases"]}
    found |= {f"mean_dice{end}": row["mean"][key] for key, end in (("mean", ""), ("low", "_low"), ("high", "_high"))}
    for label, measures in row["labels"].items():
        for measure, mean in measures.items():
            found |= {f"{label}_{measure}": mean["mean"]}
            found |= {f"{label}_{measure}_low": mean["low"], f"{label}_{measure}_high": mean["high"]}
    for field in ("trained_minutes", "parameters", "prediction_seconds_a_case"):
        found[field] = row[field]
    for stage, facts in row["stages"].items():
        for field in ("seconds_per_iteration", "waiting_share", "planned_training_gb", "predicted_gb", "measured_gb"):
            found[f"{stage}.{field}"] = facts[field]
        found[f"{stage}.iterations"] = sum(facts["iterations"])
    return found


def as_csv(rows: Sequence[Row]) -> str:
    """All rows, with the columns that any of them has."""
    return log.as_csv([flat(row) for row in rows])


def page(run: Row, rows: Sequence[Row], figure: str) -> str:
    """The page, in Markdown."""
    done = [row for row in rows if "problem" not in row]
    length = "the papers' own lengths" if run["published"] else f"{run['minutes']:g} minutes each"
    lines = [f"# Planned and hand-set: {run['dataset']}, {length}", "", *introduction(run, done), ""]
    if done:
        lines += [f"![Dice of the planned and the hand-set systems]({figure})", "", *scores_table(run, done), ""]
        lines += ["What it took:", "", *cost_table(done), "", "What was trained:", "", *stages_table(done), ""]
    failed = [f"- {row['title']} (`{row['plan']}`): {row['problem']}" for row in rows if "problem" in row]
    if failed:
        lines += ["Not trained:", "", *failed, ""]
    return "\n".join(lines)


def introduction(run: Row, done: Sequence[Row]) -> list[str]:
    """What was done, and where."""
    if not done:
        return [f"    {run['command']}"]
    first, machine = done[0], done[0]["machine"]
    length = (
        "Every system is trained as its plan and its paper say."
        if run["published"]
        else f"Every system is trained for {run['minutes']:g} minutes in all, on the same cases and machine. One of "
        "several stages has them in equal shares; a stage that others build on is trained on either half of the cases, "
        "in half its share, to predict the other half. Preparing, predicting and scoring are not counted."
    )
    return [
        f"{length} Scores are over {first['cases']} cases that nothing of the training saw, with 95 % bootstrap "
        f"intervals over cases; surface Dice at {first['tolerance_mm']:g} mm. What hand-set plans take of the dataset "
        "is decided by one rule (`benchmarks/hand_set_settings.py`); the rest is as published."
        + " No system predicts mirrored views."
        * (not run["mirrored"]),
        "",
        f"Machine: {machine['hardware']}, {machine['threads']} threads, {machine['device']}, Python "
        f"{machine['python']}, torch {machine['torch']}, {machine['date'][:10]}.",
        *([run["note"]] if run["note"] else []),
        "",
        f"    {run['command']}",
    ]


def scores_table(run: Row, done: Sequence[Row]) -> list[str]:
    """Dice, surface Dice and HD95 of each label."""
    labels = list(done[0]["labels"])
    header = ["system", "mean Dice", *(f"{label} Dice" for label in labels)]
    header += [f"{label} surface Dice / HD95, mm" for label in labels] + ["reported on KiTS19"] * run["published"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    best = max(row["mean"]["mean"] or 0.0 for row in done)
    for row in done:
        cells = [f"{row['title']}", interval(row["mean"], bold=row["mean"]["mean"] == best)]
        cells += [interval(row["labels"][label]["dice"]) for label in labels]
        for label in labels:
            of = row["labels"][label]
            cells.append(f"{number(of['surface_dice']['mean'], 3)} / {number(of['hd95_mm']['mean'], 1)}")
        if run["published"]:
            cells.append(f"{row['reported']} ({row['split']})" if row.get("reported") else "")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def cost_table(done: Sequence[Row]) -> list[str]:
    """Time, parameters and memory; of several stages the largest need."""
    header = ["system", "minutes trained", "iterations", "seconds an iteration", "waiting for data", "parameters"]
    header += ["memory of a step, predicted / measured, GB", "prediction, seconds a case"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for row in done:
        stages = list(row["stages"].values())
        largest = max(stages, key=lambda stage: stage["predicted_gb"] or 0.0)
        cells = [
            row["title"],
            f"{row['trained_minutes']:.1f}",
            " → ".join("+".join(map(str, stage["iterations"])) for stage in stages),
            " → ".join(f"{stage['seconds_per_iteration']:.2f}" for stage in stages),
            " → ".join(f"{stage['waiting_share']:.0%}" for stage in stages),
            f"{row['parameters'] / 1e6:.1f} M",
            f"{number(largest['predicted_gb'], 2)} / {number(largest['measured_gb'], 2)}",
            f"{row['prediction_seconds_a_case']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def stages_table(done: Sequence[Row]) -> list[str]:
    """What each stage was, with what was set for this dataset."""
    header = ["system", "stage", "voxels, mm", "patch", "batch", "normalisation", "models"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for row in done:
        for name, stage in row["stages"].items():
            spacing = " × ".join(f"{size:.3g}" for size in stage["spacing_mm"] or ())
            patch = " × ".join(map(str, stage["patch_size"]))
            scales = ", ".join(stage["normalisation"])
            cells = [row["title"], name, spacing, patch, str(stage["batch_size"]), scales, str(stage["models"])]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def interval(mean: Row, bold: bool = False) -> str:
    """A mean and its interval.

    >>> interval({"mean": 0.87654, "low": 0.86, "high": 0.891})
    '0.877 (0.860–0.891)'
    """
    stars = "**" * bold
    ends = "" if mean["low"] is None else f" ({mean['low']:.3f}–{mean['high']:.3f})"
    return f"{stars}{number(mean['mean'], 3)}{stars}{ends}"


def number(value: float | None, digits: int) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def plot(run: Row, rows: Sequence[Row], file: Path) -> None:
    """Dice with its interval: a panel for the mean and one a label, a line a system."""
    done = [row for row in rows if "problem" not in row]
    panels = [("mean Dice", [row["mean"] for row in done])]
    panels += [(f"{label} Dice", [row["labels"][label]["dice"] for row in done]) for label in done[0]["labels"]]
    figure = Figure(figsize=(2.6 + 2.3 * len(panels), 1.3 + 0.38 * len(done)), layout="constrained")
    for number_of, (axes, (name, means)) in enumerate(
        zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True)
    ):
        for place, (row, mean) in enumerate(zip(done, means, strict=True)):
            colour = "tab:orange" if row["plan"].startswith(PLANNED) else "tab:blue"
            if mean["mean"] is None:
                continue
            if mean["low"] is not None:
                axes.plot(
                    [mean["low"], mean["high"]], [place, place], color=colour, linewidth=2, alpha=0.6, clip_on=False
                )
            axes.plot([mean["mean"]], [place], "o", color=colour, clip_on=False)
            right = mean["mean"] < 0.5
            axes.annotate(
                f"{mean['mean']:.2f}",
                ((mean["high"] if right else mean["low"]) or mean["mean"], place),
                xytext=(6 if right else -6, 0),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                fontsize=8,
            )
        axes.set_title(name, fontsize=10)
        axes.set_xlim(0, 1)
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if number_of == 0:
            axes.set_yticks(range(len(done)), [row["title"] for row in done])
            axes.set_ylim(len(done) - 0.5, -0.5)
    length = "as long as published" if run["published"] else f"{run['minutes']:g} minutes of training each"
    figure.suptitle(f"{run['dataset']}: {length}, {done[0]['machine']['device'].upper()}", fontsize=11)
    figure.savefig(file, dpi=130)

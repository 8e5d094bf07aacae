"""The command line: user errors are one line and exit code 2, nothing is lost, nothing is a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from attacks import lexicon
from bench import cli


@pytest.fixture
def temper(monkeypatch, capsys, tmp_path):
    """Calls `temper` in this process; returns (exit code, stdout, stderr)."""
    lexicon.minimal(tmp_path / "cache" / "lexicon")
    monkeypatch.setenv("TEMPERBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["temper", *words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return call


GOOD = "".join(f"film {i} was fine,good\nfilm {i} was dull,bad\n" for i in range(40))

BAD_FILES = {
    "empty": ("d.csv", b"", "empty"),
    "encoding": ("d.csv", "text,label\nol\u00e9,good\n".encode("latin1") + GOOD.encode(), "UTF-8"),
    "column": ("d.csv", b"words,label\na,b\n", "text"),
    "nan": ("d.csv", b"text,label\nfine film,good\n,bad\n", "line 3"),
    "one class": ("d.csv", b"text,label\n" + b"".join(b"film %d,good\n" % i for i in range(30)), "class"),
    "long text": ("d.csv", f"text,label\n{'x' * 100_000},good\n{GOOD}".encode(), "20,000"),
    "json": ("d.jsonl", b'{"text": "a", "label": "b"}\n{"text": \n', "line 2"),
    "tags": ("d.conll", b"EU B-ORG\nrejects\n\n", "line 2"),
    "unknown tag": ("d.conll", b"EU FOO-ORG\nrejects O\n\n", "FOO-ORG"),
    "kind of file": ("d.xlsx", b"PK", "xlsx"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_data_is_one_clear_line(case, temper, tmp_path, tiny_model):
    name, content, expected = BAD_FILES[case]
    (tmp_path / name).write_bytes(content)
    code, out, err = temper(
        "run", "--data", str(tmp_path / name), "--model", str(tiny_model), "--results", str(tmp_path / "r"),
        "--recipe", "deepwordbug",
    )  # fmt: skip
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("temper: ")
    assert "Traceback" not in err
    assert expected in err


def test_unknown_label_in_a_split_is_named(temper, tmp_path, tiny_model):
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\n" + GOOD)
    (folder / "test.csv").write_text("text,label\nsome other film,ugly\n")
    code, _, err = temper("run", "--data", str(folder), "--model", str(tiny_model), "--results", str(tmp_path / "r"))
    assert code == 2
    assert "ugly" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["list", "nonsense"], "Known: tasks"),
        (["run", "--tier", "huge"], "unknown tier 'huge'"),
        (["run", "--mitigation", "fmg", "--model", "{model}"], "Did you mean 'fgm'"),
        (["run", "--task", "moovie_reviews", "--model", "{model}"], "Did you mean 'movie_reviews'"),
        (["run", "--model", "no-such-model"], "unknown model"),
        (["run", "--model", ""], "unknown model ''"),
        (["run", "--model", "{empty}"], "holds no model (config.json: No such file or directory)"),
        (["run", "--model", "{half}"], "its config.json names no model_type"),
        (["run", "--model", "{model}", "--data", "x.csv", "--task", "movie_reviews"], "give one of them"),
        (["run", "--model", "{model}", "--mitigation", "fgm:epsilon=true"], "epsilon is True; it must be a finite"),
        (["run", "--model", "{model}", "--mitigation", "fgm:epsilon=x"], "epsilon is 'x'; it must be a finite number"),
        (["run", "--model", "{model}", "--mitigation", "lora:rank=1.5"], "rank is 1.5; it must be a whole number"),
        (["run", "--model", "{model}", "--mitigation", "clip_norm:bound=NaN"], "nan; it must be a finite number"),
        (["run", "--model", "{model}", "--results", "{file}/r"], "--results"),
        (["run", "--model", "{model}"], "temper fetch"),
        (["check", "--baseline", "absent"], "holds no records"),
        (["compare", "absent", "absent"], "holds no records"),
        (["report", "--results", "absent"], "records"),
        (["run", "--seeds", "0"], "--seeds"),
        (["tune", "--mitigation", "fgm", "--rate", "0"], "--rate is 0; a learning rate lies above 0"),
        (["tune", "--mitigation", "fgm", "--rate", "nan"], "--rate is nan"),
        (["explain", "--model", "{model}", "--text", "caf\udce9 bon"], "not UTF-8 from character 4 on"),
        (["pictures", "--sentence", "caf\udce9 bon"], "not UTF-8 from character 4 on"),
    ],
)
def test_bad_words_exit_2(words, expected, temper, tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for folder, config in (("empty", None), ("half", "{}")):
        (tmp_path / folder).mkdir()
        if config:
            (tmp_path / folder / "config.json").write_text(config)
    places = {"model": str(tiny_model)} | {name: str(tmp_path / name) for name in ("file", "empty", "half")}
    code, _, err = temper(*[word.format(**places) for word in words])
    assert code == 2
    assert "Traceback" not in err
    assert expected in err


def test_ctrl_c_says_what_to_do(temper, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.listing.table", interrupted)
    code, _, err = temper("list", "tasks")
    assert code == 130
    assert "the same command continues where this one was" in err


def test_lists_everything_the_folders_hold(temper):
    code, out, _ = temper("list")
    assert code == 0
    for name in ("movie_reviews", "saliency_guided", "deepwordbug", "integrated_gradients", "quick", "AUA calibrated"):
        assert name in out


def test_doctor_names_what_is_missing_and_the_command(temper):
    code, out, _ = temper("doctor")
    assert code == 0
    assert "temper fetch bert-tiny" in out


def test_gate_thresholds_come_from_pyproject(tmp_path, monkeypatch):
    from training.errors import UserError

    monkeypatch.chdir(tmp_path)
    assert cli.gate_thresholds() == {}
    Path("pyproject.toml").write_text("[tool.temperbench.gate]\nclean_accuracy = 0.02\n")
    assert cli.gate_thresholds() == {"clean_accuracy": 0.02}
    Path("pyproject.toml").write_text("[tool.temperbench.gate]\nclean_accuracy = '2 %'\n")
    with pytest.raises(UserError, match="a threshold is a number"):
        cli.gate_thresholds()


def test_refuses_to_start_when_shadowed(tmp_path, monkeypatch):
    from bench import run_checks
    from training.errors import UserError

    monkeypatch.setattr(run_checks, "HOUSE", tmp_path)
    with pytest.raises(UserError, match="hides TemperBench"):
        run_checks.check_not_shadowed()

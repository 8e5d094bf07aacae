"""`temper list recipes` and component sets: what runs here, what is lacking, what the authors use."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import nltk.data
import pytest
from huggingface_hub import constants
from rich.console import Console

from attacks import lexicon, masked_lm, originals
from bench import cli, doctoring, fetching, keys, listing, plan, sources
from bench.plan import Request
from bench.robustness import components
from tests.attacks import original_files
from tests.bench.test_spec import spec
from training import registry
from training.errors import UserError

RECIPES = registry.names("attacks.recipes")
UNTOUCHED = "stock"  # components that are the authors' own


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder with a lexicon of stop words and nothing else."""
    lexicon.minimal(tmp_path / "cache" / "lexicon")
    monkeypatch.setenv("TEMPERBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "250")
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of the authors' this machine has, the tests do not see it."""
    for name in ("TA_CACHE_DIR", "TFHUB_CACHE_DIR", "LTP_PATH"):
        monkeypatch.setenv(name, str(tmp_path / "textattack"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "textattack"))
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "textattack")])


def shown(**options) -> str:
    console = Console(width=250)
    with console.capture() as captured:
        console.print(listing.table("recipes", **options))
    return captured.get()


def row(text: str, name: str) -> list[str]:
    found = [line for line in text.splitlines() if line.startswith(f"│ {name} ")]
    assert len(found) == 1
    return [cell.strip() for cell in found[0].strip("│").split("│")]


def module(**attributes) -> ModuleType:
    made = ModuleType("made_up", "Made up: a recipe of another package.")
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def test_there_are_recipes() -> None:
    assert {"textfooler", "bae", "bert_attack", "clare", "identity"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_its_authors_use(name: str) -> None:
    found = registry.load("attacks.recipes", name)
    assert isinstance(getattr(found, "ORIGINAL", None), tuple), "give it ORIGINAL: names of resources, or () for none"
    assert set(found.ORIGINAL) <= set(components.HOW), "say in bench/robustness/components.py how to get it"
    if found.COMPONENTS in (UNTOUCHED, "original"):
        assert found.ORIGINAL == ()


def test_every_row_says_whether_the_recipe_runs_here(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown()
    assert row(text, "deepwordbug")[1:4] == ["characters", "stock", "runnable here"]
    assert row(text, "textfooler")[1:4] == ["words", "offline", "needs encoder, pos, vectors: temper fetch"]
    assert row(text, "bae")[3] == "needs encoder, masked_lm, pos: temper fetch and temper fetch masked-lm"
    assert row(text, "bae")[4].startswith("BAE with offline components")
    for name in RECIPES:
        assert row(text, name)[3].startswith(("runnable here", "needs "))
    monkeypatch.setenv("TEMPERBENCH_CACHE", str(cache / "empty"))
    assert row(shown(), "deepwordbug")[3] == "needs the attack lexicon: temper fetch"


def test_verbose_adds_what_the_authors_use(cache: Path) -> None:
    assert "Paragram" not in shown()
    text = shown(verbose=True)
    assert "counter-fitted Paragram vectors" in row(text, "textfooler")[4]
    assert row(text, "deepwordbug")[4] == "the same"


def test_a_foreign_recipe_that_says_little_is_listed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing.registry, "names", lambda _: ["made_up"])
    monkeypatch.setattr(listing.registry, "load", lambda *_: module())
    assert row(shown(verbose=True), "made_up")[3:] == ["runnable here", "not recorded", module().__doc__]


def test_a_component_set_is_a_name_or_a_clear_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert components.recipe_named("textfooler") == components.recipe_named("textfooler:offline") == "textfooler"
    assert components.recipe_named("deepwordbug:original") == "deepwordbug"  # nothing was replaced
    with pytest.raises(UserError, match=r"no components 'best'\. Known: offline, original"):
        components.recipe_named("textfooler:best")
    with pytest.raises(UserError, match="Did you mean 'textfooler'"):
        components.recipe_named("textfoler:original")
    monkeypatch.setattr(components.registry, "load", lambda *_: module(COMPONENTS="own"))
    with pytest.raises(UserError, match="not recorded"):
        components.recipe_named("made_up:original")
    theirs = module(COMPONENTS="own", ORIGINAL=("a great machine",))
    monkeypatch.setattr(components.registry, "load", lambda *_: theirs)
    with pytest.raises(UserError, match=r"a great machine \(see the recipe's docstring\)"):
        components.recipe_named("made_up:original")


def test_asking_for_the_original_names_what_is_lacking_and_exits_2(cache, tmp_path, tiny_model, monkeypatch, capsys):
    words = ["temper", "run", "--recipe", "textfooler:original", "--model", str(tiny_model), "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert len(said.strip().splitlines()) == 1
    for resource in registry.load("attacks.recipes", "textfooler").ORIGINAL:
        assert f"{resource} ({components.HOW[resource]})" in said
    with pytest.raises(UserError, match="'textfooler_original' cannot run here"):  # its file's name is no way round
        components.recipe_named("textfooler_original")


@pytest.fixture
def theirs(bare: None, tmp_path: Path) -> None:
    """The authors' vectors are on the machine, and nothing else of theirs."""
    original_files.write_counter_fitted(tmp_path / "textattack")


def test_the_original_runs_where_all_of_it_is_here(cache, theirs) -> None:
    assert components.recipe_named("iga:original") == components.recipe_named("iga_original") == "iga_original"
    assert components.recipe_named("iga_original:original") == "iga_original"
    with pytest.raises(UserError, match="'textfooler:original'") as refused:
        components.recipe_named("textfooler:original")
    assert "it needs Universal Sentence Encoder (tensorflow and" in str(refused.value)  # the vectors are here
    assert "Paragram" not in str(refused.value)
    text = shown()
    assert row(text, "iga_original")[1:4] == ["genetic", "original", "runnable here"]
    assert row(text, "textfooler_original")[3] == ("needs perceptron, use: ask for it to see how")


@pytest.mark.parametrize("name", ["pso", "clare", "checklist", "alzantot", "faster_alzantot", "hotflip", "entity_swap"])
def test_what_cannot_be_opened_safely_is_refused_with_the_reason(name: str, cache, theirs) -> None:
    with pytest.raises(UserError, match="not opened here: "):
        components.recipe_named(f"{name}:original")


def test_what_the_authors_use_is_in_the_spec_and_in_the_key(cache, theirs, tmp_path, tiny_model) -> None:
    (job, *_) = plan.plan(_request(tmp_path, tiny_model, "iga:original", "deepwordbug"))
    base, mine = job.spec.lexicon_fingerprint.split("+")
    assert job.spec.recipes == ("iga_original", "deepwordbug")
    assert mine == f"counter_fitted:{originals.fingerprint('counter_fitted')}"
    assert keys.lexicon_of(job.spec, "iga_original") == job.spec.lexicon_fingerprint
    assert keys.lexicon_of(job.spec, "deepwordbug") == base
    first = keys.attack_key(job.spec, "iga_original", "raw")
    path = originals.files("counter_fitted")[0]
    path.write_text(path.read_text().replace("0.400000", "0.300000", 1))
    (job, *_) = plan.plan(_request(tmp_path, tiny_model, "iga:original", "deepwordbug"))
    assert keys.attack_key(job.spec, "iga_original", "raw") != first


def _request(tmp_path: Path, model: Path, *recipes: str) -> Request:
    data = tmp_path / "d.csv"
    data.write_text("text,label\n" + "".join(f"film {i} was fine,good\nfilm {i} was dull,bad\n" for i in range(40)))
    return Request(tier="smoke", data=data, recipes=recipes, model=str(model), results=tmp_path, mitigations=("fgm",))


def test_a_run_without_the_masked_language_model_says_how_to_get_it(cache, tmp_path, tiny_model) -> None:
    with pytest.raises(UserError, match=r"'bert_attack' needs .*masked_lm: temper fetch and temper fetch masked-lm"):
        plan.plan(_request(tmp_path, tiny_model, "bert_attack"))
    (job, *_) = plan.plan(_request(tmp_path, tiny_model, "deepwordbug:stock"))
    assert job.spec.recipes == ("deepwordbug",)
    assert "+" not in job.spec.lexicon_fingerprint


def test_the_masked_language_model_is_in_the_key_of_the_recipes_that_use_it_and_of_no_other() -> None:
    plain, first, second = (
        spec(recipes=("textfooler", "bae"), lexicon_fingerprint=f"abc{more}")
        for more in ("", "+masked_lm:111", "+masked_lm:222")
    )
    for name, distinct in (("textfooler", 1), ("bae", 3)):
        assert len({keys.attack_key(asked, name, "raw") for asked in (plain, first, second)}) == distinct
    assert keys.lexicon_of(first, "bae") == "abc+masked_lm:111"
    assert keys.lexicon_of(first, "textfooler") == "abc"


def test_it_is_trained_only_when_named(cache: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(fetching.resources, "fetch", lambda names, **_: asked.append(list(names)))

    def build(_, progress):
        for done in range(1, 21):
            progress(done, 20)
        return {"held_out": {"loss": 4.5, "accuracy": 0.3, "pieces": 100}}

    monkeypatch.setattr(sources, "build_masked_lm", build)
    console = Console(width=200)
    fetching.fetch_all([], console)
    assert "masked language model" not in capsys.readouterr().out
    fetching.fetch_all(["masked-lm"], console)
    lines = capsys.readouterr().out.splitlines()
    assert asked == [[], ["bert-tiny", "vader"]]
    assert sum("of 20 steps, about" in line for line in lines) == 10
    assert "masked language model: on held-out texts loss 4.5, accuracy 0.3, pieces 100" in lines
    fetching.fetch_all(["glove", "masked-lm"], console)
    assert asked[-1] == ["glove", "bert-tiny", "vader"]


def test_it_is_trained_from_training_texts_only(monkeypatch: pytest.MonkeyPatch, sentiment_task, tmp_path) -> None:
    task, given = sentiment_task(), {}
    monkeypatch.setattr(sources, "open_task", lambda *_: task)
    monkeypatch.setattr(sources.Resources, "path", lambda _, name: tmp_path / name)
    monkeypatch.setattr(sources.masked_lm_training, "build", lambda out, **options: given.update(out=out, **options))
    sources.build_masked_lm(sources.Resources(tmp_path))
    assert given["out"] == masked_lm.beside(tmp_path / "lexicon")
    assert given["texts"] == [example.text for example in task.train]
    assert given["held_out"] == [example.text for example in task.validation]


def test_doctor_says_which_of_the_authors_components_are_here(cache, theirs) -> None:
    console = Console(width=250)
    with console.capture() as captured:
        console.print(doctoring.table())
    found = row(captured.get(), "the authors' own components")
    assert found[1:] == ["counter_fitted", "ask for RECIPE:original to see how to get the others"]


@pytest.mark.parametrize(("version", "said"), [("4.57.6", False), ("5.0.0rc1", True), ("5.24.0", True)])
def test_doctor_says_what_flair_cannot_do(version: str, said: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctoring.importlib.metadata, "version", lambda _: version)
    asked = ["torch>=1.13.1", 'transformers; extra == "dev"', "transformers[sentencepiece]<5.0.0,>=4.25.0"]
    assert doctoring._unfit(asked).startswith(f"not for transformers {version}:") == said
    assert doctoring._unfit(asked[:2]) == ""


def test_doctor_says_how_to_get_it(cache: Path) -> None:
    console = Console(width=250)
    with console.capture() as captured:
        console.print(doctoring.table())
    assert row(captured.get(), "masked language model")[1] == "not asked for"
    assert row(captured.get(), "masked language model")[2].startswith("temper fetch masked-lm")

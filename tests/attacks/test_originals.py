"""The authors' own components: where they are looked for, what stays shut, what each one answers, recipes over them."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import nltk.data
import numpy as np
import pytest
from huggingface_hub import constants

from attacks import original_models, originals, tagging_engine
from attacks.engine import attack, fingerprint
from attacks.lexicon import Lexicon, prepare_textattack
from attacks.outcome import Sample
from attacks.tagging_victim import TaggingVictim
from attacks.victim import Victim
from tests.attacks import original_files as small
from tests.attacks import test_recipes_ner as tagged
from tests.attacks.conftest import count_words, timeless
from tests.conftest import WORDS
from training import registry

SUBJECTS = ("movie", "film", "picture", "acting", "plot")
KINDS = ("boring", "dull", "awful", "bad", "boring", "good", "loved", "awful", "dull", "bad")
TEN = tuple(
    Sample(f"ten{i}", f"The {SUBJECTS[i % 5]} was {word} and the {SUBJECTS[(i + 1) % 5]} was long.", int(i in (5, 6)))
    for i, word in enumerate(KINDS)
)
STAND_IN = "use"  # needs TensorFlow; its own tests are below
SEVEN = ("counter_fitted", "stsb_distilbert", "bert_base", "gpt2", "perceptron", "nltk_wordnet")
OPENED = originals.opened
RECIPES = [name for name in registry.names("attacks.recipes") if name.endswith("_original")]


@pytest.fixture
def bare(tmp_path: Path, small_lexicon: Lexicon, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nobody has downloaded anything; TextAttack is imported, as it is in an attack."""
    prepare_textattack(small_lexicon.folder)
    monkeypatch.setenv("TA_CACHE_DIR", str(tmp_path / "textattack"))
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "tfhub"))
    monkeypatch.setenv("LTP_PATH", str(tmp_path / "languagetool"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk")])
    return tmp_path


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, masked_folder: Path) -> Path:
    """A machine that has everything that needs neither TensorFlow nor Java."""
    home = tmp_path_factory.mktemp("furnished")
    small.write_counter_fitted(home / "textattack")
    small.put_in_hub(home / "hub", "bert-base-uncased", masked_folder)
    small.put_in_hub(
        home / "hub", "sentence-transformers/stsb-distilbert-base", small.write_stsb(home / "s", tiny_model)
    )
    small.put_in_hub(home / "hub", "gpt2", small.write_gpt2(home / "g", [*WORDS, *sum(small.CLUSTERS, ())]))
    small.write_perceptron(home / "nltk")
    small.write_wordnet(home / "nltk")
    return home


@pytest.fixture
def theirs(bare: Path, furnished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TA_CACHE_DIR", str(furnished / "textattack"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(furnished / "hub"))
    monkeypatch.setattr(nltk.data, "path", [str(furnished / "nltk")])
    return furnished


def test_a_bare_machine_has_none_of_them(bare: Path, small_lexicon: Lexicon) -> None:
    assert originals.found() == ()
    replaced = originals.Replaced(small_lexicon, vectors="counter_fitted")
    assert replaced.stopwords == small_lexicon.stopwords
    with pytest.raises(originals.OriginalMissing, match="counter-fitted Paragram vectors is not on this machine"):
        replaced.vectors  # noqa: B018


def test_each_is_found_where_its_library_keeps_it(theirs: Path) -> None:
    assert originals.found() == SEVEN


def test_our_own_wordnet_is_not_theirs(bare: Path, small_lexicon: Lexicon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nltk.data, "path", [str(small_lexicon.folder / "nltk_data")])
    assert originals.RESOURCES["nltk_wordnet"].files() == []


class Trap:
    """A pickle that leaves a mark when it is opened; it is made here to show that nobody opens it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_pickles_stay_shut(bare: Path, masked_folder: Path) -> None:
    folder = bare / "textattack" / "word_embeddings" / "paragramcf"
    bank = bare / "textattack" / "transformations" / "hownet"
    folder.mkdir(parents=True)
    bank.mkdir(parents=True)
    np.save(folder / "paragram.npy", np.eye(3))
    snapshot = small.put_in_hub(bare / "hub", "bert-base-uncased", masked_folder)
    (snapshot / "model.safetensors").unlink()
    for path in (folder / "wordlist.pickle", bank / "word_candidates_sense.pkl", snapshot / "pytorch_model.bin"):
        path.write_bytes(pickle.dumps(Trap(bare / "opened")))
    assert originals.found() == ()
    assert not (bare / "opened").exists()


@pytest.mark.parametrize("pooling", ["cls_token", "max_tokens"])
def test_a_sentence_encoder_that_pools_otherwise_is_another_one(bare: Path, tiny_model: Path, pooling: str) -> None:
    made = small.write_stsb(bare / "s", tiny_model, pooling)
    small.put_in_hub(bare / "hub", "sentence-transformers/stsb-distilbert-base", made)
    assert originals.found() == ()


def test_vectors_are_read_as_published_and_neighbours_are_by_cosine(theirs: Path) -> None:
    vectors = originals.opened("counter_fitted")
    words = [word for cluster in small.CLUSTERS for word in cluster]
    assert list(vectors.words) == words
    assert np.linalg.norm(vectors.matrix, axis=1) == pytest.approx(1)
    row = vectors.index["boring"]
    # 2 * 2 of 2 * 2 + 0.4 * 0.4
    assert vectors.matrix[row] @ vectors.matrix[row + 1] == pytest.approx(4 / 4.16)
    near = vectors.neighbours[row]
    assert [vectors.words[i] for i in near[:3]] == ["boring", "tedious", "wearisome"]
    whole = np.round(vectors.matrix @ vectors.matrix[row], 6)
    assert sorted(near) == list(range(30))
    assert (np.diff(whole[near[1:]]) <= 0).all()


@pytest.mark.parametrize(
    ("line", "said"), [("bad 1 x", "line 2"), ("bad 1", "line 2: not a word and 2 numbers"), ("bad nan 1", "line 2")]
)
def test_a_damaged_file_of_vectors_says_where(bare: Path, line: str, said: str) -> None:
    path = bare / "textattack" / originals.COUNTER_FITTED
    path.parent.mkdir(parents=True)
    path.write_text(f"good 0.5 1\n{line}\n")
    with pytest.raises(ValueError, match=said):
        originals.opened("counter_fitted")
    path.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        original_models.counter_fitted([path])


def test_the_perceptron_tags_as_nltk_does(theirs: Path) -> None:
    from nltk.tag.perceptron import PerceptronTagger

    ours, nltks = originals.opened("perceptron"), PerceptronTagger()
    for words in (["The", "film", "was", "wearisome"], ["I", "adored", "a", "dull", "story", "."], []):
        assert ours.tag(words) == [tag for _, tag in nltks.tag(words)]
    assert ours.universal(("The", "film", "was", "dull")) == ("DET", "NOUN", "VERB", "ADJ")


def test_synonyms_share_a_synset_with_the_word_or_its_base_form(theirs: Path) -> None:
    synonyms = originals.opened("nltk_wordnet")
    assert synonyms("terrible") == ["awful", "bad", "dreadful"]  # of two meanings
    assert synonyms("movie") == ["film", "picture"]  # no phrase
    assert synonyms("movies") == ["film", "movie", "picture"]
    assert synonyms("nonsense") == []


def test_the_archive_that_nltk_downloads_reads_alike(theirs: Path, bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "zipped" / "corpora").mkdir(parents=True)
    corpora = theirs / "nltk" / "corpora"
    shutil.make_archive(str(bare / "zipped" / "corpora" / "wordnet"), "zip", corpora, "wordnet")
    monkeypatch.setattr(nltk.data, "path", [str(bare / "zipped")])
    assert [path.name for path in originals.files("nltk_wordnet")] == ["wordnet.zip"]
    assert originals.opened("nltk_wordnet")("hate") == ["detest"]


TEXTS = ["the film was dull .", "a superb scene", "x", "", "the acting was very good and it was not boring !"]


def test_log_probabilities_are_those_of_transformers(theirs: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = originals.opened("gpt2")
    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    reference = AutoModelForCausalLM.from_pretrained(model.folder).eval()
    for text, found in zip(TEXTS, model.log_probabilities(TEXTS), strict=True):
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]])
        if ids.shape[1] == 1:
            assert found == 0.0
            continue
        with torch.inference_mode():
            mean = float(reference(input_ids=ids, labels=ids).loss)
        assert found == pytest.approx(-mean * (ids.shape[1] - 1), rel=1e-5)
    afresh = original_models.causal_lm([model.folder / "config.json"])
    assert [afresh.log_probabilities([text])[0] for text in TEXTS] == model.log_probabilities(TEXTS)


def test_the_likelihood_may_fall_by_less_than_the_limit(theirs: Path) -> None:
    from textattack.shared import AttackedText

    from attacks.constraints import AsLikelyText

    model = originals.opened("gpt2")
    before, after = "the film was dull .", ["the film was boring .", "the film was awful .", "the film was drab ."]
    base, *found = model.log_probabilities([before, *after])
    limit = float(np.median([base - one for one in found]))
    kept = AsLikelyText(model, limit)._check_constraint_many([AttackedText(t) for t in after], AttackedText(before))
    assert [text.text for text in kept] == [t for t, one in zip(after, found, strict=True) if base - one < limit]
    assert len(kept) == 1


def test_a_fingerprint_is_of_the_bytes_and_not_of_the_place(theirs: Path, bare: Path, monkeypatch) -> None:
    first = originals.fingerprint("counter_fitted")
    copied = bare / "elsewhere" / originals.COUNTER_FITTED
    copied.parent.mkdir(parents=True)
    shutil.copy(theirs / "textattack" / originals.COUNTER_FITTED, copied)
    monkeypatch.setenv("TA_CACHE_DIR", str(bare / "elsewhere"))
    assert originals.fingerprint("counter_fitted") == first
    copied.write_text(copied.read_text().replace("0.400000", "0.500000", 1))
    assert originals.fingerprint("counter_fitted") != first
    assert len(first) == 16


def test_what_a_recipe_is_made_of_is_in_its_fingerprint(theirs: Path, small_lexicon: Lexicon) -> None:
    lexicon = Lexicon(small_lexicon.folder)
    found = fingerprint("a2t_original", lexicon, 50)
    assert found["components"] == "original"
    assert found["lexicon"] == "+".join(
        [
            lexicon.fingerprint,
            *(f"{name}:{originals.fingerprint(name)}" for name in ("counter_fitted", "perceptron", "stsb_distilbert")),
        ]
    )
    assert fingerprint("a2t", lexicon, 50)["lexicon"] == lexicon.fingerprint
    assert lexicon.parts[-len(SEVEN) :] == SEVEN


@pytest.fixture
def with_encoder(theirs: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny encoder where the Universal Sentence Encoder would be, and a checker that finds no error."""
    files = [tiny_model / "config.json", tiny_model / "model.safetensors"]
    encoder = originals.Resource("Universal Sentence Encoder", lambda: files, original_models.sentence_encoder)
    monkeypatch.setitem(originals.RESOURCES, STAND_IN, encoder)
    checker = original_models.LanguageTool("6.8")
    monkeypatch.setattr(checker, "_check", lambda _: 0)
    tool = originals.Resource("LanguageTool", lambda: [tiny_model / "config.json"], lambda _: checker)
    monkeypatch.setitem(originals.RESOURCES, "language_tool", tool)
    originals._opened.cache_clear()


def test_there_are_nine_and_one_for_taggers() -> None:
    assert len(RECIPES) == 10
    for name in RECIPES:
        module = registry.load("attacks.recipes", name)
        ours = registry.load("attacks.recipes", name.removesuffix("_original"))
        resources = {originals.BY_TITLE[title] for title in ours.ORIGINAL}
        assert set(module.NEEDS) - {"stopwords"} == resources, "all that the authors use, and nothing of ours instead"


@pytest.mark.parametrize("recipe", [name for name in RECIPES if not name.startswith("ner_")])
def test_each_bites_with_their_components_whatever_the_order(recipe, with_encoder, small_lexicon: Lexicon) -> None:
    def run(samples):
        lexicon = Lexicon(small_lexicon.folder)
        return attack(Victim(count_words), samples, recipe, lexicon=lexicon, budget_per_word=15, seed=0)

    outcomes = run(TEN[:5])
    assert not [outcome.error for outcome in outcomes if outcome.error]
    fallen = [outcome for outcome in outcomes if outcome.status == "success"]
    assert fallen
    assert all(count_words([outcome.perturbed])[0].argmax() != outcome.label for outcome in fallen)
    assert timeless(run(TEN[4::-1])) == timeless(outcomes)


def test_the_swaps_come_from_their_vectors(with_encoder, small_lexicon: Lexicon) -> None:
    lexicon = Lexicon(small_lexicon.folder)
    (outcome,) = attack(
        Victim(count_words), TEN[:1], "textfooler_original", lexicon=lexicon, budget_per_word=30, seed=0
    )
    assert outcome.perturbed in ("The movie was tedious and the film was long.",
                                 "The movie was wearisome and the film was long.")  # fmt: skip
    assert "wearisome" not in small_lexicon.vectors.index  # ours could not have said it


def test_on_a_tagger_their_words_replace_the_context(with_encoder, small_lexicon: Lexicon) -> None:
    lexicon, victim = Lexicon(small_lexicon.folder), TaggingVictim(tagged.find_names, tagged.LABELS)
    outcomes = tagging_engine.attack(
        victim,
        tagged.TEN,
        "ner_textfooler_original",
        lexicon=lexicon,
        gazetteer=tagged.NAMES,
        budget_per_word=30,
        seed=0,
    )
    fallen = [outcome for outcome in outcomes if outcome.status == "success"]
    assert fallen
    theirs = {word for words in small.CLUSTERS for word in words}
    for outcome in fallen:
        changed = {new for old, new in zip(outcome.words, outcome.perturbed, strict=True) if old != new}
        assert changed <= theirs


def test_language_tool_may_find_no_new_error(with_encoder, small_lexicon: Lexicon, monkeypatch) -> None:
    def fallen() -> int:
        lexicon = Lexicon(small_lexicon.folder)
        name = "textfooler_adjusted_original"
        found = attack(Victim(count_words), TEN, name, lexicon=lexicon, budget_per_word=30, seed=0)
        return sum(outcome.status == "success" for outcome in found)

    assert fallen()
    known = {word for sample in TEN for word in sample.text.split()}
    strict = original_models.LanguageTool("6.8")
    monkeypatch.setattr(strict, "_check", lambda text: len(set(text.split()) - known))
    monkeypatch.setattr(originals, "opened", lambda name: strict if name == "language_tool" else OPENED(name))
    assert fallen() == 0


def test_without_them_a_recipe_does_not_start(bare: Path, small_lexicon: Lexicon) -> None:
    with pytest.raises(originals.OriginalMissing, match="not on this machine"):
        attack(
            Victim(count_words), TEN, "iga_original", lexicon=Lexicon(small_lexicon.folder), budget_per_word=5, seed=0
        )


def test_the_universal_sentence_encoder_is_opened_unless_it_touches_files(tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow")
    pytest.importorskip("tensorflow_hub")
    encoder = small.write_use(tf, tmp_path / "plain")
    found = original_models.UniversalSentenceEncoder(encoder)
    assert found.encode(["ab", "abc", ""]).tolist() == [[2, 1], [3, 1], [0, 1]]
    with pytest.raises(ValueError, match="ReadFile"):
        original_models.UniversalSentenceEncoder(small.write_use(tf, tmp_path / "reading", reads=True))


def test_language_tool_counts_errors() -> None:
    if not originals.RESOURCES["language_tool"].files():
        pytest.skip("LanguageTool is not here (it needs Java and a download)")
    tool = originals.opened("language_tool")
    assert tool.count("This is a good film.") == 0
    assert tool.count("This are a good film.") >= 1

"""The component set that a recipe attacks with: the one that runs here, or `original`, what its authors use.

A recipe's COMPONENTS names the set it is written for. Its ORIGINAL names what its authors use instead; it is empty
where nothing was replaced. Original sets are not part of the suite: asking for one says what is lacking and how to get
it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from types import ModuleType

from training import registry
from training.errors import UserError

ORIGINAL_SET = "original"
RECIPES = "attacks.recipes"
OPTIONAL = {"masked_lm": "temper fetch masked-lm"}  # parts of the lexicon that plain `temper fetch` does not build
HOW = {
    "BERT-base masked language model": "bert-base-uncased from the Hugging Face hub",
    "DistilBERT sentence encoder": "stsb-distilbert-base through sentence-transformers",
    "DistilRoBERTa masked language model": "distilroberta-base from the Hugging Face hub",
    "GPT-2": "gpt2 from the Hugging Face hub",
    "Google one-billion-word language model": "a TensorFlow 1 checkpoint from TextAttack's download server",
    "HowNet sememe bank": "word_candidates_sense.pkl from TextAttack's download server",
    "LanguageTool": "language-tool-python, which needs Java",
    "NLTK WordNet": "nltk.download('wordnet')",
    "NLTK perceptron tagger": "nltk.download('averaged_perceptron_tagger_eng')",
    "Universal Sentence Encoder": "through tensorflow_hub, which needs TensorFlow",
    "Wikidata classes": "wikidata.org",
    "counter-fitted Paragram vectors": "paragramcf from TextAttack's download server",
    "flair named-entity tagger": "ner, downloaded by flair",
    "flair part-of-speech tagger": "upos-fast, downloaded by flair",
    "learning-to-write language model": "a checkpoint from TextAttack's download server",
    "word-level LSTM victim": "an LSTM of TextAttack's download server, the only kind of victim its recipe takes",
}


def recipe_named(text: str) -> str:
    """The name of the recipe that `textfooler` or `textfooler:offline` means.

    Raises UserError for an unknown recipe, an unknown component set, and an original one that is not to be had here.
    """
    name, colon, asked = text.partition(":")
    module = registry.load(RECIPES, name)
    here, lacking = module.COMPONENTS, original(module)
    if not colon or asked == here or (asked == ORIGINAL_SET and lacking == ()):
        return name
    if asked != ORIGINAL_SET:
        raise UserError(f"'{text}': '{name}' has no components '{asked}'. Known: {here}, {ORIGINAL_SET}.")
    if lacking is None:
        raise UserError(f"'{text}' cannot run here: what its authors use is not recorded. Known: {name}:{here}.")
    raise UserError(
        f"'{text}' cannot run here: it needs {'; '.join(f'{what} ({how_to_get(what)})' for what in lacking)}. With a "
        f"network, get these and run TextAttack's own recipe; here '{name}' runs with {here} components."
    )


def original(module: ModuleType) -> tuple[str, ...] | None:
    """What the recipe's authors use where ours has something else; None when the recipe does not say."""
    found = getattr(module, "ORIGINAL", None)
    return None if found is None else tuple(found)


def how_to_get(resource: str) -> str:
    """Where a resource of an original set comes from, in a few words."""
    return HOW.get(resource, "see the recipe's docstring")


def lack(parts: Iterable[str]) -> str:
    """`vectors, pos: temper fetch`: parts of the lexicon that are missing, and the commands that get them."""
    missing = sorted(set(parts))
    commands = dict.fromkeys(OPTIONAL.get(part, "temper fetch") for part in missing)
    return f"{', '.join(missing)}: {' and '.join(commands)}"


def state(module: ModuleType, held: Collection[str] | None) -> str:
    """`runnable here`, or what the recipe needs. `held`: the parts of the lexicon, None when there is no lexicon."""
    if held is None:
        return "needs the attack lexicon: temper fetch"
    missing = set(getattr(module, "NEEDS", ())) - set(held)
    return f"needs {lack(missing)}" if missing else "runnable here"

"""The component set that a recipe attacks with: the one that runs here, or `original`, what its authors use.

A recipe's COMPONENTS names the set it is written for. Its ORIGINAL names what its authors use instead; it is empty
where nothing was replaced. `name:original` is the recipe `name_original`, whose COMPONENTS is ORIGINAL_SET: it runs
where all of ORIGINAL is on this machine (`attacks.originals`). Where some is not, or cannot be opened safely, asking
for it says what, why, and how to get it; nothing is put in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from types import ModuleType

from attacks import originals
from training import registry
from training.errors import UserError

ORIGINAL_SET = "original"
RECIPES = "attacks.recipes"
OPTIONAL = {"masked_lm": "temper fetch masked-lm"}  # parts of the lexicon that plain `temper fetch` does not build
HUB = "of the Hugging Face hub, with model.safetensors, in its cache"
HOW = {
    "BERT-base masked language model": f"bert-base-uncased {HUB}",
    "DistilBERT sentence encoder": f"sentence-transformers/stsb-distilbert-base {HUB}",
    "DistilRoBERTa masked language model": "not opened here: its only recipe needs flair too",
    "GPT-2": f"gpt2 {HUB}",
    "Google one-billion-word language model": "not opened here: a TensorFlow 1 checkpoint",
    "HowNet sememe bank": "not opened here: word_candidates_sense.pkl is a pickle, which can run code when it is read",
    "LanguageTool": "language-tool-python with Java, and once language_tool_python.LanguageTool('en-US'), which "
    "downloads it",
    "NLTK WordNet": "nltk.download('wordnet')",
    "NLTK perceptron tagger": "nltk.download('averaged_perceptron_tagger_eng')",
    "Universal Sentence Encoder": "tensorflow and tensorflow_hub, and once "
    f"tensorflow_hub.load('{originals.USE_ADDRESS}')",
    "Wikidata classes": "not opened here: they are asked of wikidata.org, entity by entity",
    "counter-fitted Paragram vectors": "counter-fitted-vectors.txt of github.com/nmrksic/counter-fitting, unpacked "
    "into word_embeddings/paragramcf of TextAttack's cache, TA_CACHE_DIR or ~/.cache/textattack; the words of "
    "TextAttack's own copy are in a pickle, which is not opened",
    "flair named-entity tagger": "not opened here: flair reads it with pickle, which can run code",
    "flair part-of-speech tagger": "not opened here: flair reads it with pickle, which can run code",
    "learning-to-write language model": "not opened here: a torch checkpoint, which can run code when it is read",
    "word-level LSTM victim": "not opened here: a victim of TextAttack's, the only kind its recipe takes",
}


def recipe_named(text: str) -> str:
    """The name of the recipe that `textfooler`, `textfooler:offline` or `textfooler:original` means.

    Raises UserError for an unknown recipe, an unknown component set, and an original one that is not to be had here.
    """
    name, colon, asked = text.partition(":")
    module = registry.load(RECIPES, name)
    if module.COMPONENTS == ORIGINAL_SET:
        name, colon, asked = name.removesuffix(f"_{ORIGINAL_SET}"), ":", asked or ORIGINAL_SET
        module = registry.load(RECIPES, name)
    here, theirs = module.COMPONENTS, original(module)
    if not colon or asked == here or (asked == ORIGINAL_SET and theirs == ()):
        return name
    if asked != ORIGINAL_SET:
        raise UserError(f"'{text}': '{name}' has no components '{asked}'. Known: {here}, {ORIGINAL_SET}.")
    if theirs is None:
        raise UserError(f"'{text}' cannot run here: what its authors use is not recorded. Known: {name}:{here}.")
    if lacking := [what for what in theirs if not _held(what)]:
        raise UserError(
            f"'{text}' cannot run here: it needs {'; '.join(f'{what} ({how_to_get(what)})' for what in lacking)}. Get "
            f"what can be had and ask again, or run TextAttack's own recipe; here '{name}' runs with {here} components."
        )
    return f"{name}_{ORIGINAL_SET}"


def _held(title: str) -> bool:
    """Whether a resource of an ORIGINAL is on this machine and can be opened."""
    name = originals.BY_TITLE.get(title)
    return name is not None and bool(originals.RESOURCES[name].files())


def original(module: ModuleType) -> tuple[str, ...] | None:
    """What the recipe's authors use where ours has something else; None when the recipe does not say."""
    found = getattr(module, "ORIGINAL", None)
    return None if found is None else tuple(found)


def how_to_get(resource: str) -> str:
    """Where a resource of an original set comes from, in a few words."""
    return HOW.get(resource, "see the recipe's docstring")


def lack(parts: Iterable[str]) -> str:
    """`vectors, pos: temper fetch`: parts that are missing, and what gets them."""
    missing = sorted(set(parts))
    commands = dict.fromkeys(_command(part) for part in missing)
    return f"{', '.join(missing)}: {' and '.join(commands)}"


def _command(part: str) -> str:
    if part in originals.RESOURCES:
        return how_to_get(originals.RESOURCES[part].title)
    return OPTIONAL.get(part, "temper fetch")


def state(module: ModuleType, held: Collection[str] | None) -> str:
    """`runnable here`, or what the recipe needs. `held`: the parts of the lexicon, None when there is no lexicon."""
    if held is None:
        return "needs the attack lexicon: temper fetch"
    missing = set(getattr(module, "NEEDS", ())) - set(held)
    if missing & set(originals.RESOURCES):  # how to get them takes a paragraph, which asking for the recipe prints
        return f"needs {', '.join(sorted(missing))}: ask for it to see how"
    return f"needs {lack(missing)}" if missing else "runnable here"

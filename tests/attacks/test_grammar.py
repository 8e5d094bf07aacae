"""Words that break with their place, by hand and against what a single change can do."""

from __future__ import annotations

import pytest

from attacks.grammar import retagged
from attacks.pos import Tagger

WORDS = {
    "the": "DT", "a": "DT", "an": "DT", "film": "NN", "films": "NNS", "movie": "NN", "actor": "NN", "loves": "VBZ",
    "love": "VBP", "adores": "VBZ", "was": "VBD", "dull": "JJ", "awful": "JJ", "dreary": "JJ", "bored": "VBN",
    "very": "RB", "run": "VB", ".": ".", "to": "TO",
}  # fmt: skip
TAGGER = Tagger(WORDS, [], [["VB", "NN", "PREVTAG", "DT"]])


@pytest.mark.parametrize(
    ("before", "after", "answer"),
    [
        ("The film was dull.", "The film was dull.", (0, 0)),
        ("The film was dull.", "The film was dreary.", (1, 0)),
        ("The film was dull.", "The film was bored.", (1, 1)),
        ("The film was dull.", "The films was dreary.", (2, 1)),  # number
        ("He loves the film.", "He love the film.", (1, 1)),  # person
        ("He loves the film.", "He adores the movie.", (2, 0)),
        ("A dull film.", "A awful film.", (1, 1)),  # an awful
        ("A dull film.", "An awful film.", (2, 0)),  # the article went with it
        ("An awful film.", "An dull film.", (1, 1)),
        ("The run.", "The film.", (1, 0)),  # the tag is that of the context, not that of the word alone
        ("to run.", "to film.", (1, 1)),
        ("THE FILM WAS DULL.", "THE FILM WAS DREARY.", (1, 0)),
        ("The film was dull.", "The very film was dreary.", (1, 0)),  # an insertion takes no place
        ("The very film was dull.", "The film was bored.", (1, 1)),
        ("The film was dull.", "The film was d ull.", (0, 0)),  # one word became two
        ("", "", (0, 0)),
        ("dull", "", (0, 0)),
    ],
)
def test_by_hand(before: str, after: str, answer: tuple[int, int]) -> None:
    assert retagged(TAGGER, before, after) == answer


@pytest.mark.resources
def test_on_reviews_it_sees_inflections_and_lets_words_of_the_same_kind_pass(resources) -> None:
    """Of 200 held-out reviews, the first verb in the third person is put into its base form, or becomes another one."""
    from lemminflect import getAllLemmas

    from bench.sources import open_lexicon, open_task

    tagger, inflected, exchanged = open_lexicon(resources).tagger, [], []
    for example in open_task("movie_reviews", resources).test[:400]:
        words = example.text.split()
        for place in [i for i, tag in enumerate(tagger.tag(words)) if tag == "VBZ" and words[i].endswith("s")][:1]:
            (lemma, *_) = getAllLemmas(words[place], upos="VERB").get("VERB", (words[place],))
            changes = ((inflected, lemma), (exchanged, "makes" if words[place] != "makes" else "takes"))
            for found, new in changes if lemma != words[place] else ():
                found.append(retagged(tagger, example.text, " ".join([*words[:place], new, *words[place + 1 :]])))
    assert len(inflected) >= 50
    seen, alarms = (sum(broken for _, broken in found) / len(found) for found in (inflected, exchanged))
    assert seen > 0.9
    assert alarms < 0.15

"""TextAttack is imported and attacks where flair cannot be imported, and what would need flair refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from attacks.engine import attack
from attacks.lexicon import Lexicon
from attacks.victim import Victim
from tests.attacks.conftest import SAMPLES, count_words, timeless

HOUSE = Path(__file__).resolve().parents[2]
# asks transformers for what it does not have, halfway through its own import
BROKEN = {"__init__": "from . import data, models\n", "data": "", "models": "from transformers import NoSuchName\n"}
CODE = """
import sys
from pathlib import Path
from attacks.engine import attack
from attacks.lexicon import Lexicon
from attacks.victim import Victim
from tests.attacks.conftest import SAMPLES, count_words, timeless
lexicon = Lexicon(Path(sys.argv[1]))
print(timeless(attack(Victim(count_words), SAMPLES, "deepwordbug", lexicon=lexicon, budget_per_word=20, seed=0)))
print(sorted(name for name in sys.modules if name.partition(".")[0] == "flair"))
from textattack.constraints.grammaticality import PartOfSpeech
from textattack.shared import AttackedText
for ask in (lambda: AttackedText("a good film").pos_of_word_index(1), lambda: PartOfSpeech(tagger_type="flair")):
    try:
        ask()
    except ImportError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def printed(stopword_lexicon: Lexicon, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines that CODE prints in a process of its own, whose flair is BROKEN."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "flair").mkdir()
    for name, text in BROKEN.items():
        (folder / "flair" / f"{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, str(stopword_lexicon.folder)],
        cwd=HOUSE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(HOUSE)])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_the_attacks_are_those_with_flair(printed: list[str], stopword_lexicon: Lexicon) -> None:
    settings = {"lexicon": stopword_lexicon, "budget_per_word": 20, "seed": 0}
    assert printed[0] == str(timeless(attack(Victim(count_words), SAMPLES, "deepwordbug", **settings)))


def test_no_false_flair_is_left_behind(printed: list[str]) -> None:
    assert printed[1] == "[]"


def test_a_tagger_is_refused_with_the_reason(printed: list[str]) -> None:
    for line, name in zip(printed[2:], ("flair.data.Tokenizer", "flair.models.SequenceTagger"), strict=True):
        assert line.startswith(f"{name} is asked for, and flair cannot be imported with transformers ")
        assert "cannot import name 'NoSuchName'" in line
        assert "constraints.txt" in line

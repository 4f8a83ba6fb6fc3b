"""Characters as tokens, and the text that comes with Python."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neural.tiny_lm.tokenizer import CharTokenizer, WordTokenizer, documentation_text


@given(st.text(alphabet="abc é𝔸\n", max_size=30))
def test_decoding_undoes_encoding(text):
    tokenizer = CharTokenizer("abc é𝔸\n")
    ids = tokenizer.encode(text)
    assert ids.dtype == torch.long
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text


@given(st.text(alphabet="abcdé𝔸?", max_size=30))
def test_unknown_characters_share_id_zero(text):
    tokenizer = CharTokenizer("abc", unknown="?")
    ids = tokenizer.encode(text)
    assert ids.tolist() == ["?abc".find(c) if c in "abc" else 0 for c in text]
    assert tokenizer.decode(ids) == "".join(c if c in "abc" else "?" for c in text)


def test_without_an_unknown_character_others_are_named():
    with pytest.raises(KeyError, match="z"):
        CharTokenizer("abc").encode("abz")


@given(st.lists(st.sampled_from(["the", "sky", "<bos>", "é"]), max_size=12))
def test_words_are_decoded_as_they_were_encoded(words):
    tokenizer = WordTokenizer(["<bos>", "the", "sky", "é"])
    ids = tokenizer.encode("  ".join(words))
    assert len(ids) == len(words)
    assert tokenizer.decode(ids) == " ".join(words)


def test_a_word_that_is_not_known_is_named():
    with pytest.raises(KeyError, match="dragon"):
        WordTokenizer(["the", "sky"]).encode("the dragon")


def test_vocabulary_of_a_text_is_its_most_frequent_characters_in_order():
    tokenizer = CharTokenizer.of_text("bbbaacd", size=4)
    assert tokenizer.characters == ("�", "b", "a", "c")
    assert len(tokenizer) == 4
    assert tokenizer.encode("dab").tolist() == [0, 2, 1]


def test_small_texts_have_small_vocabularies():
    assert len(CharTokenizer.of_text("ab", size=50)) == 3


def test_documentation_is_english_prose_in_lower_case():
    text = documentation_text()
    assert text == documentation_text()
    assert len(text) > 300_000
    assert text == text.lower()
    assert "  " not in text
    ids = CharTokenizer.of_text(text, 32).encode(text)
    assert (ids == 0).float().mean() < 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CharTokenizer(""), "vocabulary"),
        (lambda: CharTokenizer(["ab"]), "vocabulary"),
        (lambda: CharTokenizer("aa"), "vocabulary"),
        (lambda: CharTokenizer("ab", unknown="a"), "vocabulary"),
        (lambda: CharTokenizer("ab", unknown="xy"), "unknown"),
        (lambda: CharTokenizer("ab").encode(3), "text"),
        (lambda: CharTokenizer("ab").decode(torch.tensor([2])), "ids"),
        (lambda: CharTokenizer("ab").decode(torch.tensor([[0]])), "ids"),
        (lambda: CharTokenizer.of_text("", 4), "text"),
        (lambda: CharTokenizer.of_text("abc", 1), "size"),
        (lambda: WordTokenizer([]), "vocab"),
        (lambda: WordTokenizer("abc"), "vocab"),
        (lambda: WordTokenizer(["two words"]), "vocab"),
        (lambda: WordTokenizer(["twice", "twice"]), "vocab"),
        (lambda: WordTokenizer(["a"]).encode(3), "text"),
        (lambda: WordTokenizer(["a"]).decode(torch.tensor([1])), "ids"),
    ],
)
def test_bad_arguments_are_refused_by_name(unchecked, call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Small tokenizers of the classes that open_clip's models take from the hub, trained here."""

import json
from pathlib import Path

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from indexer.bundles.samples import sample_texts

TEXTS = [
    *sample_texts(),
    "The quick brown fox jumps over the lazy dog, 12,345 times! schön naïve café",
    "犬が海岸を走る 日本語 中文 한국어 강아지 жщЯя αβγδσς हिन्दी ไทย",
    "<end_of_text> &amp; #hashtag @name http://example.org/a_b?c=d",
] * 3
LANGUAGES = ("eng_Latn", "deu_Latn", "jpn_Jpan")


def make_tokenizer(kind: str, folder: Path) -> Path:
    """A trained tokenizer of `kind` (a key of `KINDS`) as a hub's repository would hold it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer, settings = KINDS[kind]()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def _ids(tokenizer: Tokenizer, *tokens: str) -> list[tuple[str, int]]:
    return [(token, tokenizer.token_to_id(token)) for token in tokens]


def _unigram(specials: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=600, special_tokens=specials, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer


def siglip() -> tuple[Tokenizer, dict[str, object]]:
    """As SigLIP's: T5's sentencepiece unigram, `</s>` behind the text and as padding."""
    tokenizer = _unigram(["<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=_ids(tokenizer, "</s>")
    )
    return tokenizer, {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "</s>",
        "pad_token": "</s>",
        "unk_token": "<unk>",
    }


def siglip2() -> tuple[Tokenizer, dict[str, object]]:
    """As SigLIP 2's: Gemma's byte-fallback pairs, `<eos>` behind the text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_previous")
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=specials, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=_ids(tokenizer, "<eos>")
    )
    return tokenizer, {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }


def bert() -> tuple[Tokenizer, dict[str, object]]:
    """As CLIPA's: BERT's lower-case word pieces between [CLS] and [SEP]."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=700, special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=_ids(tokenizer, "[CLS]", "[SEP]")
    )
    return tokenizer, {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "[CLS]",
        "eos_token": "[SEP]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }


def roberta() -> tuple[Tokenizer, dict[str, object]]:
    """As CoCa-roberta's: byte-level pairs between <s> and </s>."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return _between(tokenizer)


def xlm_roberta() -> tuple[Tokenizer, dict[str, object]]:
    """As XLM-R's: sentencepiece unigram between <s> and </s>."""
    return _between(_unigram(["<s>", "<pad>", "</s>", "<unk>"]))


def _between(tokenizer: Tokenizer) -> tuple[Tokenizer, dict[str, object]]:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=_ids(tokenizer, "<s>", "</s>")
    )
    return tokenizer, {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }


def nllb() -> tuple[Tokenizer, dict[str, object]]:
    """As NLLB's: byte-fallback pairs with the language's code before the text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens([*LANGUAGES, "<mask>"])
    settings = {
        "tokenizer_class": "NllbTokenizer",
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "src_lang": "eng_Latn",
        "extra_special_tokens": list(LANGUAGES),
    }
    return tokenizer, settings


KINDS = {
    "siglip": siglip,
    "siglip2": siglip2,
    "bert": bert,
    "roberta": roberta,
    "xlm-roberta": xlm_roberta,
    "nllb": nllb,
}
